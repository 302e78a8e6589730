import { describe, expect, it } from "vitest";
import { AssertionFailure } from "../../../src/base/assert.ts";
import { KIB, MIB } from "../../../src/base/units.ts";
import type { PreparedChunk } from "../../../src/ports/compute.ts";
import {
  type ClosedSegment,
  contentBytesOf,
  DEFAULT_SEGMENT_SIZES,
  isTail,
  OpenSegments,
  paddedSegmentBytes,
  SegmentBuilder,
  type SegmentSizes,
} from "../../../src/segments/index.ts";

const SCALED: SegmentSizes = {
  fullBytes: 64 * KIB,
  chunkMaxBytes: 16 * KIB,
  tailMaxBytes: 4 * KIB,
  leafBytes: 64,
};

function chunkOf(storedBytes: number, name = 0): PreparedChunk {
  const id = new Uint8Array(32);
  new DataView(id.buffer).setUint32(0, name);
  return { id, rawBytes: storedBytes, stored: new Uint8Array(storedBytes), compressed: false };
}

/** Numbers in [0, 1) that repeat in every run (xorshift32). */
function randoms(seed: number): () => number {
  let state = Math.imul(seed, 0x9e37_79b1); // spread, or small seeds begin with small numbers
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

describe("padding", () => {
  it("gives every full segment the same size", () => {
    for (const content of [12 * MIB, 12 * MIB + 1, 15 * MIB, 16 * MIB]) {
      expect(paddedSegmentBytes(content, DEFAULT_SEGMENT_SIZES)).toBe(16 * MIB);
    }
    expect(() => paddedSegmentBytes(16 * MIB + 1, DEFAULT_SEGMENT_SIZES)).toThrow(AssertionFailure);
  });

  it("is a leaf for the smallest and costs at most an eighth above 64 KiB", () => {
    expect(paddedSegmentBytes(1, DEFAULT_SEGMENT_SIZES)).toBe(16 * KIB);
    expect(paddedSegmentBytes(16 * KIB, DEFAULT_SEGMENT_SIZES)).toBe(16 * KIB);
    expect(paddedSegmentBytes(16 * KIB + 1, DEFAULT_SEGMENT_SIZES)).toBe(20 * KIB);
    let before = 0;
    for (let content = 64 * KIB; content < 12 * MIB - 100; content = Math.ceil(content * 1.001)) {
      const padded = paddedSegmentBytes(content, DEFAULT_SEGMENT_SIZES);
      expect(padded).toBeGreaterThanOrEqual(Math.max(content, before));
      expect(padded / content).toBeLessThan(1.125);
      expect(padded % (4 * KIB)).toBe(0);
      before = padded;
    }
  });

  it("shows few different sizes, in whole leaves from 512 KiB on", () => {
    const sizes = new Set<number>();
    for (let content = 512 * KIB; content < 12 * MIB; content += 1000) {
      const padded = paddedSegmentBytes(content, DEFAULT_SEGMENT_SIZES);
      expect(padded % (16 * KIB)).toBe(0);
      sizes.add(padded);
    }
    expect(sizes.size).toBeLessThan(150);
  });

  it("makes a tail of at most 1 MiB, padding included", () => {
    const small = paddedSegmentBytes(MIB, DEFAULT_SEGMENT_SIZES);
    expect(small).toBe(MIB);
    expect(isTail(small, DEFAULT_SEGMENT_SIZES)).toBe(true);
    expect(isTail(paddedSegmentBytes(MIB + 1, DEFAULT_SEGMENT_SIZES), DEFAULT_SEGMENT_SIZES)).toBe(false);
  });
});

describe("SegmentBuilder", () => {
  it("knows places at once: frames follow each other", () => {
    const builder = new SegmentBuilder({ capacityBytes: MIB });
    expect(builder.isEmpty).toBe(true);
    const first = builder.tryAdd(chunkOf(1000));
    const second = builder.tryAdd(chunkOf(0));
    const third = builder.tryAdd(chunkOf(5));
    expect(first).toEqual({ frame: 1, offset: 100, sealedBytes: 1016 });
    expect(second).toEqual({ frame: 2, offset: 1116, sealedBytes: 16 });
    expect(third).toEqual({ frame: 3, offset: 1132, sealedBytes: 21 });
    expect(builder.places).toEqual([first, second, third]);
    expect(builder.contentBytes).toBe(contentBytesOf(builder.chunks));
    expect(builder.isEmpty).toBe(false);
  });

  it("takes chunks up to the last byte, and a refused one changes nothing", () => {
    const exact = contentBytesOf([chunkOf(1000), chunkOf(500)]);
    const builder = new SegmentBuilder({ capacityBytes: exact });
    expect(builder.tryAdd(chunkOf(1000))).toBeDefined();
    const before = builder.contentBytes;
    expect(builder.tryAdd(chunkOf(501))).toBeUndefined();
    expect(builder.contentBytes).toBe(before);
    expect(builder.tryAdd(chunkOf(500))).toBeDefined();
    expect(builder.contentBytes).toBe(exact);
    expect(builder.tryAdd(chunkOf(0))).toBeUndefined();
  });
});

describe("OpenSegments", () => {
  function namesOf(closed: readonly ClosedSegment[]): number[] {
    return closed.flatMap((segment) => segment.chunks.map((chunk) => Buffer.from(chunk.id).readUInt32BE(0)));
  }

  function checkClosed(segment: ClosedSegment): void {
    const builder = new SegmentBuilder({ capacityBytes: segment.segmentBytes });
    expect(segment.chunks.map((chunk) => builder.tryAdd(chunk))).toEqual(segment.places);
    expect(segment.contentBytes).toBe(builder.contentBytes);
    expect(segment.tail).toBe(segment.segmentBytes <= SCALED.tailMaxBytes);
  }

  it("loses no chunk, closes full segments only, and leaves at most one partial one at a flush", () => {
    let fullSegments = 0;
    for (let seed = 1; seed <= 25; seed++) {
      const random = randoms(seed);
      const open = new OpenSegments({ sizes: SCALED, open: 1 + (seed % 4) });
      const count = Math.floor(random() * 120);
      const closed: ClosedSegment[] = [];
      for (let name = 0; name < count; name++) {
        const one = open.add(chunkOf(Math.floor(random() ** 2 * (SCALED.chunkMaxBytes + 1)), name), random());
        if (one !== undefined) closed.push(one);
      }
      expect(closed.every((segment) => segment.segmentBytes === SCALED.fullBytes)).toBe(true);
      fullSegments += closed.length;
      const flushed = open.flush();
      const partial = flushed.filter((segment) => segment.segmentBytes < SCALED.fullBytes);
      expect(partial.length).toBeLessThanOrEqual(1);
      closed.push(...flushed);
      closed.forEach(checkClosed);
      expect(namesOf(closed).toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(open.isEmpty).toBe(true);
      expect(open.flush()).toEqual([]);
    }
    expect(fullSegments).toBeGreaterThan(50);
  });

  it("wastes little room", () => {
    const random = randoms(3);
    const open = new OpenSegments({ sizes: SCALED });
    let content = 0;
    let sealed = 0;
    for (let name = 0; name < 3000; name++) {
      const one = open.add(chunkOf(1000 + Math.floor(random() * 3000), name), random());
      content += one?.contentBytes ?? 0;
      sealed += one?.segmentBytes ?? 0;
    }
    expect(content / sealed).toBeGreaterThan(0.98);
  });

  it("mixes chunks that came one after the other", () => {
    const random = randoms(5);
    const open = new OpenSegments({ sizes: SCALED });
    const first: ClosedSegment[] = [];
    for (let name = 0; first.length === 0 && name < 1000; name++) {
      const one = open.add(chunkOf(1000, name), random());
      if (one !== undefined) first.push(one);
    }
    const names = namesOf(first);
    expect(names.length).toBeGreaterThan(10);
    const neighbours = names.filter((name, index) => names[index + 1] === name + 1);
    expect(neighbours.length).toBeLessThan(names.length * 0.6);
  });

  it("says how much waits in it", () => {
    const open = new OpenSegments({ sizes: SCALED });
    expect(open.storedBytes).toBe(0);
    open.add(chunkOf(1000), 0.99);
    expect(open.storedBytes).toBe(contentBytesOf([chunkOf(1000)]));
  });

  it("makes a small flush a tail", () => {
    const open = new OpenSegments({ sizes: SCALED });
    open.add(chunkOf(1000, 1), 0);
    open.add(chunkOf(1000, 2), 0.5);
    const closed = open.flush();
    expect(closed).toHaveLength(1);
    expect(closed[0]?.tail).toBe(true);
    expect(namesOf(closed)).toEqual([1, 2]);
  });

  it("refuses a chunk that is larger than any may be", () => {
    const open = new OpenSegments({ sizes: SCALED });
    expect(() => open.add(chunkOf(SCALED.chunkMaxBytes + 1), 0)).toThrow(AssertionFailure);
  });
});
