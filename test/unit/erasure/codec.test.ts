import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readReedSolomonWasm } from "../../../src/adapters/workers/index.ts";
import { AssertionFailure, must } from "../../../src/base/assert.ts";
import {
  createReferenceCodec,
  createWasmCodec,
  type ErasureCodec,
  shardBytesOf,
} from "../../../src/erasure/index.ts";

const wasm = createWasmCodec(readReedSolomonWasm());
const reference = createReferenceCodec();

const codecs: readonly [string, ErasureCodec][] = [
  ["wasm", wasm],
  ["reference", reference],
];

/** Small numbers that look random: the same in every run. */
function drawnBytes(length: number, seed: number): Uint8Array {
  const out = new Uint8Array(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

function codeword(codec: ErasureCodec, dataShards: number, parityShards: number, shardBytes: number) {
  const data = Array.from({ length: dataShards }, (_, i) => drawnBytes(shardBytes, i + 1));
  return [...data, ...codec.encode(data, parityShards)];
}

const indexed = (shards: readonly Uint8Array[], indices: readonly number[]) =>
  indices.map((index) => ({ index, bytes: must(shards[index], "shard") }));

/** Fills a codec's working memory, where an earlier call might have left just what the next one should make. */
function disturb(codec: ErasureCodec): void {
  codec.encode([drawnBytes(60_000, 77), drawnBytes(60_000, 78)], 2);
}

describe.each(codecs)("%s codec", (_name, codec) => {
  it("makes the parity that Backblaze's and klauspost's codecs publish in their tests", () => {
    const data = [
      [0, 1],
      [4, 5],
      [2, 3],
      [6, 7],
      [8, 9],
    ].map((pair) => Uint8Array.from(pair));
    const parity = [
      [12, 13],
      [10, 11],
      [14, 15],
      [90, 91],
      [94, 95],
    ].map((pair) => Uint8Array.from(pair));
    expect(codec.encode(data, 5)).toEqual(parity);
  });

  it("rebuilds every choice of lost shards of every small code, data and parity", () => {
    for (const [k, m] of [
      [1, 2],
      [2, 1],
      [2, 2],
      [3, 2],
      [4, 3],
    ] as const) {
      const shards = codeword(codec, k, m, 7);
      disturb(codec);
      const all = shards.map((_, index) => index);
      for (let choice = 0; choice < 2 ** (k + m); choice++) {
        const kept = all.filter((index) => (choice >> index) % 2 === 1);
        if (kept.length < k) continue;
        const job = { dataShards: k, parityShards: m, have: indexed(shards, kept), want: all };
        expect(codec.rebuild(job)).toEqual(shards);
      }
    }
  });

  it("answers in the order asked, whatever the order of what it is given", () => {
    const shards = codeword(codec, 3, 3, 100);
    const have = indexed(shards, [5, 0, 4]);
    disturb(codec);
    const rebuilt = codec.rebuild({ dataShards: 3, parityShards: 3, have, want: [3, 1, 5, 2] });
    expect(rebuilt).toEqual([shards[3], shards[1], shards[5], shards[2]]);
  });

  it("rebuilds a range of shards from the same range of others", () => {
    const shards = codeword(codec, 4, 2, 1000);
    const range = shards.map((shard) => shard.subarray(300, 555));
    const job = { dataShards: 4, parityShards: 2, have: indexed(range, [1, 3, 4, 5]), want: [0, 2] };
    expect(codec.rebuild(job)).toEqual(
      [range[0], range[2]].map((bytes) => Uint8Array.from(must(bytes, "range"))),
    );
  });

  it("codes without parity, and with nothing wanted", () => {
    const data = [drawnBytes(10, 1), drawnBytes(10, 2)];
    expect(codec.encode(data, 0)).toEqual([]);
    const job = { dataShards: 2, parityShards: 0, have: indexed(data, [0, 1]), want: [1] };
    expect(codec.rebuild(job)).toEqual([data[1]]);
    expect(codec.rebuild({ ...job, want: [] })).toEqual([]);
  });

  it("gives results that share no memory with arguments, and leaves arguments alone", () => {
    for (const k of [1, 3]) {
      const shards = codeword(codec, k, 2, 50);
      const before = shards.map((shard) => Uint8Array.from(shard));
      const have = indexed(
        shards,
        Array.from({ length: k }, (_, i) => i + 1),
      );
      const results = [
        ...codec.encode(shards.slice(0, k), 2),
        ...codec.rebuild({ dataShards: k, parityShards: 2, have, want: [0, 1] }),
      ];
      for (const result of results) result.fill(0xff);
      expect(shards).toEqual(before);
    }
  });

  it("goes up to 64 shards", () => {
    const shards = codeword(codec, 40, 24, 3);
    const kept = shards.map((_, index) => index).filter((index) => index >= 24);
    const job = { dataShards: 40, parityShards: 24, have: indexed(shards, kept), want: [0, 23] };
    expect(codec.rebuild(job)).toEqual([shards[0], shards[23]]);
  });

  it("refuses arguments that make no sense", () => {
    const two = [drawnBytes(4, 1), drawnBytes(4, 2)];
    const short = drawnBytes(3, 3);
    const encodes: readonly [readonly Uint8Array[], number][] = [
      [[], 1],
      [two, -1],
      [two, 1.5],
      [two, Number.NaN],
      [two, 63],
      [[...two, short], 1],
      [[new Uint8Array(0), new Uint8Array(0)], 1],
    ];
    for (const [data, parityShards] of encodes) {
      expect(() => codec.encode(data, parityShards)).toThrow(AssertionFailure);
    }
    const have = indexed(two, [0, 1]);
    const good = { dataShards: 2, parityShards: 1, have, want: [2] };
    expect(codec.rebuild(good)).toHaveLength(1);
    const bad = [
      { ...good, dataShards: 0 },
      { ...good, parityShards: -1 },
      { ...good, parityShards: 63 },
      { ...good, have: have.slice(1) },
      { ...good, have: [...have, { index: 1, bytes: drawnBytes(4, 9) }] },
      { ...good, have: [...have, { index: 3, bytes: drawnBytes(4, 9) }] },
      { ...good, have: [...have, { index: 2, bytes: short }] },
      { ...good, want: [3] },
      { ...good, want: [-1] },
      { ...good, want: [0.5] },
      { ...good, want: [2, 2] },
    ];
    for (const job of bad) expect(() => codec.rebuild(job)).toThrow(AssertionFailure);
  });
});

describe("shardBytesOf", () => {
  it("rounds up", () => {
    expect([shardBytesOf(12, 4), shardBytesOf(13, 4), shardBytesOf(1, 4)]).toEqual([3, 4, 1]);
  });
});

describe("wasm codec", () => {
  it("equals the reference on drawn shards, slices and losses", () => {
    const drawn = fc
      .tuple(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 300 }),
      )
      .chain(([k, m, shardBytes]) =>
        fc.record({
          m: fc.constant(m),
          data: fc.array(fc.uint8Array({ minLength: shardBytes, maxLength: shardBytes }), {
            minLength: k,
            maxLength: k,
          }),
          order: fc.shuffledSubarray(
            Array.from({ length: k + m }, (_, i) => i),
            { minLength: k },
          ),
        }),
      );
    fc.assert(
      fc.property(drawn, ({ m, data, order }) => {
        const parity = wasm.encode(data, m);
        expect(parity).toEqual(reference.encode(data, m));
        const shards = [...data, ...parity];
        const want = shards.map((_, index) => index);
        disturb(wasm);
        const job = { dataShards: data.length, parityShards: m, have: indexed(shards, order), want };
        expect(wasm.rebuild(job)).toEqual(shards);
        expect(reference.rebuild(job)).toEqual(shards);
      }),
      { numRuns: 150 },
    );
  });

  it("equals the reference where shards are longer than a slice, to the byte", () => {
    for (const shardBytes of [65535, 65536, 65537, 131073]) {
      const data = [drawnBytes(shardBytes, 1), drawnBytes(shardBytes, 2), drawnBytes(shardBytes, 3)];
      const parity = wasm.encode(data, 2);
      expect(
        parity.every((shard, i) => Buffer.compare(shard, must(reference.encode(data, 2)[i], "parity")) === 0),
      ).toBe(true);
      const have = indexed([...data, ...parity], [1, 3, 4]);
      const rebuilt = wasm.rebuild({ dataShards: 3, parityShards: 2, have, want: [2, 0] });
      expect(Buffer.compare(must(rebuilt[0], "shard"), must(data[2], "shard"))).toBe(0);
      expect(Buffer.compare(must(rebuilt[1], "shard"), must(data[0], "shard"))).toBe(0);
    }
  });

  it("decodes right 1,500 times in a row on one instance, in memory that does not grow", () => {
    const memories: WebAssembly.Memory[] = [];
    const RealInstance = WebAssembly.Instance;
    class SpiedInstance extends RealInstance {
      constructor(module: WebAssembly.Module) {
        super(module);
        if (this.exports["memory"] instanceof WebAssembly.Memory) memories.push(this.exports["memory"]);
      }
    }
    WebAssembly.Instance = SpiedInstance;
    try {
      const codec = createWasmCodec(readReedSolomonWasm());
      const profiles = [
        [2, 2],
        [3, 3],
        [6, 3],
        [10, 4],
        [2, 1],
        [5, 3],
      ] as const;
      const lengths = [1, 40, 4096, 70_000];
      const words = profiles.flatMap(([k, m]) =>
        lengths.map((length) => ({ k, m, shards: codeword(codec, k, m, length) })),
      );
      // The module's heap settles within the first calls of each profile.
      let memoryBytes = 0;
      for (let round = 0; round < 1500; round++) {
        if (round === 300) memoryBytes = must(memories[0], "memory").buffer.byteLength;
        const { k, m, shards } = must(words[(round * 7) % words.length], "codeword");
        const lost = Array.from(
          { length: 1 + (round % m) },
          (_, i) => (round + i * (1 + (round % 2))) % (k + m),
        );
        const kept = shards.map((_, index) => index).filter((index) => !lost.includes(index));
        const want = [...new Set(lost)];
        const rebuilt = codec.rebuild({ dataShards: k, parityShards: m, have: indexed(shards, kept), want });
        for (const [i, index] of want.entries()) {
          if (Buffer.compare(must(rebuilt[i], "rebuilt"), must(shards[index], "shard")) !== 0) {
            expect.fail(`round ${round}: ${k}+${m} lost ${want.join(",")}: shard ${index} is wrong`);
          }
        }
      }
      expect(memories).toHaveLength(1);
      expect(must(memories[0], "memory").buffer.byteLength).toBe(memoryBytes);
    } finally {
      WebAssembly.Instance = RealInstance;
    }
  });
});
