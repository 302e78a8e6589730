import { must } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import {
  type Catalog,
  Moves,
  type PageSizes,
  pageSizesFor,
  refKey,
  type SegmentRef,
  SegmentSet,
} from "../catalog/index.ts";
import type { ProtectionCensus } from "../exchange/index.ts";
import type { Compute, PreparedChunk, Rng } from "../ports/index.ts";
import { type ClosedSegment, OpenSegments, type SegmentSizes } from "../segments/index.ts";
import type { SegmentStorer } from "./segment-storer.ts";

export interface ChunkStoreComponents {
  readonly catalog: Catalog;
  readonly compute: Pick<Compute, "prepare">;
  readonly storer: SegmentStorer;
  readonly rng: Rng;
  readonly census: () => ProtectionCensus;
  /** Segments that this snapshot needs: those that chunks were found in are added. */
  readonly needs: SegmentSet;
}

/** Filled at the same time, each chunk into one of them at random; each holds 16 MiB. */
const DATA_SEGMENTS_OPEN = 2;

/**
 * Where a snapshot's chunks go: those that the repository has, in segments that can be relied on, are left; the
 * others are collected into segments, which are sealed and placed as they fill. Data and metadata fill segments of
 * their own, so that looking at a tree does not read files.
 *
 * Invariant: a chunk counts as there only while its segment is safe, spooled, or part of this very run.
 */
export class ChunkStore {
  readonly #c: ChunkStoreComponents;
  readonly #chunkIdKey: Uint8Array;
  readonly #data: OpenSegments;
  readonly #collecting = new Semaphore(1);
  readonly #metadata: OpenSegments;
  /** From the moment when a segment is closed until it is placed or spooled. */
  readonly #underWay = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;
  /** Chunks of this run that lie in no stored segment yet. */
  readonly #open = new Set<string>();
  /** Whether a segment of an earlier run may be referred to. */
  readonly #reusable = new Map<string, boolean>();
  /** Segments of this run. */
  readonly written = new SegmentSet();
  /** Of these, the ones that are placed or spooled. */
  readonly stored = new SegmentSet();
  readonly pages: PageSizes;
  readonly #moves: Moves;
  bytesNew = 0;
  /** The same, compressed. */
  bytesPacked = 0;
  chunksNew = 0;

  constructor(components: ChunkStoreComponents, init: { chunkIdKey: Uint8Array; sizes: SegmentSizes }) {
    this.#c = components;
    this.#chunkIdKey = init.chunkIdKey;
    this.#moves = Moves.load(components.catalog.store);
    this.pages = pageSizesFor(init.sizes.chunkMaxBytes);
    this.#data = new OpenSegments({ sizes: init.sizes, open: DATA_SEGMENTS_OPEN });
    this.#metadata = new OpenSegments({ sizes: init.sizes, open: 1 });
  }

  /** The segment that has the chunk; `"open"` when this run is about to write it; `undefined`: it is to be stored. */
  find(id: Uint8Array): SegmentRef | "open" | undefined {
    if (this.#open.has(toHex(id))) return "open";
    const place = this.#c.catalog.chunks.get(id);
    return place !== undefined && this.mayReuse(place) ? place : undefined;
  }

  mayReuse(ref: SegmentRef): boolean {
    if (this.written.has(ref)) return true;
    const key = refKey(ref);
    const known = this.#reusable.get(key);
    if (known !== undefined) return known;
    const record = this.#c.catalog.segments.get(ref);
    const reusable =
      record !== undefined && !this.#moves.isLeft(ref) && this.#c.census().mayReuse(ref, record);
    this.#reusable.set(key, reusable);
    return reusable;
  }

  /** Whether what is stored now may name chunks of it: a head may be signed over it this moment. */
  isReliable(ref: SegmentRef): boolean {
    return this.written.has(ref) ? this.stored.has(ref) : this.mayReuse(ref);
  }

  /** Stores a chunk unless it is there. Waits while too many segments are under way. */
  async add(chunk: PreparedChunk): Promise<void> {
    if (this.#isThere(chunk.id)) return;
    this.bytesNew += chunk.rawBytes;
    this.bytesPacked += chunk.stored.length;
    this.chunksNew++;
    await this.#collect(this.#data, chunk);
  }

  /** Names, and where need be stores, chunks of metadata; in order. */
  async addMetadata(plaintexts: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const prepared = await this.#c.compute.prepare(plaintexts, this.#chunkIdKey);
    const cacheOps = prepared.map((chunk, i) =>
      this.#c.catalog.metadata.putOp(chunk.id, must(plaintexts[i], "plaintext")),
    );
    await this.#c.catalog.store.write(cacheOps, { sync: false });
    for (const chunk of prepared) {
      if (!this.#isThere(chunk.id)) await this.#collect(this.#metadata, chunk);
    }
    return prepared.map((chunk) => chunk.id);
  }

  /**
   * What is still in open segments, closed: those that are full are stored, the rest of data and of metadata is
   * returned for the segments that end a snapshot.
   */
  async takeRemainder(): Promise<PreparedChunk[]> {
    const remainder: PreparedChunk[] = [];
    for (const open of [this.#data, this.#metadata]) {
      const closed = open.flush();
      const last = closed.pop();
      for (const segment of closed) await this.#store(segment);
      if (last !== undefined) remainder.push(...last.chunks);
    }
    for (const chunk of remainder) this.#open.delete(toHex(chunk.id));
    return remainder;
  }

  /** Waits until every segment closed so far is placed or spooled; throws the first failure. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#underWay]);
    this.#throwIfFailed();
  }

  #isThere(id: Uint8Array): boolean {
    const found = this.find(id);
    if (found !== undefined && found !== "open") this.#c.needs.add(found);
    return found !== undefined;
  }

  async #collect(open: OpenSegments, chunk: PreparedChunk): Promise<void> {
    this.#open.add(toHex(chunk.id));
    // One at a time: while a full segment waits for its turn, no other one is filled up and waits beside it.
    await this.#collecting.run(async () => {
      const closed = open.add(chunk, this.#c.rng.float());
      if (closed !== undefined) await this.#store(closed);
    });
  }

  /** Waits for room among those under way, not for the end. */
  async #store(closed: ClosedSegment): Promise<void> {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const settled = this.#storeNow(closed, begin)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#underWay.delete(settled);
        begin();
      });
    this.#underWay.add(settled);
    await begun;
    this.#throwIfFailed();
  }

  async #storeNow(closed: ClosedSegment, begin: () => void): Promise<void> {
    this.#throwIfFailed();
    const { catalog, storer } = this.#c;
    const ref = await catalog.nextSegment();
    this.written.add(ref);
    const entered = await storer.enter(ref, closed);
    const room = await storer.reserve(entered);
    begin();
    await storer.store(entered, room);
    this.stored.add(ref);
    for (const { id } of entered.entries) this.#open.delete(toHex(id));
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
