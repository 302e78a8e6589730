import { must } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { TaskPool } from "../base/concurrency.ts";
import { type Catalog, refKey, type SegmentRef, SegmentSet } from "../catalog/index.ts";
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
}

/** Segments being sealed and sent at the same time: each holds about n/k times 16 MiB of memory. */
const SEGMENTS_UNDER_WAY = 2;

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
  readonly #metadata: OpenSegments;
  readonly #pool = new TaskPool(SEGMENTS_UNDER_WAY);
  /** Chunks of this run that lie in no sealed segment yet. */
  readonly #open = new Set<string>();
  /** Whether a segment of an earlier run may be referred to. */
  readonly #reusable = new Map<string, boolean>();
  readonly written = new SegmentSet();
  bytesNew = 0;
  chunksNew = 0;

  constructor(components: ChunkStoreComponents, init: { chunkIdKey: Uint8Array; sizes: SegmentSizes }) {
    this.#c = components;
    this.#chunkIdKey = init.chunkIdKey;
    this.#data = new OpenSegments({ sizes: init.sizes });
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
    const reusable = record !== undefined && this.#c.census().mayReuse(record);
    this.#reusable.set(key, reusable);
    return reusable;
  }

  /** Stores a chunk unless it is there. Waits while too many segments are under way. */
  async add(chunk: PreparedChunk): Promise<SegmentRef | "open"> {
    const found = this.find(chunk.id);
    if (found !== undefined) return found;
    this.bytesNew += chunk.rawBytes;
    this.chunksNew++;
    await this.#collect(this.#data, chunk);
    return "open";
  }

  /** Names, and where need be stores, chunks of metadata; in order. */
  async addMetadata(plaintexts: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const prepared = await this.#c.compute.prepare(plaintexts, this.#chunkIdKey);
    const cacheOps = prepared.map((chunk, i) =>
      this.#c.catalog.metadata.putOp(chunk.id, must(plaintexts[i], "plaintext")),
    );
    await this.#c.catalog.store.write(cacheOps, { sync: false });
    for (const chunk of prepared) {
      if (this.find(chunk.id) === undefined) await this.#collect(this.#metadata, chunk);
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

  /** Waits until every segment handed over so far is placed or spooled. */
  async settle(): Promise<void> {
    await this.#pool.drain();
  }

  async #collect(open: OpenSegments, chunk: PreparedChunk): Promise<void> {
    this.#open.add(toHex(chunk.id));
    const closed = open.add(chunk, this.#c.rng.float());
    if (closed !== undefined) await this.#store(closed);
  }

  async #store(closed: ClosedSegment): Promise<void> {
    const ref = await this.#c.catalog.nextSegment();
    this.written.add(ref);
    await this.#c.storer.enter(ref, closed);
    for (const chunk of closed.chunks) this.#open.delete(toHex(chunk.id));
    await this.#pool.add(() => this.#c.storer.store(ref, closed));
  }
}
