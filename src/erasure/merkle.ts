import { assert, must } from "../base/assert.ts";
import { concatBytes, equalBytes, u32be, u64be } from "../base/bytes.ts";
import { HASH_BYTES } from "../base/ids.ts";
import { KIB } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";

/** Unit of audit: 16 KiB, with at most 20 hashes of proof. A field of the format, smaller in tests. */
export const LEAF_BYTES = 16 * KIB;
/** Reads of a part of a shard begin and end at multiples of this, so that they do not show chunk boundaries. */
export const RANGE_BYTES = 256 * KIB;
/** The codec byte inside a shard root. */
export const CODEC_REED_SOLOMON = 1;

// Different first bytes, so that no leaf can be passed off as a node or a root, nor the other way round.
const LEAF_TAG = 0x00;
const NODE_TAG = Uint8Array.of(0x01);
const ROOT_TAG = 0x02;
const LEAF_HEADER_BYTES = 9;
const LEAF_COUNT_MAX = 2 ** 32;
const LEAF_BYTES_MAX = 2 ** 32 - 1;

export interface MerkleTree {
  readonly shardBytes: number;
  readonly leafBytes: number;
  readonly root: Uint8Array;
  /** Hashes of each level one after the other, leaves first, a single hash last. */
  readonly levels: readonly Uint8Array[];
}

/** The root that names a shard: 32 bytes over its bytes, its index, its length and its leaf size. */
export function shardRoot(bytes: Uint8Array, index: number, leafBytes: number): Uint8Array {
  return buildTree(bytes, index, leafBytes).root;
}

/** The whole tree, 0.4 % of the shard at 16 KiB leaves: for answering audits and ranges. */
export function buildTree(bytes: Uint8Array, index: number, leafBytes: number): MerkleTree {
  assert(isLayout({ index, shardBytes: bytes.length, leafBytes }), "the shard has bytes and leaves");
  const levels = [leafHashes(bytes, 0, leafBytes)];
  for (let level = must(levels[0], "leaves"); level.length > HASH_BYTES; levels.push(level)) {
    level = parentHashes(level);
  }
  const top = must(levels.at(-1), "top of the tree");
  const root = sealRoot({ index, shardBytes: bytes.length, leafBytes }, top);
  return { shardBytes: bytes.length, leafBytes, root, levels };
}

/**
 * The hashes that, with the leaves `firstLeaf` .. `firstLeaf + leafCount - 1`, lead up to the root: from the
 * leaves upwards, on each level the neighbour to the left, then the one to the right, where there is one.
 */
export function proveRange(tree: MerkleTree, firstLeaf: number, leafCount: number): Uint8Array[] {
  const leaves = leafCountOf(tree.shardBytes, tree.leafBytes);
  assert(isRange(firstLeaf, leafCount, leaves), "the range lies within the shard");
  const proof: Uint8Array[] = [];
  climb(leaves, firstLeaf, leafCount, (step, depth) => {
    const level = must(tree.levels[depth], "level of the tree");
    if (step.left) proof.push(hashAt(level, step.first - 1));
    if (step.right) proof.push(hashAt(level, step.last + 1));
  });
  return proof;
}

