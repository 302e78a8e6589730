import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import {
  type Catalog,
  catalogRootCodec,
  type IndexEntry,
  Moves,
  type RepositoryState,
  runsNotWhole,
  type SegmentRef,
  SegmentSet,
  type SnapshotEntry,
  snapshotPageCodec,
  type Trail,
  type TrailPlan,
  unreadParts,
} from "../catalog/index.ts";
import type { HeadKeeper } from "../exchange/index.ts";
import type { Compute, MetaOp, PreparedChunk } from "../ports/index.ts";
import type { SegmentSizes } from "../segments/index.ts";
import type { Locator } from "../wire/head.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { EndSegments, type StoreEnd } from "./end-segments.ts";
import type { FreshEntries } from "./fresh-entries.ts";
import { mergeEntries, writeIndexRun } from "./index-writer.ts";
import type { SegmentStorer } from "./segment-storer.ts";

/** Runs of the index; with more of them they are written anew as one. */
const INDEX_RUNS_MAX = 32;

export interface HeadPartsComponents {
  readonly catalog: Catalog;
  readonly compute: Pick<Compute, "prepare">;
  readonly store: Pick<
    ChunkStore,
    "takeRemainder" | "settle" | "written" | "stored" | "mayReuse" | "isReliable" | "pages"
  >;
  readonly storer: Pick<SegmentStorer, "enter" | "reserve" | "store">;
  readonly heads: Pick<HeadKeeper, "commit">;
  /** @default none is kept */
  readonly trail?: Pick<Trail, "append" | "plan">;
}

export interface HeadPartsInit {
  readonly chunkIdKey: Uint8Array;
  readonly sizes: SegmentSizes;
  readonly classes: { readonly whole: number; readonly tail: number };
}

/** What the root says of moved segments, and what is written down with the head that says so. */
export interface StoredMoves {
  readonly at: Locator;
  readonly ops: readonly MetaOp[];
}

/** What lies between a head and its snapshots: index, list, trail, moved segments, root. Each part is written into the same end. */
export class HeadParts {
  readonly #c: HeadPartsComponents;
  readonly #init: HeadPartsInit;

  constructor(components: HeadPartsComponents, init: HeadPartsInit) {
    this.#c = components;
    this.#init = init;
  }

