import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { AssertionFailure, assert } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { MIB } from "../base/units.ts";

const ZSTD_LEVEL = 3;
/** zlib refuses smaller output buffers. */
const ZLIB_CHUNK_BYTES_MIN = 64;
/** Above the largest chunk by far; what a reader is ready to hold of one chunk. */
export const CHUNK_RAW_BYTES_MAX = 64 * MIB;

/** With the 256th part of the input: what zstd adds to incompressible data at most. */
const OUTPUT_MARGIN_BYTES = 512;

/** zstd of a chunk, or the chunk itself (the same memory) where that is not smaller. */
export function compressChunk(raw: Uint8Array): { stored: Uint8Array; compressed: boolean } {
  assert(raw.length <= CHUNK_RAW_BYTES_MAX, "a chunk is within its largest size");
  // One buffer for all of the output: of several, zlib makes another one, and leaves them all to be collected.
  const outputBytes = raw.length + Math.ceil(raw.length / 256) + OUTPUT_MARGIN_BYTES;
  const packed = zstdCompressSync(raw, {
    chunkSize: outputBytes,
    pledgedSrcSize: raw.length,
    params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
  });
  const output = new Uint8Array(packed.buffer);
  // A small one is a part of a buffer that Node shares out.
  const alone = output.length === outputBytes;
  if (packed.length >= raw.length) {
    if (alone) letGo(output);
    return { stored: raw, compressed: false };
  }
  // Copied, because `packed` keeps zlib's output buffer alive as long as it waits in a segment.
  const stored = new Uint8Array(packed);
  if (alone) letGo(output);
  return { stored, compressed: true };
}

/**
 * Exactly `rawBytes` bytes, or `undefined` when `stored` is not one compressed chunk of that length with nothing after
 * it. Never makes more output than `rawBytes`, whatever `stored` claims.
 */
export function decompressChunk(stored: Uint8Array, rawBytes: number): Uint8Array | undefined {
  if (rawBytes === 0 || rawBytes > CHUNK_RAW_BYTES_MAX) return undefined;
  try {
    // One byte more than needed, or a second buffer of the same size would be taken just to see the end.
    const result: unknown = zstdDecompressSync(stored, {
      chunkSize: Math.max(ZLIB_CHUNK_BYTES_MIN, rawBytes + 1),
      maxOutputLength: rawBytes,
      info: true,
    });
    assert(isWithEngine(result), "zlib gives the engine with the output when asked for it");
    // zstd ignores what follows a frame; `bytesWritten` is how much of the input it has used.
    if (result.engine.bytesWritten !== stored.length) return undefined;
    const { buffer } = result;
    if (buffer.length !== rawBytes) return undefined;
    return new Uint8Array(buffer.buffer, buffer.byteOffset, rawBytes);
  } catch (error) {
    if (error instanceof AssertionFailure) throw error;
    return undefined;
  }
}

/** The result of `info: true`, which the types of Node leave out. */
function isWithEngine(value: unknown): value is { buffer: Uint8Array; engine: { bytesWritten: number } } {
  if (typeof value !== "object" || value === null || !("buffer" in value) || !("engine" in value))
    return false;
  const { buffer, engine } = value;
  if (typeof engine !== "object" || engine === null || !("bytesWritten" in engine)) return false;
  return buffer instanceof Uint8Array && typeof engine.bytesWritten === "number";
}
