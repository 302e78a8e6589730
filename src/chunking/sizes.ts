import { assert } from "../base/assert.ts";
import { KIB, MIB } from "../base/units.ts";
import type { ChunkSizes } from "../ports/compute.ts";

export const DEFAULT_CHUNK_SIZES: ChunkSizes = {
  minBytes: 256 * KIB,
  averageBytes: MIB,
  maxBytes: 4 * MIB,
};

/** A 32-bit gear hash forgets a byte after 32 shifts: it is a function of this many bytes and no more. */
export const GEAR_WINDOW_BYTES = 32;

/** The strict mask has log2(average) + 2 bits; more than 30 would leave next to nothing of the hash unused. */
const AVERAGE_BYTES_MAX = 2 ** 28;

/** Sizes are set by us, not read from peers: a wrong one is a bug. */
export function checkChunkSizes(sizes: ChunkSizes): void {
  const { minBytes, averageBytes, maxBytes } = sizes;
  for (const bytes of [minBytes, averageBytes, maxBytes]) {
    assert(Number.isSafeInteger(bytes), "chunk sizes are whole numbers of bytes");
  }
  assert(minBytes >= GEAR_WINDOW_BYTES, "the shortest chunk holds a whole window of the gear hash");
  assert(minBytes < averageBytes && averageBytes <= maxBytes, "chunk sizes are in order");
  assert(averageBytes <= AVERAGE_BYTES_MAX, "the average chunk size is within the 32-bit hash");
  assert(Math.log2(averageBytes) % 1 === 0, "the average chunk size is a power of two");
}
