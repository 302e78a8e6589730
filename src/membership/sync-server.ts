import { compareBytes, EMPTY_BYTES } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { KIB } from "../base/units.ts";
import { SIGNED_BODY_BYTES_MAX } from "../wire/signed.ts";
import {
  SYNC_LIST_ITEMS_MAX,
  SYNC_MESSAGE_BYTES_MAX,
  type SyncAnswer,
  type SyncRequest,
  syncRequestCodec,
} from "../wire/sync.ts";
import type { SetItem } from "./item-set.ts";
import type { PutOutcome } from "./records.ts";
import { refusalOf } from "./refusal.ts";
import type { SyncSet } from "./sync-sets.ts";

export interface SyncSets {
  readonly roster: SyncSet;
  readonly records: SyncSet;
}

/** Refusals that are nobody's fault: two nodes told each other different halves of the news. */
const BENIGN = new Set<string>(["TOKEN_USED", "RECORD_STALE", "NOT_A_MEMBER"]);

export function logRefusals(log: Log, from: PeerId, outcomes: readonly PutOutcome[]): void {
  const faults = outcomes.filter((outcome): outcome is Fault => typeof outcome !== "string");
  const odd = faults.filter((fault) => !BENIGN.has(fault.code));
  const [first] = odd;
  if (first === undefined) return;
  log.warn("sync-refused", { from, count: odd.length, code: first.code, reason: first.message });
}

/** A record of the largest size goes alone. */
const FETCHED_BYTES_MAX = SIGNED_BODY_BYTES_MAX + 64 * KIB;

/** How large the answer to a request can get. What carries records in is answered with a few numbers. */
export function syncAnswerBytesMax(head: Uint8Array): number {
  switch (kindOf(head)) {
    case "fetch":
      return FETCHED_BYTES_MAX;
    case "compare":
    case "list":
    case "ticks":
      return SYNC_MESSAGE_BYTES_MAX;
    case "push":
    case "introduce":
    case undefined:
      return 0;
  }
}

/** `undefined`: it will be refused. */
function kindOf(head: Uint8Array): SyncRequest["kind"] | undefined {
  try {
    return syncRequestCodec.decode(head).kind;
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

/** Answers one request; what it carries is taken by `take`. Faults become refusals. */
export async function answerSync(
  {
    sets,
    asFormer,
    take,
    introduce,
    ticks,
  }: {
    /** Those that the asker may see. */
    readonly sets: SyncSets;
    /** The asker was a member and is none any more. */
    readonly asFormer: boolean;
    readonly take: (set: SyncSet, entries: readonly Uint8Array[], news: boolean) => Promise<PutOutcome[]>;
    /** Tells another member of the one that asks. */
    readonly introduce: (to: PeerId) => Promise<boolean>;
    /** Takes a member's ticks and gives back what it has not got. */
    readonly ticks: (fresh: boolean, packed: Uint8Array) => Uint8Array;
  },
  head: Uint8Array,
): Promise<SyncAnswer> {
  try {
    const request = syncRequestCodec.decode(head);
    switch (request.kind) {
      case "compare":
        return { ...compare(sets, request), ...(asFormer ? { as: "former" } : {}) };
      case "list":
        return list(sets[request.set], request);
      case "fetch":
        return fetch(sets[request.set], request);
      case "push": {
        const outcomes = [
          ...(await take(sets.roster, request.roster, request.news)),
          ...(await take(sets.records, request.records, request.news)),
        ];
        const refused = outcomes.filter((outcome) => typeof outcome !== "string").length;
        const known = outcomes.filter((outcome) => outcome === "known").length;
        return { v: 1, kind: "taken", added: outcomes.length - refused - known, known, refused };
      }
      case "introduce":
        return { v: 1, kind: "introduced", done: await introduce(request.to) };
      case "ticks":
        return { v: 1, kind: "ticked", ticks: asFormer ? EMPTY_BYTES : ticks(request.fresh, request.ticks) };
    }
  } catch (error) {
    return refusalOf(error);
  }
}

function compare(
  { roster, records }: SyncSets,
  request: Extract<SyncRequest, { kind: "compare" }>,
): Extract<SyncAnswer, { kind: "compared" }> {
  const differs = (set: SyncSet, digest: Uint8Array): boolean =>
    compareBytes(set.items.digest(), digest) !== 0;
  return {
    v: 1,
    kind: "compared",
    ...(differs(roster, request.roster) ? { roster: roster.items.bucketHashes() } : {}),
    ...(differs(records, request.records) ? { records: records.items.bucketHashes() } : {}),
  };
}

function list(set: SyncSet, { buckets, after }: Extract<SyncRequest, { kind: "list" }>): SyncAnswer {
  const cursor = after === undefined ? undefined : { key: after[0], hash: after[1] };
  const items = set.items.list(buckets, cursor, SYNC_LIST_ITEMS_MAX);
  return {
    v: 1,
    kind: "listed",
    items: items.map(({ key, epoch, rank, hash }): [Uint8Array, number, number, Uint8Array] => [
      key,
      epoch,
      rank,
      hash,
    ]),
    more: items.length === SYNC_LIST_ITEMS_MAX,
  };
}

function fetch(set: SyncSet, { items }: Extract<SyncRequest, { kind: "fetch" }>): SyncAnswer {
  const entries: Uint8Array[] = [];
  let bytes = 0;
  let answered = 0;
  for (const [key, hash] of items) {
    const entry = set.read({ key, hash } satisfies Pick<SetItem, "key" | "hash">);
    bytes += entry?.length ?? 0;
    if (answered > 0 && bytes > SYNC_MESSAGE_BYTES_MAX) break;
    answered++;
    if (entry !== undefined) entries.push(entry);
  }
  return { v: 1, kind: "fetched", answered, entries };
}
