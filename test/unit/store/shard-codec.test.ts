import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeEntry,
  decodeTrailer,
  encodeEntry,
  encodeTrailer,
  FOOTER_BYTES,
  trailerBytes,
} from "../../../src/adapters/store/shard-codec.ts";
import {
  parseShardFile,
  shardDirectoryParts,
  shardFileName,
} from "../../../src/adapters/store/shard-layout.ts";
import { SEGMENT_NUMBER_MAX } from "../../../src/base/ids.ts";
import { shardId } from "../../support/stores.ts";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const ids = fc
  .tuple(fc.integer({ min: 0, max: SEGMENT_NUMBER_MAX }), u32, fc.integer({ min: 0, max: 255 }))
  .map(([number, index, owner]) => shardId(number, index, owner));
const versions = fc.record({ generation: fc.integer({ min: 1, max: 2 ** 32 - 1 }), nonce: u32 });

describe("file names", () => {
  it("say which shard and which writing of it a file is", () => {
    fc.assert(
      fc.property(ids, versions, fc.boolean(), (id, version, temporary) => {
        const name = shardFileName(id, version) + (temporary ? ".tmp" : "");
        expect(parseShardFile(shardDirectoryParts(id), name)).toEqual({ id, version, temporary });
      }),
    );
  });

  it("that are not ours, or in the wrong place, are not read as such", () => {
    const id = shardId(5_000, 3);
    const parts = shardDirectoryParts(id);
    const name = shardFileName(id, { generation: 1, nonce: 10 });
    expect(name).toBe("000000001388-3.1-0000000a");
    expect(parts[2]).toBe("000000001");
    for (const other of [
      "x",
      `${name}.bak`,
      name.toUpperCase(),
      name.replace("-3.", "-03."),
      name.replace(".1-", ".0-"),
    ]) {
      expect(parseShardFile(parts, other)).toBeUndefined();
    }
    expect(parseShardFile([parts[0], parts[1], "000000002"], name)).toBeUndefined();
    expect(parseShardFile(["not-an-owner", parts[1], parts[2]], name)).toBeUndefined();
  });
});

describe("index entries and trailers", () => {
  it("come back as written", () => {
    fc.assert(
      fc.property(ids, versions, fc.nat(), fc.uint8Array(), (id, version, bytes, note) => {
        expect(decodeEntry(encodeEntry({ version, bytes, note }))).toEqual({ version, bytes, note });
        const trailer = encodeTrailer(id, version.generation, bytes, note);
        const footer = trailer.subarray(trailer.length - FOOTER_BYTES);
        expect(trailerBytes(footer, bytes + trailer.length)).toBe(trailer.length);
        const decoded = decodeTrailer(trailer, id);
        expect(decoded && { ...decoded, note: new Uint8Array(decoded.note) }).toEqual({
          generation: version.generation,
          bytes,
          note,
        });
      }),
    );
  });

  it("a trailer with any bit turned, or of another shard, is none", () => {
    const note = Uint8Array.of(1, 2, 3);
    const trailer = encodeTrailer(shardId(1), 1, 100, note);
    expect(decodeTrailer(trailer, shardId(2))).toBeUndefined();
    for (let bit = 0; bit < trailer.length * 8; bit++) {
      const damaged = new Uint8Array(trailer);
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeTrailer(damaged, shardId(1))).toBeUndefined();
    }
    expect(trailerBytes(trailer.subarray(3), 100 + trailer.length + 1)).toBeUndefined();
  });

  it("an entry of a later format is not guessed at", () => {
    const entry = encodeEntry({ version: { generation: 1, nonce: 1 }, bytes: 1, note: new Uint8Array() });
    entry[0] = 2;
    expect(() => decodeEntry(entry)).toThrowError(expect.objectContaining({ code: "FORMAT_VERSION" }));
    expect(() => decodeEntry(new Uint8Array(3))).toThrowError(
      expect.objectContaining({ code: "FORMAT_INVALID" }),
    );
  });
});