  openEnd(expectedBytes: number): EndSegments {
    const { catalog, store, storer } = this.#c;
    const storeEnd: StoreEnd = async (ref, segment) => {
      store.written.add(ref);
      const entered = await storer.enter(ref, segment);
      await storer.store(entered, await storer.reserve(entered));
      store.stored.add(ref);
    };
    return new EndSegments({ catalog, store: storeEnd }, { ...this.#init, expectedBytes });
  }

  /** @param without written whole, whatever there is, and without a word of these */
  async writeIndex(
    end: EndSegments,
    own: readonly IndexEntry[],
    fresh: FreshEntries,
    without?: SegmentSet,
  ): Promise<RepositoryState["runs"]> {
    const { catalog, compute, store } = this.#c;
    const known = catalog.state.runs;
    const isReliable = (run: RepositoryState["runs"][number]): boolean =>
      [...SegmentSet.fromRanges(run.segments)].every((ref) => store.isReliable(ref));
    // What a recovery could not read yet is not in the local index: it stays as it is.
    const lacking = new Set(runsNotWhole(unreadParts(catalog.store)).map(toHex));
    const kept = known.filter(({ locator }) => lacking.has(toHex(locator.id)));
    const whole = known.filter((run) => !kept.includes(run));
    const anew = without !== undefined || whole.length >= INDEX_RUNS_MAX || !whole.every(isReliable);
    const listed = anew ? fresh.whole() : fresh.unlisted();
    const { chunkIdKey } = this.#init;
    const also = anew ? await this.#segmentsOfOthers(without) : new SegmentSet();
    const init = { chunkIdKey, pageEntries: store.pages.indexEntries, also };
    const run = await writeIndexRun({ catalog, compute, end }, init, mergeEntries(listed, own));
    if (run === undefined) return without === undefined ? known : kept;
    const added = { locator: run.locator, segments: run.segments.toRanges() };
    return anew ? [...kept, added] : [...known, added];
  }

  /**
   * What earlier runs described. A snapshot goes on needing a segment whose chunks were all stored anew since: where no run
   * described it any more, a recovered home could neither read that snapshot nor have the segment repaired.
   */
  async #segmentsOfOthers(without: SegmentSet = new SegmentSet()): Promise<SegmentSet> {
    const { catalog, store } = this.#c;
    const others = new SegmentSet();
    for await (const [ref, { slots, spooled, createdMs }] of catalog.segments.all()) {
      const wasPlaced = spooled || createdMs === 0 || slots.some((slot) => slot !== null);
      if (wasPlaced && !without.has(ref) && (!store.written.has(ref) || store.stored.has(ref)))
        others.add(ref);
    }
    return others;
  }

  /** Pages that come out as they were are not written again, unless all are to be. */
  async pagesOf(all: readonly SnapshotEntry[], anew: boolean): Promise<(Locator | PreparedChunk)[]> {
    const { catalog, store } = this.#c;
    // Pages that a recovery could not read yet: what they list is not among `all`.
    const pages: (Locator | PreparedChunk)[] = [...unreadParts(catalog.store).lists];
    for (let at = 0; at < all.length; at += store.pages.snapshots) {
      const snapshots = all.slice(at, at + store.pages.snapshots);
      const chunk = await this.prepare(snapshotPageCodec.encode({ v: 1, snapshots }));
      const known = catalog.state.snapshotPages[pages.length];
      const isThere =
        !anew &&
        known !== undefined &&
        equalBytes(known.id, chunk.id) &&
        store.isReliable({ incarnation: known.incarnation, number: known.segment });
      pages.push(isThere ? known : chunk);
    }
    return pages;
  }

  /** Puts those that are not stored yet into the end. */
  async storePages(end: EndSegments, pages: readonly (Locator | PreparedChunk)[]): Promise<Locator[]> {
    const stored: Locator[] = [];
    for (const page of pages) stored.push("stored" in page ? await end.addLocated(page) : page);
    return stored;
  }

  /** @param without pages in these are written anew, if what they hold is here */
  planTrail(without?: SegmentSet): Promise<TrailPlan | undefined> {
    const { trail, store } = this.#c;
    const isReliable = (ref: SegmentRef): boolean => without?.has(ref) !== true && store.isReliable(ref);
    return trail?.plan(store.pages.snapshots, isReliable) ?? Promise.resolve(undefined);
  }

  async storeTrail(end: EndSegments, plan: TrailPlan | undefined): Promise<Pick<RepositoryState, "trail">> {
    if (plan === undefined) return {};
    const pages: NonNullable<RepositoryState["trail"]>["pages"] = [];
    for (const page of plan.pages) {
      const { from, entries } = page;
      const at = "at" in page ? page.at : await end.addLocated(await this.prepare(page.bytes));
      pages.push({ from, entries, at });
    }
    return { trail: { sequence: plan.sequence, hash: plan.hash, pages } };
  }

  /** @param without what lies in these is written anew */
  async storeMoves(end: EndSegments, without?: SegmentSet): Promise<StoredMoves | undefined> {
    const { catalog, store } = this.#c;
    const { moves: unread } = unreadParts(catalog.store);
    // What a recovery could not read yet stays as it is.
    if (unread !== undefined) return { at: unread, ops: [] };
    const moves = Moves.load(catalog.store);
    if (moves.isEmpty) return undefined;
    const { at } = moves.state;
    const ref = at === undefined ? undefined : { incarnation: at.incarnation, number: at.segment };
    if (at !== undefined && ref !== undefined && without?.has(ref) !== true && store.isReliable(ref))
      return { at, ops: [] };
    const stored = await end.addLocated(await this.prepare(moves.stored));
    return { at: stored, ops: [moves.storedAtOp(stored)] };
  }

  async prepare(plaintext: Uint8Array): Promise<PreparedChunk> {
    const [chunk] = await this.#c.compute.prepare([plaintext], this.#init.chunkIdKey);
    return must(chunk, "prepared chunk");
  }

  root(
    runs: RepositoryState["runs"],
    snapshots: Locator[],
    moves: StoredMoves | undefined,
  ): Promise<PreparedChunk> {
    const listed = { runs: runs.map((run) => run.locator), snapshots };
    return this.prepare(
      catalogRootCodec.encode(
        moves === undefined ? { v: 1, ...listed } : { v: 2, ...listed, moves: moves.at },
      ),
    );
  }
}
