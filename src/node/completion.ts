import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { MINUTE_MS } from "../base/units.ts";
import {
  type Catalog,
  countUnread,
  type SegmentRef,
  type UnreadParts,
  unreadOp,
  unreadParts,
} from "../catalog/index.ts";
import { type OwnerKeys, openBox } from "../crypto/index.ts";
import { signedHash } from "../crypto/signed.ts";
import { headContext, type OwnerMaps, type PeerClient } from "../exchange/index.ts";
import type { ChunkReader } from "../restore/index.ts";
import { headBody, headPayload, type Locator } from "../wire/head.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { dropGivenUp, importMoves, shortSegments } from "./catalog-import.ts";
import { Importer, settleConflicts } from "./index-import.ts";
import { areHeld, noteHolders } from "./note-holders.ts";
import { isSameLine, type OlderHead, rescueSnapshots } from "./older-heads.ts";
import { PastLive } from "./past-live.ts";
import type { NodePorts } from "./ports.ts";
import { FIND_SEGMENTS_MAX, SegmentFinder } from "./segment-finder.ts";

export interface CompletionComponents extends Pick<NodePorts, "clock" | "log" | "network"> {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly chunks: ChunkReader;
  readonly client: PeerClient;
  readonly keys: OwnerKeys;
  /** Runs while no snapshot does: both change the list of index runs. */
  readonly alone: <T>(task: () => Promise<T>) => Promise<T>;
}

/** Tried again when somebody comes back, and so often without that. */
const RETRY_MS = 10 * MINUTE_MS;

/**
 * What a recovery had to leave out, because too few shards were in reach, is read as members come back: parts of the
 * index and of the list of snapshots, lists of older heads, and holders of segments that no map leads to.
 */
export class Completion {
  readonly #c: CompletionComponents;
  #wake: (() => void) | undefined;
  #isWoken = false;

  constructor(components: CompletionComponents) {
    this.#c = components;
  }

  /** Parts that are still missing. */
  get unread(): UnreadParts {
    return unreadParts(this.#c.catalog.store);
  }

  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  /** Until nothing is missing, or the signal. */
  async run(signal: AbortSignal): Promise<void> {
    let asked = "";
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        const connected = this.#c.network.connected();
        const short = await this.#lost();
        if (countUnread(this.unread) + short.length === 0) return;
        const now = [...connected].sort().join();
        if (now !== asked && connected.length > 0) {
          asked = now;
          await this.#c.alone(() => this.#advance(short, signal));
        } else asked = "";
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("completion-failed", { why: messageOf(error) });
      }
      if (!this.#isWoken) await this.#rest(signal);
    }
  }

  async #advance(short: readonly SegmentRef[], signal: AbortSignal): Promise<void> {
    const { catalog, maps, chunks, client, clock, log, network } = this.#c;
    const before = countUnread(this.unread);
    const finder = new SegmentFinder({ catalog, maps, client, clock, log, peers: () => network.connected() });
    await finder.find(short, signal);
    if (before === 0) return;
    const importer = new Importer({ catalog, maps, chunks, finder, signal });
    const unread = await this.#readAgain(importer, signal);
    await catalog.store.write([unreadOp(unread)], { sync: true });
    const left = await this.#lost();
    await noteHolders({ catalog, maps, client, clock }, left.slice(0, FIND_SEGMENTS_MAX), signal);
    await settleConflicts(catalog, importer.conflicts);
    await dropGivenUp(catalog);
    const missing = countUnread(unread);
    if (missing < before) log.info("recovery-completed", { parts: before - missing, missing });
  }

  async #readAgain(importer: Importer, signal: AbortSignal): Promise<UnreadParts> {
    const { catalog } = this.#c;
    const { lists, runs, pages, heads } = this.unread;
    const left: UnreadParts = { lists: [], runs: [], pages: [], heads: [] };
    const { moves } = this.unread;
    if (moves !== undefined && !(await importer.orUnread(() => importMoves(catalog, importer, moves))))
      left.moves = moves;
    for (const list of lists) if (!(await this.#readList(importer, list))) left.lists.push(list);
    for (const run of runs) {
      const isRead = await importer.orUnread(async () => {
        const { state, unread } = await importer.importRun(run, false);
        left.pages.push(...unread.map((page) => ({ run: run.id, page })));
        const replaced = catalog.state.runs.map((known) => (isSame(known.locator, run) ? state : known));
        await catalog.update({ runs: replaced });
      });
      if (!isRead) left.runs.push(run);
    }
    for (const one of pages) {
      const isRead = await importer.orUnread(() => importer.importPage(one.page, false));
      if (!isRead) left.pages.push(one);
    }
    const older = heads.flatMap((bytes) => this.#open(bytes));
    const { root, lists: known } = this.#chosen();
    const past = PastLive.load(catalog);
    const canBeHad = (refs: readonly SegmentRef[]): Promise<boolean> => areHeld(this.#c, refs, signal);
    const outcome = await rescueSnapshots(
      { ...this.#c, importer, past, canBeHad },
      { root, lists: known },
      older,
    );
    left.pages.push(...outcome.pages);
    left.heads.push(...outcome.unread.map(({ signed }) => encodeSigned(signed)));
    if (outcome.rescued.length > 0)
      this.#c.log.warn("snapshots-rescued", { snapshots: outcome.rescued.length });
    return left;
  }

  #readList(importer: Importer, list: Locator): Promise<boolean> {
    const { catalog } = this.#c;
    return importer.orUnread(async () => {
      const known = new Set((await catalog.snapshots()).map(({ sequence }) => sequence));
      const entries = (await importer.readSnapshots(list)).filter(({ sequence }) => !known.has(sequence));
      const ops = entries.map((entry) => catalog.snapshotOp(entry));
      await catalog.store.write(ops, { sync: true });
    });
  }

  #chosen(): { root: Locator; lists: readonly Locator[] } {
    const { catalog, keys } = this.#c;
    const { payload } = headBody.decode(must(catalog.head, "head of a recovered home").body);
    const opened = openBox(keys.metadataKey, payload, headContext(catalog.owner), "head");
    return { root: headPayload.decode(opened).root, lists: catalog.state.snapshotPages };
  }

  #open(bytes: Uint8Array): OlderHead[] {
    const { catalog, keys } = this.#c;
    const signed = decodeSigned(bytes);
    const box = headBody.decode(signed.body).payload;
    const payload = headPayload.decode(openBox(keys.metadataKey, box, headContext(catalog.owner), "head"));
    if (!isSameLine(payload.incarnations, catalog.state.incarnations)) return [];
    return [{ id: toHex(signedHash(signed)), signed, payload }];
  }

  /** Segments of earlier lives of which too few shards are known. */
  async #lost(): Promise<SegmentRef[]> {
    const short = await shortSegments(this.#c.catalog);
    return short.filter((ref) => this.#c.catalog.segments.get(ref)?.createdMs === 0);
  }

  async #rest(signal: AbortSignal): Promise<void> {
    // An abort before now is not heard of any more.
    if (signal.aborted) return;
    const timer = new AbortController();
    const stop = (): void => timer.abort();
    signal.addEventListener("abort", stop, { once: true });
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([woken, this.#c.clock.sleep(RETRY_MS, timer.signal).catch(() => {})]);
    signal.removeEventListener("abort", stop);
    timer.abort();
  }
}

function isSame(a: Locator, b: Locator): boolean {
  return equalBytes(a.id, b.id);
}
