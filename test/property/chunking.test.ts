import { hkdf } from "@noble/hashes/hkdf.js";
import { sha512 } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Chunker, chunkEnds, createChunker } from "../../src/chunking/index.ts";
import type { ChunkSizes } from "../../src/ports/compute.ts";

const SIZES: ChunkSizes = { minBytes: 64, averageBytes: 256, maxBytes: 1024 };

/** Bytes with repeats in them: text, runs and noise, as files have. */
const content = fc
  .array(
    fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 900 }),
      fc
        .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 1500 }))
        .map(([value, length]) => new Uint8Array(length).fill(value)),
    ),
    { maxLength: 12 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)));
const gearKey = fc.uint8Array({ minLength: 32, maxLength: 32 });

/**
 * The format page taken word for word, with nothing kept between positions and no bit tricks: the hash at an end is
 * the sum of gear[byte] * 2^age over the 32 bytes before it, modulo 2^32.
 */
function referenceEnds(key: Uint8Array, sizes: ChunkSizes, bytes: Uint8Array): number[] {
  const stream = Buffer.from(hkdf(sha512, key, undefined, Buffer.from("cairn/1/gear-table"), 1024));
  const bits = Math.log2(sizes.averageBytes);
  const normal = Math.max(sizes.minBytes, Math.floor((sizes.averageBytes * 13) / 16));
  const isCut = (end: number, length: number): boolean => {
    let sum = 0n;
    for (let age = 0; age < 32; age++) {
      sum += BigInt(stream.readUInt32BE((bytes[end - 1 - age] ?? 0) * 4)) << BigInt(age);
    }
    const wanted = length <= normal ? bits + 2 : bits - 2;
    return (sum & 0xffff_ffffn) >> BigInt(32 - wanted) === 0n;
  };
  const ends: number[] = [];
  for (let from = 0; from < bytes.length; ) {
    let length = Math.min(sizes.minBytes, bytes.length - from);
    while (from + length < bytes.length && length < sizes.maxBytes && !isCut(from + length, length)) length++;
    from += length;
    ends.push(from);
  }
  return ends;
}

/** Cuts while the data comes in pieces, keeping only what belongs to the chunk that is not finished. */
function endsOfStream(chunker: Chunker, bytes: Uint8Array, pieceBytes: Iterable<number>): number[] {
  const ends: number[] = [];
  let from = 0;
  let to = 0;
  const cutAll = (final: boolean): void => {
    for (;;) {
      // A copy with the window at an odd place: nothing outside of it may count.
      const window = Buffer.concat([Buffer.alloc(5, 0xaa), bytes.subarray(from, to), Buffer.alloc(3, 0x55)]);
      const end = chunker.nextCut(window, 5, window.length - 3, final);
      if (end === undefined) return;
      from += end - 5;
      ends.push(from);
    }
  };
  for (const piece of pieceBytes) {
    to = Math.min(bytes.length, to + piece);
    cutAll(false);
  }
  to = bytes.length;
  cutAll(true);
  return ends;
}

describe("chunking", () => {
  it("does what the format page says", () => {
    fc.assert(
      fc.property(gearKey, content, (key, bytes) => {
        expect(chunkEnds(createChunker(key, SIZES), bytes)).toEqual(referenceEnds(key, SIZES, bytes));
      }),
      { numRuns: 60 },
    );
  });

  it("cuts the same whole, byte by byte and in any pieces", () => {
    fc.assert(
      fc.property(gearKey, content, fc.array(fc.integer({ min: 1, max: 2000 })), (key, bytes, pieces) => {
        const chunker = createChunker(key, SIZES);
        const whole = chunkEnds(chunker, bytes);
        expect(endsOfStream(chunker, bytes, pieces)).toEqual(whole);
        const few = bytes.subarray(0, 3000);
        expect(endsOfStream(chunker, few, new Array(few.length).fill(1))).toEqual(chunkEnds(chunker, few));
      }),
      { numRuns: 40 },
    );
  });

  it("keeps every chunk but the last within its bounds, and loses no byte", () => {
    fc.assert(
      fc.property(gearKey, content, (key, bytes) => {
        const ends = chunkEnds(createChunker(key, SIZES), bytes);
        expect(ends.at(-1) ?? 0).toBe(bytes.length);
        const lengths = ends.map((end, index) => end - (ends[index - 1] ?? 0));
        for (const length of lengths.slice(0, -1)) expect(length).toBeGreaterThanOrEqual(SIZES.minBytes);
        for (const length of lengths) expect(length).toBeLessThanOrEqual(SIZES.maxBytes);
      }),
    );
  });

  it("forgets what came before a cut: the rest of the data is cut as if it stood alone", () => {
    fc.assert(
      fc.property(gearKey, content, (key, bytes) => {
        const chunker = createChunker(key, SIZES);
        const [first, ...rest] = chunkEnds(chunker, bytes);
        if (first === undefined) return;
        expect(chunkEnds(chunker, bytes.subarray(first))).toEqual(rest.map((end) => end - first));
      }),
    );
  });
});
