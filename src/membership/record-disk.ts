import { concatBytes, toHex, utf8 } from "../base/bytes.ts";
import type { Signed } from "../crypto/signed.ts";
import type { MetaOp } from "../ports/index.ts";

export const RECORDS = utf8("record/");
export const RECORDS_END = utf8("record0");
export const FORKS = utf8("fork/");
export const FORKS_END = utf8("fork0");

export function recordStoreKey(key: Uint8Array, hash: Uint8Array): Uint8Array {
  return concatBytes(RECORDS, key, hash);
}

export interface RecordChange {
  readonly record: Signed;
  /** Another statement of the same epoch was known. */
  readonly forked: boolean;
}

/** What one `putAll` is about to write; its statements can be read already. */
export class RecordBatch {
  readonly ops: MetaOp[] = [];
  readonly bytes = new Map<string, Uint8Array>();
  readonly changes: RecordChange[] = [];
  synced = false;

  put(key: Uint8Array, value: Uint8Array): void {
    this.ops.push({ type: "put", key, value });
    this.bytes.set(toHex(key), value);
  }

  delete(key: Uint8Array): void {
    this.ops.push({ type: "delete", key });
    this.bytes.delete(toHex(key));
  }
}
