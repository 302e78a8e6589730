import type { ShardId } from "../base/ids.ts";

export interface StoredShard {
  readonly id: ShardId;
  readonly bytes: number;
  /** Names this writing of the shard: a later put of the same id has another one. */
  readonly version: string;
  /** What the holder logic keeps beside the bytes: the root it promised, the signed descriptor, times. */
  readonly note: Uint8Array;
}

/** A writing of a shard that was taken out of service and kept aside. */
export interface QuarantinedShard {
  readonly id: ShardId;
  /** As it was put. */
  readonly bytes: number;
  readonly note: Uint8Array;
  readonly reason: string;
  readonly sinceMs: number;
}

/** Where a shard's bytes lie on this machine, for people and their tools. */
export interface ShardPlace {
  readonly file: string;
  /** Of the shard's first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** Whether the disk that this store wrote to is the one that is there now. */
export type StorePresence = { readonly present: true } | { readonly present: false; readonly reason: string };

export interface StoreSpace {
  /** Shard bytes held or kept aside, with what storing them costs besides. */
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
 * - `quarantine` takes a writing out of service in one step, after a crash too: from then on `stat`, `read` and
 *   `list` do not have it. Its file is kept aside, as far as there is one, and the reason with it; one writing of
 *   each id, the last. It does nothing, and says so by false, when another writing or none is held by then.
 * - While the disk is not the one that was written to, `put` and `quarantine` are refused with `DISK_FAILED`, and
 *   what `read` does not find says nothing about the shard: ask `presence`.
 */
export interface ShardStore {
  put(id: ShardId, bytes: Uint8Array, note: Uint8Array): Promise<void>;
  read(id: ShardId, offset: number, length: number): Promise<Uint8Array | undefined>;
  /** From the index alone. */
  stat(id: ShardId): StoredShard | undefined;
  list(after: ShardId | undefined, limit: number): Promise<StoredShard[]>;
  delete(id: ShardId): Promise<void>;
  /** Whether what the store keeps around the bytes, to make its index anew, is there as it was written. */
  isSound(id: ShardId): Promise<boolean>;
  /** @param version as `stat` or `list` gave it when the shard was found to be bad */
  quarantine(
    id: ShardId,
    version: string,
    why: { readonly reason: string; readonly timeMs: number },
  ): Promise<boolean>;
  /** In byte order of the id. */
  quarantined(after: ShardId | undefined, limit: number): Promise<QuarantinedShard[]>;
  /** Whether a writing of this id is kept aside; from the index alone. */
  isSetAside(id: ShardId): boolean;
  /** Deletes what was kept aside of this id. */
  dropQuarantined(id: ShardId): Promise<void>;
  /** Of what is held, not of what is kept aside. */
  locate(id: ShardId): ShardPlace | undefined;
  /** Looks, every time. */
  presence(): Promise<StorePresence>;
  /** From now on the disk that is there is the one: what is not on it is lost. */
  acceptDisk(): Promise<void>;
  space(): Promise<StoreSpace>;
  close(): Promise<void>;
}