export interface RangeClaim {
  /** The shard's root, from its descriptor. */
  readonly root: Uint8Array;
  /** The shard's index. */
  readonly index: number;
  readonly shardBytes: number;
  readonly leafBytes: number;
  readonly firstLeaf: number;
  /** Whole leaves one after the other; the last one of the shard may be short. */
  readonly bytes: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Whether these bytes are what the shard with this root has there. Every field may come from a peer; a claim
 * that makes no sense, or a proof with a hash too many or too few, is `false`.
 */
export function verifyRange(claim: RangeClaim): boolean {
  const { shardBytes, leafBytes, firstLeaf, bytes, proof } = claim;
  if (!isLayout(claim)) return false;
  const leaves = leafCountOf(shardBytes, leafBytes);
  const leafCount = Math.ceil(bytes.length / leafBytes);
  if (!isRange(firstLeaf, leafCount, leaves)) return false;
  const endBytes = Math.min((firstLeaf + leafCount) * leafBytes, shardBytes);
  if (bytes.length !== endBytes - firstLeaf * leafBytes) return false;
  if (proof.length !== proofHashes(leaves, firstLeaf, leafCount)) return false;
  if (proof.some((hash) => hash.length !== HASH_BYTES)) return false;

  let level = leafHashes(bytes, firstLeaf, leafBytes);
  let used = 0;
  climb(leaves, firstLeaf, leafCount, (step) => {
    const left = step.left ? [must(proof[used++], "left neighbour")] : [];
    const right = step.right ? [must(proof[used++], "right neighbour")] : [];
    level = parentHashes(concatBytes(...left, level, ...right));
  });
  return equalBytes(sealRoot(claim, level), claim.root);
}

/** How many leaves a shard has; the last may be short. */
export function leafCountOf(shardBytes: number, leafBytes: number): number {
  return Math.ceil(shardBytes / leafBytes);
}

/** Length of the proof for a range: two hashes a level at most, so 20 for a 16 MiB shard of 1,024 leaves. */
export function proofHashes(leaves: number, firstLeaf: number, leafCount: number): number {
  let hashes = 0;
  climb(leaves, firstLeaf, leafCount, (step) => {
    hashes += Number(step.left) + Number(step.right);
  });
  return hashes;
}

interface Step {
  /** What is known on this level, both inclusive. */
  readonly first: number;
  readonly last: number;
  /** Whether the neighbour on that side is needed to make pairs. */
  readonly left: boolean;
  readonly right: boolean;
}

/** Goes through the levels below the top one, leaves first, with what is known of each. */
function climb(
  leaves: number,
  firstLeaf: number,
  leafCount: number,
  visit: (step: Step, depth: number) => void,
): void {
  let first = firstLeaf;
  let last = firstLeaf + leafCount - 1;
  for (let width = leaves, depth = 0; width > 1; width = Math.ceil(width / 2), depth++) {
    // The last node of a level of odd width has no neighbour: it moves up as it is.
    visit({ first, last, left: first % 2 === 1, right: last % 2 === 0 && last + 1 < width }, depth);
    first = Math.floor(first / 2);
    last = Math.floor(last / 2);
  }
}

function leafHashes(bytes: Uint8Array, firstLeaf: number, leafBytes: number): Uint8Array {
  const count = leafCountOf(bytes.length, leafBytes);
  const hashes = new Uint8Array(count * HASH_BYTES);
  // One buffer for header and leaf: copying 16 KiB and hashing once is faster than a streaming hash object.
  const scratch = new Uint8Array(LEAF_HEADER_BYTES + Math.min(leafBytes, bytes.length));
  const header = new DataView(scratch.buffer);
  header.setUint8(0, LEAF_TAG);
  for (let i = 0; i < count; i++) {
    const leaf = bytes.subarray(i * leafBytes, (i + 1) * leafBytes);
    header.setUint32(1, firstLeaf + i);
    header.setUint32(5, leaf.length);
    scratch.set(leaf, LEAF_HEADER_BYTES);
    hashes.set(sha256(scratch.subarray(0, LEAF_HEADER_BYTES + leaf.length)), i * HASH_BYTES);
  }
  return hashes;
}

/** Pairs from the left; a last one without a partner moves up unchanged. */
function parentHashes(level: Uint8Array): Uint8Array {
  const count = level.length / HASH_BYTES;
  const parents = new Uint8Array(Math.ceil(count / 2) * HASH_BYTES);
  for (let i = 0; i < count; i += 2) {
    const pair = level.subarray(i * HASH_BYTES, (i + 2) * HASH_BYTES);
    const parent = pair.length === HASH_BYTES ? pair : sha256(concatBytes(NODE_TAG, pair));
    parents.set(parent, (i / 2) * HASH_BYTES);
  }
  return parents;
}

interface ShardLayout {
  readonly index: number;
  readonly shardBytes: number;
  readonly leafBytes: number;
}

function sealRoot({ index, shardBytes, leafBytes }: ShardLayout, top: Uint8Array): Uint8Array {
  const header = Uint8Array.of(ROOT_TAG, CODEC_REED_SOLOMON);
  return sha256(concatBytes(header, u32be(index), u64be(shardBytes), u32be(leafBytes), top));
}

function isLayout({ index, shardBytes, leafBytes }: ShardLayout): boolean {
  return (
    isWithin(index, 0, 2 ** 32 - 1) &&
    isWithin(shardBytes, 1, Number.MAX_SAFE_INTEGER) &&
    isWithin(leafBytes, 1, LEAF_BYTES_MAX) &&
    leafCountOf(shardBytes, leafBytes) <= LEAF_COUNT_MAX
  );
}

function isRange(firstLeaf: number, leafCount: number, leaves: number): boolean {
  return isWithin(firstLeaf, 0, leaves - 1) && isWithin(leafCount, 1, leaves - firstLeaf);
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function hashAt(level: Uint8Array, position: number): Uint8Array {
  return level.slice(position * HASH_BYTES, (position + 1) * HASH_BYTES);
}
