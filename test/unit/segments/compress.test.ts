import { createCipheriv } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../../src/base/bytes.ts";
import { MIB } from "../../../src/base/units.ts";
import { CHUNK_RAW_BYTES_MAX, compressChunk, decompressChunk } from "../../../src/segments/index.ts";

const text = utf8("The quick brown fox jumps over the lazy dog. ".repeat(2000));
const noise = new Uint8Array(
  createCipheriv("aes-256-ctr", Buffer.alloc(32), Buffer.alloc(16)).update(Buffer.alloc(MIB)),
);

describe("compressing a chunk", () => {
  it("makes it smaller and gives it back", () => {
    const { stored, compressed } = compressChunk(text);
    expect(compressed).toBe(true);
    expect(stored.length).toBeLessThan(text.length / 10);
    expect(Buffer.from(decompressChunk(stored, text.length) ?? [])).toEqual(Buffer.from(text));
  });

  it("leaves alone what does not shrink", () => {
    for (const raw of [noise, utf8("short"), new Uint8Array(0)]) {
      expect(compressChunk(raw)).toEqual({ stored: raw, compressed: false });
    }
  });

  it("keeps no more memory alive than the compressed bytes take", () => {
    const { stored } = compressChunk(text);
    expect(stored.buffer.byteLength).toBe(stored.length);
  });
});

describe("decompressing a chunk", () => {
  const { stored } = compressChunk(text);

  it("refuses any other length", () => {
    for (const length of [0, 1, text.length - 1, text.length + 1, 2 * text.length]) {
      expect(decompressChunk(stored, length)).toBeUndefined();
    }
  });

  it("refuses what is cut off or followed by something", () => {
    expect(decompressChunk(stored.subarray(0, -1), text.length)).toBeUndefined();
    expect(decompressChunk(Buffer.concat([stored, Buffer.of(0)]), text.length)).toBeUndefined();
    expect(decompressChunk(Buffer.concat([stored, stored]), text.length)).toBeUndefined();
    expect(decompressChunk(noise, text.length)).toBeUndefined();
    expect(decompressChunk(new Uint8Array(0), text.length)).toBeUndefined();
  });

  it("stops a bomb at the length it was told", () => {
    const bomb = zstdCompressSync(Buffer.alloc(256 * MIB));
    const before = process.memoryUsage().arrayBuffers;
    expect(decompressChunk(bomb, MIB)).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * MIB);
  });

  it("takes no chunk larger than any can be", () => {
    expect(decompressChunk(stored, CHUNK_RAW_BYTES_MAX + 1)).toBeUndefined();
  });
});
