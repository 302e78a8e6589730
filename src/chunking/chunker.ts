import { assert } from "../base/assert.ts";
import type { ChunkSizes } from "../ports/compute.ts";
import { gearTable } from "./gear-table.ts";
import { checkChunkSizes, GEAR_WINDOW_BYTES } from "./sizes.ts";

export interface Chunker {
  readonly sizes: ChunkSizes;
  /**
   * End (exclusive) of the chunk that begins at `from`, judged by bytes[from..to). `undefined` when the end cannot
   * be known from these bytes and more may follow (`final` false), or when there are no bytes. A window of
   * `maxBytes` is always enough. The cuts are the same however the data is divided into windows.
   */
  nextCut(bytes: Uint8Array, from: number, to: number, final: boolean): number | undefined;
}

/** How many bits stricter and laxer than log2(average) the two masks are: FastCDC's normalisation level 2. */
const NORMALISATION_BITS = 2;

/**
 * Where the strict mask gives way to the lax one, in sixteenths of the average. At the average itself, as in the
 * FastCDC paper, chunks of random data would be 1.15 averages long with min = average / 4; 13/16 makes it 0.99.
 */
const NORMAL_POINT_SIXTEENTHS = 13;

/**
 * FastCDC (2020) with a 32-bit gear hash, because JavaScript does 32-bit arithmetic nine times as fast as 64-bit.
 * `gearKey`: 32 bytes.
 */
export function createChunker(gearKey: Uint8Array, sizes: ChunkSizes): Chunker {
  checkChunkSizes(sizes);
  const { minBytes, averageBytes, maxBytes } = sizes;
  const gear = gearTable(gearKey);
  const normalBytes = Math.max(minBytes, Math.floor((averageBytes * NORMAL_POINT_SIXTEENTHS) / 16));
  const averageBits = Math.log2(averageBytes);
  const strictMask = topBits(averageBits + NORMALISATION_BITS);
  const laxMask = topBits(averageBits - NORMALISATION_BITS);

  return {
    sizes,
    nextCut: (bytes, from, to, final) => {
      assert(0 <= from && from <= to && to <= bytes.length, "the window lies within the bytes");
      if (to - from >= minBytes) {
        const normal = Math.min(to, from + normalBytes);
        const end = Math.min(to, from + maxBytes);
        const cut =
          scan(bytes, from + minBytes, normal, gear, strictMask) ??
          scan(bytes, normal + 1, end, gear, laxMask);
        if (cut !== undefined) return cut;
        if (end === from + maxBytes) return end;
      }
      return final && from < to ? to : undefined;
    },
  };
}

/** The upper bits are those that the most bytes of the window have gone into. */
function topBits(count: number): number {
  return -1 << (32 - count);
}

/**
 * The first end e in first..last whose 32 bytes before it hash to zero under the mask. Each end is judged by its
 * own window alone, whatever came before: that is why cuts come back right after a change.
 */
function scan(
  bytes: Uint8Array,
  first: number,
  last: number,
  gear: Int32Array,
  mask: number,
): number | undefined {
  if (first > last) return undefined;
  let hash = 0;
  for (let at = first - GEAR_WINDOW_BYTES; at < first - 1; at++) {
    hash = ((hash << 1) + (gear[bytes[at] ?? 0] ?? 0)) | 0;
  }
  for (let at = first - 1; at < last; at++) {
    hash = ((hash << 1) + (gear[bytes[at] ?? 0] ?? 0)) | 0;
    if ((hash & mask) === 0) return at + 1;
  }
  return undefined;
}

/** The ends of all chunks of data that is in memory as a whole. */
export function chunkEnds(chunker: Chunker, bytes: Uint8Array): number[] {
  const ends: number[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = chunker.nextCut(bytes, from, bytes.length, true);
    assert(end !== undefined && end > from, "the last window always has an end");
    ends.push(end);
    from = end;
  }
  return ends;
}
