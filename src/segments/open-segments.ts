import { assert, must } from "../base/assert.ts";
import type { PreparedChunk } from "../ports/compute.ts";
import { SegmentBuilder } from "./builder.ts";
import type { FramePlace } from "./layout.ts";
import { isTail, paddedSegmentBytes, type SegmentSizes } from "./sizes.ts";

/** A segment whose content is final: what to seal, and where each chunk will be. */
export interface ClosedSegment {
  readonly chunks: readonly PreparedChunk[];
  /** One for each chunk, in the same order. */
  readonly places: readonly FramePlace[];
  readonly contentBytes: number;
  /** Size to seal it at, padding included. */
  readonly segmentBytes: number;
  /** Small enough to be kept as copies instead of shards. */
  readonly tail: boolean;
  /** Lets go of the chunks' bytes once they are sealed: `chunks` is empty from then on. */
  release(): void;
}

/** Chosen: with three, which chunks share a segment is as good as unknown, and 48 MiB of memory are held at most. */
const OPEN_SEGMENTS = 3;

/**
 * Several segments filled at the same time, each chunk into one chosen at random, so that neither the order nor the
 * sizes of the chunks of one file can be read from the segments (as restic does since PR 5295). A chunk's place is
 * known when its segment is closed, not before, because a flush packs anew.
 */
export class OpenSegments {
  readonly #sizes: SegmentSizes;
  readonly #builders: SegmentBuilder[];

  constructor(init: {
    readonly sizes: SegmentSizes;
    /** @default 3 */
    readonly open?: number;
  }) {
    this.#sizes = init.sizes;
    this.#builders = Array.from({ length: init.open ?? OPEN_SEGMENTS }, () => this.#newBuilder());
    assert(this.#builders.length >= 1, "at least one segment is open");
  }

  /**
   * Puts a chunk into a segment chosen by `random` (uniform in [0, 1)), or into another where it does not fit. When it
   * fits into none, the fullest one is closed, returned, and replaced by a new one that begins with this chunk.
   */
  add(chunk: PreparedChunk, random: number): ClosedSegment | undefined {
    assert(chunk.stored.length <= this.#sizes.chunkMaxBytes, "a chunk is within the largest size");
    const count = this.#builders.length;
    const first = Math.floor(random * count);
    for (let step = 0; step < count; step++) {
      if (this.#builder((first + step) % count).tryAdd(chunk) !== undefined) return undefined;
    }
    const fullest = this.#builders.reduce((a, b) => (b.contentBytes > a.contentBytes ? b : a));
    const fresh = this.#newBuilder();
    this.#builders[this.#builders.indexOf(fullest)] = fresh;
    assert(fresh.tryAdd(chunk) !== undefined, "an empty segment has room for any chunk");
    return this.#close(fullest);
  }

  /** Closes everything. What is open is packed together, so that at most the last segment is not a full one. */
  flush(): ClosedSegment[] {
    const closed: ClosedSegment[] = [];
    const chunks = this.#builders.flatMap((builder) => builder.chunks);
    let builder = this.#newBuilder();
    for (const chunk of chunks) {
      if (builder.tryAdd(chunk) !== undefined) continue;
      closed.push(this.#close(builder));
      builder = this.#newBuilder();
      assert(builder.tryAdd(chunk) !== undefined, "an empty segment has room for any chunk");
    }
    if (!builder.isEmpty) closed.push(this.#close(builder));
    for (const index of this.#builders.keys()) this.#builders[index] = this.#newBuilder();
    return closed;
  }

  get isEmpty(): boolean {
    return this.#builders.every((builder) => builder.isEmpty);
  }

  /** Bytes that wait here: what a crash now would have to read again. */
  get storedBytes(): number {
    return this.#builders.reduce((sum, builder) => sum + (builder.isEmpty ? 0 : builder.contentBytes), 0);
  }

  #builder(index: number): SegmentBuilder {
    return must(this.#builders[index], "open segment");
  }

  #newBuilder(): SegmentBuilder {
    return new SegmentBuilder({ capacityBytes: this.#sizes.fullBytes });
  }

  #close(builder: SegmentBuilder): ClosedSegment {
    const segmentBytes = paddedSegmentBytes(builder.contentBytes, this.#sizes);
    return {
      chunks: builder.chunks,
      places: builder.places,
      contentBytes: builder.contentBytes,
      segmentBytes,
      tail: isTail(segmentBytes, this.#sizes),
      release: () => builder.release(),
    };
  }
}
