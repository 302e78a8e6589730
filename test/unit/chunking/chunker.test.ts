import { createCipheriv } from "node:crypto";
import { describe, expect, it } from "vitest";
import { AssertionFailure } from "../../../src/base/assert.ts";
import { KIB, MIB } from "../../../src/base/units.ts";
import { chunkEnds, createChunker, DEFAULT_CHUNK_SIZES } from "../../../src/chunking/index.ts";

const KEY = new Uint8Array(32).fill(7);
const SMALL = { minBytes: KIB, averageBytes: 4 * KIB, maxBytes: 16 * KIB };

/** The same pseudo-random bytes in every run. */
function noise(bytes: number, seed = 1): Uint8Array {
  const stream = createCipheriv("aes-256-ctr", Buffer.alloc(32, seed), Buffer.alloc(16));
  return new Uint8Array(stream.update(Buffer.alloc(bytes)));
}

function lengthsOf(ends: readonly number[]): number[] {
  return ends.map((end, index) => end - (ends[index - 1] ?? 0));
}

function chunkTexts(bytes: Uint8Array, ends: readonly number[]): string[] {
  return ends.map((end, index) => Buffer.from(bytes.subarray(ends[index - 1] ?? 0, end)).toString("latin1"));
}

describe("nextCut", () => {
  const chunker = createChunker(KEY, SMALL);
  const data = noise(64 * KIB);

  it("knows no end of nothing", () => {
    expect(chunker.nextCut(data, 5, 5, false)).toBeUndefined();
    expect(chunker.nextCut(data, 5, 5, true)).toBeUndefined();
  });

  it("ends the last chunk where the data ends", () => {
    expect(chunker.nextCut(data, 0, 100, false)).toBeUndefined();
    expect(chunker.nextCut(data, 0, 100, true)).toBe(100);
  });

  it("sees a cut as soon as the bytes before it are there", () => {
    const end = chunker.nextCut(data, 0, data.length, false) ?? 0;
    expect(end).toBeGreaterThan(SMALL.minBytes);
    expect(chunker.nextCut(data, 0, end, false)).toBe(end);
    expect(chunker.nextCut(data, 0, end - 1, false)).toBeUndefined();
  });

  it("cuts the same whatever lies before the window in memory", () => {
    const shifted = new Uint8Array(data.length + 3);
    shifted.set(data, 3);
    const end = chunker.nextCut(data, 0, data.length, true) ?? 0;
    expect(chunker.nextCut(shifted, 3, shifted.length, true)).toBe(end + 3);
  });

  it("cuts at the largest size where no content does", () => {
    // A key for which a run of zeros never matches; most are such.
    const zeros = new Uint8Array(40 * KIB);
    const lengths = lengthsOf(chunkEnds(chunker, zeros));
    expect(lengths).toEqual([16 * KIB, 16 * KIB, 8 * KIB]);
  });

  it("refuses a window outside of the bytes", () => {
    expect(() => chunker.nextCut(data, 0, data.length + 1, true)).toThrow(AssertionFailure);
  });
});

describe("sizes", () => {
  it("keeps to the bounds and comes out at the average", () => {
    const data = noise(8 * MIB);
    const lengths = lengthsOf(chunkEnds(createChunker(KEY, SMALL), data));
    const inner = lengths.slice(0, -1);
    expect(Math.min(...inner)).toBeGreaterThanOrEqual(SMALL.minBytes);
    expect(Math.max(...inner)).toBeLessThanOrEqual(SMALL.maxBytes);
    const mean = data.length / lengths.length;
    expect(mean).toBeGreaterThan(0.95 * SMALL.averageBytes);
    expect(mean).toBeLessThan(1.05 * SMALL.averageBytes);
    // Normalised: half of all chunks lie near the average; without it about a third would.
    const near = inner.filter((length) => length > 0.6 * mean && length < 1.4 * mean);
    expect(near.length / inner.length).toBeGreaterThan(0.6);
    const atMax = inner.filter((length) => length === SMALL.maxBytes);
    expect(atMax.length / inner.length).toBeLessThan(0.01);
  });

  it("has full-scale defaults that hold too", () => {
    const data = noise(32 * MIB);
    const lengths = lengthsOf(chunkEnds(createChunker(KEY, DEFAULT_CHUNK_SIZES), data)).slice(0, -1);
    expect(lengths.length).toBeGreaterThan(20);
    expect(lengths.length).toBeLessThan(50);
    expect(lengths.every((length) => length >= 256 * KIB && length <= 4 * MIB)).toBe(true);
  });

  it.each([
    { minBytes: 16, averageBytes: 4096, maxBytes: 8192 },
    { minBytes: 1024, averageBytes: 4000, maxBytes: 8192 },
    { minBytes: 4096, averageBytes: 4096, maxBytes: 8192 },
    { minBytes: 1024, averageBytes: 4096, maxBytes: 4095 },
  ])("refuses sizes that make no sense: %o", (sizes) => {
    expect(() => createChunker(KEY, sizes)).toThrow(AssertionFailure);
  });
});

describe("keys", () => {
  it("cuts elsewhere under another key", () => {
    const data = noise(2 * MIB);
    const mine = new Set(chunkEnds(createChunker(KEY, SMALL), data));
    const other = chunkEnds(createChunker(new Uint8Array(32).fill(8), SMALL), data).slice(0, -1);
    const shared = other.filter((end) => mine.has(end));
    expect(shared.length / other.length).toBeLessThan(0.02);
  });
});

describe("a change in the middle", () => {
  it("leaves all but a few chunks as they were", () => {
    const chunker = createChunker(KEY, SMALL);
    const before = noise(2 * MIB);
    const known = new Set(chunkTexts(before, chunkEnds(chunker, before)));
    for (const at of [0, 12_345, MIB, 2 * MIB - 1]) {
      const after = Buffer.concat([before.subarray(0, at), Buffer.from("inserted"), before.subarray(at)]);
      const fresh = chunkTexts(after, chunkEnds(chunker, after)).filter((chunk) => !known.has(chunk));
      expect(fresh.length).toBeGreaterThan(0);
      expect(fresh.length).toBeLessThanOrEqual(8);
    }
  });
});
