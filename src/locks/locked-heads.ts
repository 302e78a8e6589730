import { z } from "zod";
import { concatBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type OwnerId } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { codec, count } from "../wire/codec.ts";
import { LOCK_MAX_MS } from "../wire/lock.ts";
import { afterAll } from "./kept-locks.ts";

/** Heads of one owner that are locked, or were lately. A new one finds no room rather than that it puts an older one out. */
const HEADS_OF_OWNER_MAX = 4096;
/** It is known for so long after its end that it was in force here: a statement that is shown again begins nothing anew. */
const REMEMBERED_MS = LOCK_MAX_MS;

/** By the home's running time; `forMs`: the longest that was asked for. */
export const lockedHeadEntry = codec(
  "locked head",
  z.object({ v: z.literal(1), untilMs: count, forMs: count }).strict(),
);

/** Heads that a lock refers to, with the time until when it does. */
export class LockedHeads {
  readonly #store: MetaStore;
  readonly #prefix: Uint8Array;

  constructor(store: MetaStore, prefix: Uint8Array) {
    this.#store = store;
    this.#prefix = prefix;
  }

  untilMs(owner: OwnerId, hash: Uint8Array): number {
    return this.#get(owner, hash)?.untilMs ?? 0;
  }

  /** Whether a lock of this length for this head has been in force here and is over. */
  isOver(owner: OwnerId, hash: Uint8Array, forMs: number, nowMs: number): boolean {
    const known = this.#get(owner, hash);
    return known !== undefined && known.untilMs <= nowMs && forMs <= known.forMs;
  }

  /** `NOT_ALLOWED` where so many are known that there is no room for another one. */
  async extendOps(
    owner: OwnerId,
    hash: Uint8Array,
    lock: { readonly untilMs: number; readonly forMs: number },
  ): Promise<MetaOp[]> {
    const known = this.#get(owner, hash);
    if (known === undefined && (await this.#count(owner)) >= HEADS_OF_OWNER_MAX) {
      const reason = `locks for ${HEADS_OF_OWNER_MAX} heads of this owner are kept already`;
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const untilMs = Math.max(known?.untilMs ?? 0, lock.untilMs);
    const forMs = Math.max(known?.forMs ?? 0, lock.forMs);
    const value = lockedHeadEntry.encode({ v: 1, untilMs, forMs });
    return [{ type: "put", key: this.#key(owner, hash), value }];
  }

  async #count(owner: OwnerId): Promise<number> {
    const from = concatBytes(this.#prefix, idBytes(owner));
    let count = 0;
    for await (const _ of this.#store.scan({ from, to: afterAll(from), limit: HEADS_OF_OWNER_MAX })) count++;
    return count;
  }

  #get(owner: OwnerId, hash: Uint8Array): ReturnType<(typeof lockedHeadEntry)["decode"]> | undefined {
    const value = this.#store.get(this.#key(owner, hash));
    return value === undefined ? undefined : lockedHeadEntry.decode(value);
  }

  #key(owner: OwnerId, hash: Uint8Array): Uint8Array {
    return concatBytes(this.#prefix, idBytes(owner), hash);
  }
}

export function isForgettable(value: Uint8Array, nowMs: number): boolean {
  return lockedHeadEntry.decode(value).untilMs + REMEMBERED_MS <= nowMs;
}
