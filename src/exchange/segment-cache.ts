import type { Descriptor } from "../wire/descriptor.ts";

/** A sealed segment as far as it has been read in ranges. */
export interface PartialSegment {
  readonly descriptor: Descriptor;
  /** The segment's size; zero where nothing was read. */
  readonly bytes: Uint8Array;
  /** Blocks of shards that are filled in, by `blockKey`. */
  readonly blocks: Set<number>;
}

/** Blocks of one shard are fewer than this: 16 MiB in 256 KiB blocks are 64. */
const BLOCKS_PER_SHARD_MAX = 4096;

export function blockKey(shard: number, block: number): number {
  return shard * BLOCKS_PER_SHARD_MAX + block;
}

/** Nothing of it is read yet. */
export function emptySegment(descriptor: Descriptor): PartialSegment {
  return { descriptor, bytes: new Uint8Array(descriptor.segmentBytes), blocks: new Set() };
}

/**
 * The segments that were last read in ranges: trees lie close together, so the next page is often in a block that is
 * here already. Bounded; the one not used for longest goes first.
 */
export class SegmentCache {
  readonly #bytesMax: number;
  readonly #entries = new Map<string, PartialSegment>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(key: string): PartialSegment | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  /** The entry of this segment, made if there is none. */
  open(key: string, descriptor: Descriptor): PartialSegment {
    const known = this.get(key);
    if (known !== undefined) return known;
    const entry = emptySegment(descriptor);
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes.length;
    for (const [oldest, { bytes }] of this.#entries) {
      if (this.#bytes <= this.#bytesMax || oldest === key) break;
      this.#entries.delete(oldest);
      this.#bytes -= bytes.length;
    }
    return entry;
  }
}
