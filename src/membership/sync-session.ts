import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { SECOND_MS } from "../base/units.ts";
import type { Network } from "../ports/index.ts";
import {
  SYNC_FETCH_ITEMS_MAX,
  SYNC_LIST_ITEMS_MAX,
  SYNC_MESSAGE_BYTES_MAX,
  SYNC_SETS,
  type SyncAnswer,
  type SyncRequest,
  syncAnswerCodec,
  syncRequestCodec,
} from "../wire/sync.ts";
import { ROSTER_ENTRIES_MAX } from "./book.ts";
import { compareItems, differingBuckets, type SetItem } from "./item-set.ts";
import type { PutOutcome } from "./records.ts";
import { faultOf } from "./refusal.ts";
import type { SyncSets } from "./sync-server.ts";
import type { SyncSet } from "./sync-sets.ts";

export const SYNC_IDLE_TIMEOUT_MS = 30 * SECOND_MS;
/** More than any honest node lists: the largest roster, or some records of each of its members. */
const LISTED_ITEMS_MAX = 2 * ROSTER_ENTRIES_MAX;

export interface SessionComponents {
  readonly network: Pick<Network, "request">;
  readonly sets: SyncSets;
  /** What is evened out with a member for whom we are none any more. */
  readonly setsOfFormer: SyncSets;
  /** Stores what the peer sent. */
  readonly take: (set: SyncSet, entries: readonly Uint8Array[]) => Promise<PutOutcome[]>;
  /** What was refused a short while ago is not fetched again. */
  readonly refused: { has(hash: string): boolean; add(hash: string): void };
}

export interface SessionResult {
  readonly fetched: number;
  readonly pushed: number;
  /** For the other end we are no member any more. */
  readonly asFormer: boolean;
}

type Moved = Pick<SessionResult, "fetched" | "pushed">;

/**
 * Evens out both sets with one member: what it has and we lack is fetched and verified, what we have and it lacks
 * is pushed. One side suffices. Throws what the network throws, and `PEER_PROTOCOL` for answers out of order.
 */
export class SyncSession {
  readonly #components: SessionComponents;
  readonly #peer: PeerId;
  readonly #signal: AbortSignal;

  constructor(components: SessionComponents, peer: PeerId, signal: AbortSignal) {
    this.#components = components;
    this.#peer = peer;
    this.#signal = signal;
  }

