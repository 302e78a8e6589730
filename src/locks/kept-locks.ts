import { z } from "zod";
import { concatBytes, toHex, u32be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type Incarnation, idBytes, type OwnerId } from "../base/ids.ts";
import { KIB, MIB } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec, count } from "../wire/codec.ts";
import { LOCK_BITS_BYTES_MAX, LOCK_BYTES_MAX, type LockBody, lockBody } from "../wire/lock.ts";
import { decodeSigned } from "../wire/signed.ts";
import { isWithin } from "./row-bits.ts";

/** Statements kept of one row: what a snapshot no longer needs keeps the one before alive until its time is over. */
const STATEMENTS_OF_ROW_MAX = 1024;
/** And of one owner: a thief of its key could sign without end. */
const STATEMENT_BYTES_OF_OWNER_MAX = 64 * MIB;
const HASH_BYTES_IN_KEY = 16;
const ENTRY_OVERHEAD_BYTES = KIB / 4;

/** A statement of an owner that is in force here. */
export const lockEntry = codec(
  "kept lock",
  z
    .object({
      v: z.literal(1),
      /** As the owner signed it. */
      lock: bytesUpTo(LOCK_BYTES_MAX),
      /** Those of its segments that this node has locked for its sake. */
      bits: bytesUpTo(LOCK_BITS_BYTES_MAX),
      /** By this home's running time. */
      untilMs: count,
    })
    .strict(),
);
export type LockEntry = ReturnType<(typeof lockEntry)["decode"]>;

/** A row of one life. */
export interface LockedRow {
  readonly owner: OwnerId;
  readonly life: Incarnation;
  readonly classId: number;
  readonly partition: number;
}

export interface KeptLock {
  readonly key: Uint8Array;
  readonly entry: LockEntry;
  readonly body: LockBody;
}

/** The signed statements that this node's locks come from: whoever takes a shard over needs them, and their owner may be gone. */
export class KeptLocks {
  readonly #store: MetaStore;
  readonly #prefix: Uint8Array;
  /** Bytes kept of each owner that had something locked since the start. */
  readonly #bytes = new Map<OwnerId, number>();

  constructor(store: MetaStore, prefix: Uint8Array) {
    this.#store = store;
    this.#prefix = prefix;
  }

  get(row: LockedRow, lock: Uint8Array): LockEntry | undefined {
    const value = this.#store.get(this.#key(row, lock));
    return value === undefined ? undefined : lockEntry.decode(value);
  }

  async ofRow(row: LockedRow): Promise<KeptLock[]> {
    const from = this.#rowPrefix(row);
    const kept: KeptLock[] = [];
    for await (const [key, value] of this.#store.scan({ from, to: afterAll(from) }))
      kept.push(opened(key, value));
    return kept;
  }

  /**
   * What writes it down, and what it makes superfluous away: statements of which it says all, for as long. `NOT_ALLOWED` where
   * there is no room for it: none is ever put out for a newer one.
   */
  async putOps(row: LockedRow, body: LockBody, entry: LockEntry): Promise<MetaOp[]> {
    const key = this.#key(row, entry.lock);
    const kept = await this.ofRow(row);
    const others = kept.filter((one) => toHex(one.key) !== toHex(key));
    const covered = others.filter(
      (one) =>
        one.entry.untilMs <= entry.untilMs &&
        isWithin(one.body, body) &&
        isWithin(heldOf(one), { ...body, bits: entry.bits }),
    );
    if (others.length - covered.length >= STATEMENTS_OF_ROW_MAX) throw tooMany("of this row");
    const isNew = others.length === kept.length;
    const gone = covered.reduce((sum, one) => sum + sizeOf(one.entry), 0);
    const bytes = (await this.#bytesOf(row.owner)) + (isNew ? sizeOf(entry) : 0) - gone;
    if (bytes > STATEMENT_BYTES_OF_OWNER_MAX) throw tooMany("of this owner");
    this.#bytes.set(row.owner, bytes);
    return [
      ...covered.map((one): MetaOp => ({ type: "delete", key: one.key })),
      { type: "put", key, value: lockEntry.encode(entry) },
    ];
  }

  /** What was counted may not have been written, or is there no more. */
  recount(owner?: OwnerId): void {
    if (owner === undefined) this.#bytes.clear();
    else this.#bytes.delete(owner);
  }

  async #bytesOf(owner: OwnerId): Promise<number> {
    const known = this.#bytes.get(owner);
    if (known !== undefined) return known;
    const from = concatBytes(this.#prefix, idBytes(owner));
    let bytes = 0;
    for await (const [, value] of this.#store.scan({ from, to: afterAll(from) }))
      bytes += sizeOf(lockEntry.decode(value));
    this.#bytes.set(owner, bytes);
    return bytes;
  }

  #key(row: LockedRow, lock: Uint8Array): Uint8Array {
    return concatBytes(this.#rowPrefix(row), sha256(lock).subarray(0, HASH_BYTES_IN_KEY));
  }

  #rowPrefix({ owner, life, classId, partition }: LockedRow): Uint8Array {
    return concatBytes(this.#prefix, idBytes(owner), idBytes(life), u32be(classId), u32be(partition));
  }
}

function heldOf({ body, entry }: KeptLock): LockBody {
  return { ...body, bits: entry.bits };
}

function opened(key: Uint8Array, value: Uint8Array): KeptLock {
  const entry = lockEntry.decode(value);
  return { key: key.slice(), entry, body: lockBody.decode(decodeSigned(entry.lock).body) };
}

function sizeOf({ lock, bits }: LockEntry): number {
  return lock.length + bits.length + ENTRY_OVERHEAD_BYTES;
}

function tooMany(of: string): Fault {
  return new Fault({ code: "NOT_ALLOWED", reason: `too many locks ${of} are kept already` });
}

/** Longer than what follows any prefix, and higher. */
const AFTER_ALL = new Uint8Array(80).fill(255);

export function afterAll(prefix: Uint8Array): Uint8Array {
  return concatBytes(prefix, AFTER_ALL);
}
