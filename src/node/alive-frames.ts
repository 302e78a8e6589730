import { type ChunkPlace, refKey, type SegmentRef } from "../catalog/index.ts";

/** How much of a segment some snapshot still reads. */
export interface AliveSegment {
  /** Sealed bytes of the frames that are read, each counted once. */
  readonly bytes: number;
  readonly frames: number;
}

/** Contents of files; or manifests, trees and lists of contents. */
export type FrameKind = "data" | "metadata";

interface Counted {
  bytes: number;
  frames: number;
  readonly bits: Record<FrameKind, Uint8Array>;
}

/** Which frames of which segments are read by anything: a bit or two for each, so that a repository of millions of chunks fits in memory. */
export class AliveFrames {
  readonly #segments = new Map<string, Counted>();
  /** Of all segments. */
  frames = 0;

  add(place: ChunkPlace, kind: FrameKind): void {
    if (this.kind(place) !== undefined) return;
    const key = refKey(place);
    let counted = this.#segments.get(key);
    if (counted === undefined) {
      counted = { bytes: 0, frames: 0, bits: { data: new Uint8Array(0), metadata: new Uint8Array(0) } };
      this.#segments.set(key, counted);
    }
    const at = place.frame >>> 3;
    const { bits } = counted;
    if (at >= bits[kind].length) bits[kind] = grown(bits[kind], at + 1);
    bits[kind][at] = (bits[kind][at] ?? 0) | (1 << (place.frame & 7));
    counted.frames++;
    counted.bytes += place.sealedBytes;
    this.frames++;
  }

  /** `undefined` where nothing reads it. */
  kind(place: Pick<ChunkPlace, "incarnation" | "number" | "frame">): FrameKind | undefined {
    const bits = this.#segments.get(refKey(place))?.bits;
    if (bits === undefined) return undefined;
    const isSet = (of: Uint8Array): boolean =>
      ((of[place.frame >>> 3] ?? 0) & (1 << (place.frame & 7))) !== 0;
    if (isSet(bits.data)) return "data";
    return isSet(bits.metadata) ? "metadata" : undefined;
  }

  of(ref: SegmentRef): AliveSegment | undefined {
    return this.#segments.get(refKey(ref));
  }
}

function grown(bits: Uint8Array, least: number): Uint8Array {
  const larger = new Uint8Array(Math.max(least, bits.length * 2));
  larger.set(bits);
  return larger;
}
