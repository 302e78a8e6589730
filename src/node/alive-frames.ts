import { type ChunkPlace, refKey, type SegmentRef } from "../catalog/index.ts";

/** How much of a segment some snapshot still reads. */
export interface AliveSegment {
  readonly ref: SegmentRef;
  /** Sealed bytes of the frames that are read, each counted once. */
  readonly bytes: number;
  /** Of these, the ones that are manifests, trees or lists of contents. */
  readonly metadataBytes: number;
  readonly frames: number;
}

interface Counted {
  readonly ref: SegmentRef;
  bytes: number;
  metadataBytes: number;
  frames: number;
  bits: Uint8Array;
}

/** Which frames of which segments are read by anything: one bit for each, so that a repository of millions of chunks fits in memory. */
export class AliveFrames {
  readonly #segments = new Map<string, Counted>();

  add(place: ChunkPlace, of: "data" | "metadata"): void {
    const key = refKey(place);
    let counted = this.#segments.get(key);
    if (counted === undefined) {
      const ref = { incarnation: place.incarnation, number: place.number };
      counted = { ref, bytes: 0, metadataBytes: 0, frames: 0, bits: new Uint8Array(4) };
      this.#segments.set(key, counted);
    }
    const at = place.frame >>> 3;
    const bit = 1 << (place.frame & 7);
    if (at >= counted.bits.length) counted.bits = grown(counted.bits, at + 1);
    const byte = counted.bits[at] ?? 0;
    if ((byte & bit) !== 0) return;
    counted.bits[at] = byte | bit;
    counted.frames++;
    counted.bytes += place.sealedBytes;
    if (of === "metadata") counted.metadataBytes += place.sealedBytes;
  }

  has(place: Pick<ChunkPlace, "incarnation" | "number" | "frame">): boolean {
    const byte = this.#segments.get(refKey(place))?.bits[place.frame >>> 3] ?? 0;
    return (byte & (1 << (place.frame & 7))) !== 0;
  }

  of(ref: SegmentRef): AliveSegment | undefined {
    return this.#segments.get(refKey(ref));
  }

  *all(): Generator<AliveSegment> {
    yield* this.#segments.values();
  }
}

function grown(bits: Uint8Array, least: number): Uint8Array {
  const larger = new Uint8Array(Math.max(least, bits.length * 2));
  larger.set(bits);
  return larger;
}
