import fc from "fast-check";
import { expect, it } from "vitest";
import { KIB } from "../../../src/base/units.ts";
import { RANGE_BYTES } from "../../../src/erasure/index.ts";
import { shardRanges } from "../../../src/exchange/segment-reader.ts";
import { joinShards, splitShards } from "../../../src/exchange/split.ts";

it("cover what is asked for with aligned ranges, and ask for no block twice", () => {
  const spans = fc.array(
    fc.record({ from: fc.integer({ min: 0, max: 5_000_000 }), bytes: fc.integer({ min: 1, max: 600_000 }) }),
    { minLength: 1, maxLength: 6 },
  );
  const shardLengths = fc.constantFrom(1000, 300 * KIB, RANGE_BYTES, 3 * RANGE_BYTES, 1_900_001);
  fc.assert(
    fc.property(spans, shardLengths, (asked, shardBytes) => {
      const wanted = asked.map(({ from, bytes }) => ({ from, to: from + bytes }));
      const covered = new Set<string>();
      for (const range of shardRanges(wanted, { shardBytes })) {
        expect(range.offset % RANGE_BYTES).toBe(0);
        const end = range.offset + range.length;
        expect(end % RANGE_BYTES === 0 || end === shardBytes).toBe(true);
        for (const shard of range.shards) {
          for (let at = range.offset; at < end; at += RANGE_BYTES) {
            const block = `${shard}/${at / RANGE_BYTES}`;
            expect(covered).not.toContain(block);
            covered.add(block);
          }
        }
      }
      const touched = new Set<string>();
      for (const { from, to } of wanted) {
        for (const at of [
          from,
          to - 1,
          ...Array.from({ length: 20 }, (_, i) => from + ((to - from - 1) * i) / 20),
        ]) {
          const byte = Math.floor(at);
          touched.add(`${Math.floor(byte / shardBytes)}/${Math.floor((byte % shardBytes) / RANGE_BYTES)}`);
        }
      }
      for (const block of touched) expect(covered).toContain(block);
    }),
  );
});

it("leave out blocks that are there", () => {
  const shardBytes = 4 * RANGE_BYTES;
  const span = { from: 0, to: shardBytes };
  const ranges = shardRanges([span], { shardBytes }, (_, block) => block === 1 || block === 2);
  expect(ranges.map(({ offset, length }) => [offset, length])).toEqual([
    [0, RANGE_BYTES],
    [3 * RANGE_BYTES, RANGE_BYTES],
  ]);
});

it("a segment split into shards and joined is the same, however small", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.integer({ min: 1, max: 40 }),
      (bytes, k) => {
        const shards = splitShards(bytes, k);
        expect(shards.length).toBe(k);
        expect(new Set(shards.map((shard) => shard.length)).size).toBe(1);
        expect(joinShards(shards, bytes.length)).toEqual(new Uint8Array(bytes));
        const header = Math.min(10, bytes.length);
        expect(joinShards(shards, header)).toEqual(new Uint8Array(bytes.slice(0, header)));
      },
    ),
  );
});