  async reconcile(): Promise<SessionResult> {
    const { sets, setsOfFormer } = this.#components;
    const compared = await this.#ask("compared", {
      v: 1,
      kind: "compare",
      roster: sets.roster.items.digest(),
      records: sets.records.items.digest(),
    });
    const asFormer = compared.as === "former";
    const shared = asFormer ? setsOfFormer : sets;
    let fetched = 0;
    let pushed = 0;
    // The roster first: it says whose records count.
    for (const name of SYNC_SETS) {
      const theirs = compared[name];
      if (theirs === undefined) continue;
      const result = await this.#evenOut(shared[name], theirs);
      fetched += result.fetched;
      pushed += result.pushed;
    }
    return { fetched, pushed, asFormer };
  }

  async #evenOut(set: SyncSet, theirHashes: Uint8Array): Promise<Moved> {
    const buckets = differingBuckets(set.items.bucketHashes(), theirHashes);
    const theirs = await this.#list(set, buckets);
    const { refused } = this.#components;
    const wanted = theirs.filter((item) => set.wants(item) && !refused.has(toHex(item.hash)));
    const fetched = await this.#fetch(set, wanted.sort(inTurn));
    const pushed = await this.#push(
      set,
      missingThere(set.items.list(buckets, undefined, LISTED_ITEMS_MAX), theirs),
    );
    return { fetched, pushed };
  }

  async #list(set: SyncSet, buckets: Uint8Array): Promise<SetItem[]> {
    const items: SetItem[] = [];
    for (;;) {
      const last = items.at(-1);
      const answer = await this.#ask("listed", {
        v: 1,
        kind: "list",
        set: set.name,
        buckets,
        ...(last === undefined ? {} : { after: [last.key, last.hash] as [Uint8Array, Uint8Array] }),
      });
      for (const [key, epoch, rank, hash] of answer.items) {
        const item = { key, epoch, rank, hash };
        const before = items.at(-1);
        if (before !== undefined && compareItems(item, before) <= 0)
          throw this.#fault("its list is out of order");
        items.push(item);
      }
      if (!answer.more) return items;
      if (answer.items.length < SYNC_LIST_ITEMS_MAX || items.length > LISTED_ITEMS_MAX) {
        throw this.#fault("its list has no end");
      }
    }
  }

  async #fetch(set: SyncSet, wanted: readonly SetItem[]): Promise<number> {
    let next = 0;
    let added = 0;
    while (next < wanted.length) {
      const items = wanted
        .slice(next, next + SYNC_FETCH_ITEMS_MAX)
        .map(({ key, hash }): [Uint8Array, Uint8Array] => [key, hash]);
      const answer = await this.#ask("fetched", { v: 1, kind: "fetch", set: set.name, items });
      if (answer.answered > items.length) throw this.#fault("it answers more than was asked");
      const outcomes = await this.#components.take(set, answer.entries);
      added += outcomes.filter((outcome) => outcome === "added" || outcome === "forked").length;
      for (const item of wanted.slice(next, next + answer.answered)) {
        if (set.wants(item)) this.#components.refused.add(toHex(item.hash));
      }
      next += answer.answered;
    }
    return added;
  }

  async #push(set: SyncSet, items: readonly SetItem[]): Promise<number> {
    let added = 0;
    for (const entries of batches(set, items)) {
      const message =
        set.name === "roster" ? { roster: entries, records: [] } : { roster: [], records: entries };
      const answer = await this.#ask("taken", { v: 1, kind: "push", news: false, ...message });
      added += answer.added;
    }
    return added;
  }

  async #ask<Kind extends SyncAnswer["kind"]>(
    kind: Kind,
    request: SyncRequest,
  ): Promise<Extract<SyncAnswer, { kind: Kind }>> {
    const answer = await this.#components.network.request(
      this.#peer,
      "sync",
      { head: syncRequestCodec.encode(request), body: new Uint8Array(0) },
      { idleTimeoutMs: SYNC_IDLE_TIMEOUT_MS, signal: this.#signal },
    );
    const decoded = syncAnswerCodec.decode(answer.head);
    if (isKind(decoded, kind)) return decoded;
    if (decoded.kind === "refused") throw faultOf(this.#peer, decoded);
    throw this.#fault(`it answered ${decoded.kind} instead of ${kind}`);
  }

  #fault(reason: string): Fault {
    return new Fault({ code: "PEER_PROTOCOL", peer: this.#peer, reason });
  }
}

function isKind<Kind extends SyncAnswer["kind"]>(
  answer: SyncAnswer,
  kind: Kind,
): answer is Extract<SyncAnswer, { kind: Kind }> {
  return answer.kind === kind;
}

/** Ours that the other does not list, unless it lists a newer one of the same key; lower ranks first. */
function missingThere(ours: readonly SetItem[], theirs: readonly SetItem[]): SetItem[] {
  const hashes = new Set(theirs.map((item) => toHex(item.hash)));
  const epochs = new Map<string, number>();
  for (const { key, epoch } of theirs) {
    epochs.set(toHex(key), Math.max(epoch, epochs.get(toHex(key)) ?? 0));
  }
  return ours
    .filter((item) => !hashes.has(toHex(item.hash)) && item.epoch >= (epochs.get(toHex(item.key)) ?? 0))
    .sort(inTurn);
}

/** Those that build on others after them. */
function inTurn(a: SetItem, b: SetItem): number {
  return a.rank - b.rank || a.epoch - b.epoch;
}

function* batches(set: SyncSet, items: readonly SetItem[]): Iterable<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let bytes = 0;
  for (const item of items) {
    const entry = set.read(item);
    if (entry === undefined) continue;
    if (
      batch.length === SYNC_FETCH_ITEMS_MAX ||
      (batch.length > 0 && bytes + entry.length > SYNC_MESSAGE_BYTES_MAX)
    ) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(entry);
    bytes += entry.length;
  }
  if (batch.length > 0) yield batch;
}
