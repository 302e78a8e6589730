import type { ShardId } from "../base/ids.ts";

export interface StoredShard {
  readonly id: ShardId;
  readonly bytes: number;
  /** What the holder logic keeps beside the bytes: the root it promised, the signed descriptor, times. */
  readonly note: Uint8Array;
}

export interface StoreSpace {
  /** Shard bytes held, with what storing them costs besides. */
  readonly usedBytes: number;
  /** What may still be stored: the smaller of what the capacity leaves and the disk has above its reserve. */
  readonly freeBytes: number;
  readonly capacityBytes: number;
}

/**
 * Shards held on this machine for other peers. Contract, checked by test/contract/shard-store.ts:
 * - `put` is atomic: after a crash at any point a shard and its note are there whole or absent.
 * - `put` resolves once data and index are synced to disk: a receipt is signed after it.
 * - `put` over an id already held replaces bytes and note atomically; whether it may is the caller's decision.
 * - `put` refuses with `DISK_FULL` before writing when it would eat into the reserve.
 * - `read` returns the bytes as stored and does NOT verify them: the reader checks hashes. A range beyond the
 *   stored bytes comes back short; a file that is gone though the index has it is `undefined`.
 * - `list` is in byte order of the id, so that a scrub can resume after a cursor.
 */
export interface ShardStore {
  put(id: ShardId, bytes: Uint8Array, note: Uint8Array): Promise<void>;
  read(id: ShardId, offset: number, length: number): Promise<Uint8Array | undefined>;
  /** From the index alone. */
  stat(id: ShardId): StoredShard | undefined;
  list(after: ShardId | undefined, limit: number): Promise<StoredShard[]>;
  delete(id: ShardId): Promise<void>;
  space(): Promise<StoreSpace>;
  close(): Promise<void>;
}
