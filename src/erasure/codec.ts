import { assert, must } from "../base/assert.ts";

/** Shards of one segment, k + m, at most: a bound of the format (GF(2^8) itself would go to 256). */
export const TOTAL_SHARDS_MAX = 64;

export interface IndexedShard {
  /** 0 .. k+m-1; below k it is a data shard. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

export interface RebuildRequest {
  readonly dataShards: number;
  readonly parityShards: number;
  /** At least `dataShards` of them, equally long: whole shards, or the same range of each. */
  readonly have: readonly IndexedShard[];
  /** Indices to make, data or parity. One that is in `have` comes back as a copy. */
  readonly want: readonly number[];
}

/**
 * A systematic Reed-Solomon code. It works byte by byte: byte x of every shard depends on byte x of the others
 * only, so what holds for whole shards holds for the same range of each.
 *
 * Shards that do not belong together give bytes that are wrong without a sign of it: check hashes first.
 * Arguments that make no sense (k < 1, n > 64, unequal or empty shards, doubled indices, fewer than k) are
 * `AssertionFailure`s: what comes from peers is checked before it gets here. Results never share memory with
 * arguments.
 */
export interface ErasureCodec {
  /** The parity shards alone, in their order, each as long as the data shards. */
  encode(dataShards: readonly Uint8Array[], parityShards: number): Uint8Array[];
  /** The shards `want` names, in its order. Of more than k in `have`, data shards are used first. */
  rebuild(job: RebuildRequest): Uint8Array[];
}

/** Whether a segment may be cut into this many shards. */
export function isShardCount(dataShards: number, parityShards: number): boolean {
  return (
    Number.isInteger(dataShards) &&
    Number.isInteger(parityShards) &&
    dataShards >= 1 &&
    parityShards >= 0 &&
    dataShards + parityShards <= TOTAL_SHARDS_MAX
  );
}

/** Length of each shard of a segment; the last data shard is filled up with zeros. */
export function shardBytesOf(segmentBytes: number, dataShards: number): number {
  assert(segmentBytes >= 1 && dataShards >= 1, "a segment has bytes and data shards");
  return Math.ceil(segmentBytes / dataShards);
}

/** Checks the arguments of `encode`; returns the length of a shard. */
export function checkEncode(dataShards: readonly Uint8Array[], parityShards: number): number {
  assert(isShardCount(dataShards.length, parityShards), "k is 1 or more, m 0 or more, k + m at most 64");
  return checkLengths(dataShards);
}

export interface RebuildPlan {
  readonly shardBytes: number;
  /** Exactly k shards, by index; data shards are preferred, because they need no arithmetic. */
  readonly used: readonly IndexedShard[];
}

/** Checks the arguments of `rebuild` and chooses what to compute from. */
export function planRebuild(job: RebuildRequest): RebuildPlan {
  const { dataShards, parityShards, have, want } = job;
  assert(isShardCount(dataShards, parityShards), "k is 1 or more, m 0 or more, k + m at most 64");
  const total = dataShards + parityShards;
  checkIndices(
    have.map((shard) => shard.index),
    total,
  );
  checkIndices(want, total);
  assert(have.length >= dataShards, "rebuilding needs as many shards as there are data shards");
  const shardBytes = checkLengths(have.map((shard) => shard.bytes));
  const used = [...have].sort((a, b) => a.index - b.index).slice(0, dataShards);
  return { shardBytes, used };
}

/** With one data shard the code's matrix is all ones: every shard is the same bytes. */
export function copies(bytes: Uint8Array, count: number): Uint8Array[] {
  return Array.from({ length: count }, () => new Uint8Array(bytes));
}

function checkLengths(shards: readonly Uint8Array[]): number {
  const shardBytes = must(shards[0], "first shard").length;
  assert(shardBytes >= 1, "a shard is not empty");
  assert(
    shards.every((shard) => shard.length === shardBytes),
    "all shards are equally long",
  );
  return shardBytes;
}

function checkIndices(indices: readonly number[], total: number): void {
  assert(
    indices.every((index) => Number.isInteger(index) && index >= 0 && index < total),
    "a shard index is below k + m",
  );
  assert(new Set(indices).size === indices.length, "no shard index is named twice");
}
