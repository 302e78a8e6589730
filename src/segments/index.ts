/**
 * Chunks to one sealed segment and back. Invariant: whoever lacks the owner's keys learns from a segment its padded
 * size and nothing else, and bytes that were changed, moved or taken from elsewhere do not open. Does not choose
 * profiles, make shards, or know where a segment is kept.
 */
export { contentBytesOf, SegmentBuilder } from "./builder.ts";
export { CHUNK_RAW_BYTES_MAX, compressChunk, decompressChunk } from "./compress.ts";
export {
  ENTRY_OVERHEAD_BYTES,
  FIRST_CHUNK_OFFSET,
  type FramePlace,
  SEGMENT_HEADER_BYTES,
  type SegmentIdentity,
  type TocEntry,
} from "./layout.ts";
export { openFrames } from "./open.ts";
export { type ClosedSegment, OpenSegments } from "./open-segments.ts";
export { type SegmentSealJob, sealSegment } from "./seal.ts";
export { DEFAULT_SEGMENT_SIZES, isTail, paddedSegmentBytes, type SegmentSizes } from "./sizes.ts";
export { openWholeSegment, readToc, type WholeSegment } from "./whole.ts";
