/**
 * Cuts bytes into content-defined chunks, so that an insertion into a file changes the chunks around it and no
 * others. Invariant: the cuts depend on the owner's gear key, the sizes and the bytes alone, never on how the
 * bytes were read. Does not read files, name chunks or compress them.
 */
export { type Chunker, chunkEnds, createChunker } from "./chunker.ts";
export { checkChunkSizes, DEFAULT_CHUNK_SIZES, GEAR_WINDOW_BYTES } from "./sizes.ts";
