import { assert } from "../base/assert.ts";
import { KIB, MIB } from "../base/units.ts";
import { ENTRY_OVERHEAD_BYTES } from "./layout.ts";

/** Sizes of sealed segments: fields of the repository's format, smaller in tests and the simulator. */
export interface SegmentSizes {
  /** Every segment that is full has exactly this many bytes. */
  readonly fullBytes: number;
  /** The largest `stored` of a chunk; a segment with less room than this left counts as full. */
  readonly chunkMaxBytes: number;
  /** A segment of at most this many bytes is a tail: kept as copies instead of being erasure coded. */
  readonly tailMaxBytes: number;
  /** The leaf of the Merkle trees, and the size of the smallest segment. */
  readonly leafBytes: number;
}

export const DEFAULT_SEGMENT_SIZES: SegmentSizes = {
  fullBytes: 16 * MIB,
  chunkMaxBytes: 4 * MIB,
  tailMaxBytes: MIB,
  leafBytes: 16 * KIB,
};

/**
 * Sealed size of a segment with so much content (see `contentBytesOf`): the full size when the next chunk might not
 * have fitted, so that what did not fit leaks nothing about chunk sizes; else Padmé (Nikitin et al., PETS 2019: at
 * most 12 % more, log log n bits told), from one leaf up and in quarters of a leaf. A quarter (4 KiB) costs a holder
 * nothing, since its file system rounds up to that anyway.
 */
export function paddedSegmentBytes(contentBytes: number, sizes: SegmentSizes): number {
  assert(contentBytes <= sizes.fullBytes, "a segment's content fits into it");
  if (contentBytes > sizes.fullBytes - sizes.chunkMaxBytes - ENTRY_OVERHEAD_BYTES) return sizes.fullBytes;
  const padded = roundUp(
    padme(Math.max(contentBytes, sizes.leafBytes)),
    Math.max(1, Math.floor(sizes.leafBytes / 4)),
  );
  return Math.min(padded, sizes.fullBytes);
}

export function isTail(segmentBytes: number, sizes: SegmentSizes): boolean {
  return segmentBytes <= sizes.tailMaxBytes;
}

/** Rounds up so that only the top log2(log2(n)) + 1 bits of the size may be other than zero. `bytes` >= 2. */
function padme(bytes: number): number {
  const exponent = Math.floor(Math.log2(bytes));
  const kept = Math.floor(Math.log2(exponent)) + 1;
  return roundUp(bytes, 2 ** Math.max(0, exponent - kept));
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
