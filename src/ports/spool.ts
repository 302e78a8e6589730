/**
 * Files of this node's own that are written whole and read whole, by name: sealed segments that could not be
 * fully placed yet. Names are of [a-z0-9-]. Contract, checked by test/contract/spool.ts:
 * - `put` is atomic and synced when it resolves; `DISK_FULL` leaves nothing behind.
 * - `list` after a crash shows exactly the files whose `put` or `delete` was finished or under way.
 */
export interface Spool {
  put(name: string, bytes: Uint8Array): Promise<void>;
  get(name: string): Promise<Uint8Array | undefined>;
  delete(name: string): Promise<void>;
  list(): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** Free bytes of the file system, for the bound that never fills the disk. */
  diskSpace(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}
