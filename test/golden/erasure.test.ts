import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { readReedSolomonWasm } from "../../src/adapters/workers/index.ts";
import {
  buildTree,
  createReferenceCodec,
  createWasmCodec,
  proveRange,
  shardRoot,
  verifyRange,
} from "../../src/erasure/index.ts";

const code = z.object({ dataShards: z.number(), parityShards: z.number(), shardBytes: z.number() });
const parityFile = z.object({
  codes: z.array(code.extend({ data: z.array(z.string()), parity: z.array(z.string()) })),
  big: z.array(code.extend({ paritySha256: z.array(z.string()) })),
});
const shard = z.object({ shardBytes: z.number(), leafBytes: z.number(), index: z.number() });
const merkleFile = z.object({
  roots: z.array(shard.extend({ root: z.string() })),
  proofs: z.array(shard.extend({ firstLeaf: z.number(), leafCount: z.number(), proof: z.array(z.string()) })),
});

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`v1/erasure/${name}`, import.meta.url), "utf8"));
const parity = parityFile.parse(read("parity.json"));
const merkle = merkleFile.parse(read("merkle.json"));

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** The stream that the README beside the files describes. */
function stream(number: number, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, block) => {
    const seed = Buffer.alloc(8);
    seed.writeUInt32BE(number, 0);
    seed.writeUInt32BE(block, 4);
    return createHash("sha256").update(seed).digest();
  });
  return new Uint8Array(Buffer.concat(blocks).subarray(0, length));
}

const streams = (count: number, length: number) => Array.from({ length: count }, (_, j) => stream(j, length));

describe.each([
  ["wasm", createWasmCodec(readReedSolomonWasm())],
  ["reference", createReferenceCodec()],
])("golden parity, %s codec", (_name, codec) => {
  it("is unchanged, and each of its shards can be rebuilt", () => {
    for (const golden of parity.codes) {
      const { dataShards, parityShards } = golden;
      const data = streams(dataShards, golden.shardBytes);
      expect(data.map(hex)).toEqual(golden.data);
      const made = codec.encode(data, parityShards);
      expect(made.map(hex)).toEqual(golden.parity);
      const all = [...data, ...made].map((bytes, index) => ({ index, bytes }));
      for (const { index, bytes } of all) {
        const have = all.filter((other) => other.index !== index).slice(-dataShards);
        expect(codec.rebuild({ dataShards, parityShards, have, want: [index] })).toEqual([bytes]);
      }
    }
  });

  it("is unchanged for longer shards", () => {
    for (const golden of parity.big) {
      const data = streams(golden.dataShards, golden.shardBytes);
      expect(codec.encode(data, golden.parityShards).map(sha256)).toEqual(golden.paritySha256);
    }
  });
});

describe("golden Merkle trees", () => {
  it("keep their roots", () => {
    for (const golden of merkle.roots) {
      const bytes = stream(golden.index, golden.shardBytes);
      expect(hex(shardRoot(bytes, golden.index, golden.leafBytes))).toBe(golden.root);
    }
  });

  it("keep their proofs", () => {
    for (const golden of merkle.proofs) {
      const { shardBytes, leafBytes, index, firstLeaf, leafCount } = golden;
      const bytes = stream(index, shardBytes);
      const tree = buildTree(bytes, index, leafBytes);
      expect(proveRange(tree, firstLeaf, leafCount).map(hex)).toEqual(golden.proof);
      const proof = golden.proof.map((hash) => Buffer.from(hash, "hex"));
      const range = bytes.subarray(firstLeaf * leafBytes, (firstLeaf + leafCount) * leafBytes);
      const claim = { root: tree.root, index, shardBytes, leafBytes, firstLeaf, bytes: range, proof };
      expect(verifyRange(claim)).toBe(true);
    }
  });
});

describe("the examples of the format's description", () => {
  it("are true", () => {
    const segment = Buffer.concat([Buffer.from("cairn keeps"), Buffer.alloc(1)]);
    const data = [0, 4, 8].map((at) => new Uint8Array(segment.subarray(at, at + 4)));
    expect(createReferenceCodec().encode(data, 2).map(hex)).toEqual(["68317117", "1f3525fb"]);
    const shard = Uint8Array.from({ length: 10 }, (_, i) => i);
    expect(hex(shardRoot(shard, 1, 4))).toBe(
      "2b3092cb5e7b80dd6e9cd1368e7430b57a61e09c2632be6044913a2d848082f3",
    );
  });
});
