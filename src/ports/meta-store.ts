export type MetaOp =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: Uint8Array };

export interface MetaRange {
  /** First key, inclusive. */
  readonly from?: Uint8Array;
  /** End, exclusive. */
  readonly to?: Uint8Array;
  readonly limit?: number;
  /** @default false */
  readonly reverse?: boolean;
}

/**
 * An ordered map of bytes on this machine's disk. Contract, checked by test/contract/meta-store.ts:
 * - Keys order as bytes.
 * - `write` applies all of its operations or none, after a crash too. With `sync` they are on disk when it
 *   resolves; without, they may be lost in a crash of the machine, but only together with all later writes.
 * - `get` sees every write that has resolved. It is synchronous: look-ups in the chunk index are the inner
 *   loop of a snapshot.
 * - A full disk is `DISK_FULL`; reads go on, and writes work again once there is room.
 */
export interface MetaStore {
  get(key: Uint8Array): Uint8Array | undefined;
  scan(range: MetaRange): AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]>;
  write(ops: readonly MetaOp[], options: { readonly sync: boolean }): Promise<void>;
  close(): Promise<void>;
}
