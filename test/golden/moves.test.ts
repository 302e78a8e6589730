import { decode } from "cborg";
import { expect, it } from "vitest";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { must } from "../../src/base/assert.ts";
import { catalogRootCodec, movesCodec } from "../../src/catalog/index.ts";
import type { Locator } from "../../src/wire/head.ts";
import { goldenJson } from "./golden-file.ts";

function locatorOf(byte: number, segment: number): Locator {
  const place = { frame: 3, offset: 4096, sealedBytes: 1000, rawBytes: 8192, compressed: true };
  return { id: new Uint8Array(32).fill(byte), incarnation: 0, segment, class: 1, ...place };
}

const encodings = {
  catalogRoot: catalogRootCodec.encode({
    v: 2,
    runs: [locatorOf(0x53, 8)],
    snapshots: [locatorOf(0x54, 9)],
    moves: locatorOf(0x55, 10),
  }),
  movedSegments: movesCodec.encode({
    v: 1,
    upTo: 41,
    gone: [[0, [[3, 2], [0x0102030405, 1]]]],
    instead: [[0, [[9, 1]]], [1, [[1, 1]]]],
  }),
};

it("a catalog root of version 2, and moved segments, are the pinned bytes", () => {
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  expect(hex).toEqual(goldenJson("v2/catalog/encodings.json", hex));
});

it("they are read as documented, on a CBOR decoder only", () => {
  const pinned = goldenJson("v2/catalog/encodings.json", {}) as Record<string, string>;
  const read = (name: string) => decode(must(fromHex(must(pinned[name], name)), "hex"));
  const { v, runs, snapshots, moves } = read("catalogRoot");
  expect([v, runs.length, snapshots[0].segment, moves.segment]).toEqual([2, 1, 9, 10]);
  expect(read("movedSegments")).toEqual({
    ...{ v: 1, upTo: 41, gone: [[0, [[3, 2], [0x0102030405, 1]]]], instead: [[0, [[9, 1]]], [1, [[1, 1]]]] },
  });
});

it("a root of a version that is not known yet is refused", () => {
  const bytes = encodings.catalogRoot.slice();
  const at = bytes.findIndex((byte, i) => byte === 0x61 && bytes[i + 1] === 0x76);
  bytes[at + 2] = 3;
  expect(() => catalogRootCodec.decode(bytes)).toThrow(/catalog root/);
});
