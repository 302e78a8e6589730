import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AssertionFailure } from "../../../src/base/assert.ts";
import {
  buildTree,
  LEAF_BYTES,
  leafCountOf,
  proofHashes,
  proveRange,
  type RangeClaim,
  shardRoot,
  verifyRange,
} from "../../../src/erasure/index.ts";

const counted = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) % 256);

const h = (...parts: readonly Uint8Array[]) => {
  const hasher = createHash("sha256");
  for (const part of parts) hasher.update(part);
  return hasher.digest();
};

const number = (bytes: number, value: number) => {
  const out = Buffer.alloc(bytes);
  out.writeUIntBE(value, Math.max(0, bytes - 6), Math.min(6, bytes));
  return out;
};

/** The definition of docs/format.md, as recursion instead of levels. */
function rootByDefinition(bytes: Uint8Array, index: number, leafBytes: number): Uint8Array {
  const leaves: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += leafBytes) {
    const data = bytes.subarray(at, at + leafBytes);
    leaves.push(h(Uint8Array.of(0), number(4, leaves.length), number(4, data.length), data));
  }
  // Promoting odd nodes level by level is the tree whose left side is the largest power of two that fits.
  const top = (nodes: readonly Buffer[]): Buffer => {
    const [only] = nodes;
    if (nodes.length === 1 && only !== undefined) return only;
    let left = 1;
    while (left * 2 < nodes.length) left *= 2;
    return h(Uint8Array.of(1), top(nodes.slice(0, left)), top(nodes.slice(left)));
  };
  const header = [Uint8Array.of(2, 1), number(4, index), number(8, bytes.length), number(4, leafBytes)];
  return h(...header, top(leaves));
}

function claimOf(shard: Uint8Array, leafBytes: number, firstLeaf: number, leafCount: number): RangeClaim {
  const tree = buildTree(shard, 3, leafBytes);
  return {
    root: tree.root,
    index: 3,
    shardBytes: shard.length,
    leafBytes,
    firstLeaf,
    bytes: shard.slice(firstLeaf * leafBytes, (firstLeaf + leafCount) * leafBytes),
    proof: proveRange(tree, firstLeaf, leafCount),
  };
}

describe("shard root", () => {
  it("is what the format defines, for every number of leaves", () => {
    for (let length = 1; length <= 140; length++) {
      const shard = counted(length);
      expect(shardRoot(shard, 5, 8)).toEqual(rootByDefinition(shard, 5, 8));
    }
  });

  it("binds the index, the length and the leaf size", () => {
    const roots = [
      shardRoot(counted(64), 0, 16),
      shardRoot(counted(64), 1, 16),
      shardRoot(counted(64), 0, 32),
      shardRoot(counted(63), 0, 16),
    ].map((root) => Buffer.from(root).toString("hex"));
    expect(new Set(roots).size).toBe(roots.length);
  });

  it("refuses an empty shard and an empty leaf", () => {
    expect(() => shardRoot(new Uint8Array(0), 0, 16)).toThrow(AssertionFailure);
    expect(() => shardRoot(counted(4), 0, 0)).toThrow(AssertionFailure);
    expect(() => shardRoot(counted(4), -1, 16)).toThrow(AssertionFailure);
  });
});

describe("range proof", () => {
  it("verifies for every range of every small shard, at the length it was said to have", () => {
    for (let length = 1; length <= 100; length += 3) {
      const shard = counted(length);
      const leaves = leafCountOf(length, 8);
      for (let first = 0; first < leaves; first++) {
        for (let count = 1; first + count <= leaves; count++) {
          const claim = claimOf(shard, 8, first, count);
          expect(claim.proof).toHaveLength(proofHashes(leaves, first, count));
          expect(verifyRange(claim)).toBe(true);
        }
      }
    }
  });

  it("takes at most 20 hashes for a whole 16 MiB shard's leaves", () => {
    const leaves = leafCountOf(16 * 1024 * 1024, LEAF_BYTES);
    const lengths = Array.from({ length: leaves }, (_, first) => proofHashes(leaves, first, 1));
    expect(Math.max(...lengths)).toBe(10);
    const ranges = Array.from({ length: leaves - 16 }, (_, first) => proofHashes(leaves, first, 16));
    expect(Math.max(...ranges)).toBeLessThanOrEqual(20);
  });

  it("fails for any bit changed in bytes, proof or root", () => {
    const drawn = fc.record({
      length: fc.integer({ min: 1, max: 400 }),
      first: fc.nat(),
      count: fc.nat(),
      where: fc.nat(),
      bit: fc.integer({ min: 0, max: 7 }),
    });
    fc.assert(
      fc.property(drawn, ({ length, first, count, where, bit }) => {
        const leaves = leafCountOf(length, 16);
        const firstLeaf = first % leaves;
        const claim = claimOf(counted(length), 16, firstLeaf, 1 + (count % (leaves - firstLeaf)));
        const parts = [claim.bytes, claim.root, ...claim.proof];
        const total = parts.reduce((sum, part) => sum + part.length, 0);
        let at = where % total;
        for (const part of parts) {
          if (at < part.length) part[at] = (part[at] ?? 0) ^ (1 << bit);
          at -= part.length;
          if (at < 0) break;
        }
        expect(verifyRange(claim)).toBe(false);
      }),
    );
  });

  it("fails for another place, length, index or leaf size, and for nonsense", () => {
    const claim = claimOf(counted(130), 16, 2, 3);
    expect(verifyRange(claim)).toBe(true);
    const hash = new Uint8Array(32);
    const lies: Partial<RangeClaim>[] = [
      { firstLeaf: 3 },
      { firstLeaf: -1 },
      { firstLeaf: 1.5 },
      { firstLeaf: Number.NaN },
      { firstLeaf: 9 },
      { index: 4 },
      { index: -1 },
      { shardBytes: 131 },
      { shardBytes: 0 },
      { shardBytes: Number.POSITIVE_INFINITY },
      { leafBytes: 8 },
      { leafBytes: 0 },
      { leafBytes: -16 },
      { bytes: new Uint8Array(0) },
      { bytes: claim.bytes.subarray(0, 47) },
      { bytes: claim.bytes.subarray(0, 32) },
      { proof: claim.proof.slice(1) },
      { proof: [...claim.proof, hash] },
      { proof: claim.proof.map(() => new Uint8Array(31)) },
      { root: claim.root.subarray(0, 31) },
    ];
    for (const lie of lies) expect(verifyRange({ ...claim, ...lie })).toBe(false);
  });

  it("is short only at the end of the shard", () => {
    const claim = claimOf(counted(130), 16, 8, 1);
    expect(claim.bytes).toHaveLength(2);
    expect(verifyRange(claim)).toBe(true);
    expect(verifyRange({ ...claim, bytes: counted(16) })).toBe(false);
  });

  it("is made only for ranges within the shard", () => {
    const tree = buildTree(counted(40), 0, 16);
    for (const [first, count] of [
      [0, 0],
      [0, 4],
      [3, 1],
      [-1, 1],
    ] as const) {
      expect(() => proveRange(tree, first, count)).toThrow(AssertionFailure);
    }
  });
});
