import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { KIB, MIB } from "../../src/base/units.ts";
import { chunkEnds, createChunker, DEFAULT_CHUNK_SIZES } from "../../src/chunking/index.ts";
import { noise } from "../support/segments.ts";
import { goldenJson } from "./golden-file.ts";

const SCALED = { minBytes: KIB, averageBytes: 4 * KIB, maxBytes: 16 * KIB };

/** Where inputs are made by the test, their hash is pinned too, so that it is plain which of the two changed. */
const cases = [
  { name: "scaled-noise", keyByte: 0, sizes: SCALED, input: noise(256 * KIB, 1) },
  { name: "scaled-zeros", keyByte: 1, sizes: SCALED, input: new Uint8Array(100 * KIB) },
  { name: "scaled-lines", keyByte: 2, sizes: SCALED, input: lines(6000) },
  { name: "full-noise", keyByte: 0, sizes: DEFAULT_CHUNK_SIZES, input: noise(24 * MIB, 2) },
];

function lines(count: number): Uint8Array {
  let text = "";
  for (let line = 0; line < count; line++) text += `line ${line} ${(line * 2_654_435_761) % 4_294_967_296}\n`;
  return Buffer.from(text);
}

describe("chunk cuts of format version 1", () => {
  it.each(cases)("$name", ({ name, keyByte, sizes, input }) => {
    const actual = {
      gearKeyHex: Buffer.alloc(32, keyByte).toString("hex"),
      sizes,
      inputBytes: input.length,
      inputSha256: createHash("sha256").update(input).digest("hex"),
      ends: chunkEnds(createChunker(new Uint8Array(32).fill(keyByte), sizes), input),
    };
    expect(actual).toEqual(goldenJson(`v1/chunking/${name}.json`, actual));
  });
});
