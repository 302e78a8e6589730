import { z } from "zod";
import { concatBytes, readU64be, u64be } from "../base/bytes.ts";
import { type PeerId, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import type { MetaStore } from "../ports/index.ts";
import { bytesOf, bytesUpTo, codec, count, incarnation, OWN_SHAPE, segmentNumber } from "../wire/codec.ts";
import { LOCK_BITS_BYTES_MAX } from "../wire/lock.ts";
import { afterAll } from "./kept-locks.ts";

const standing = z
  .object({
    /** That the map names, and those of them that have acknowledged all that they hold. */
    holders: count,
    done: count,
    /** Some shard has no holder at all. */
    unplaced: z.boolean(),
    /** The earliest end among all acknowledgements, by this machine's clock when it asked; absent before there is one. */
    untilMs: count.exactOptional(),
  })
  .strict();
export type OwnLockStanding = z.output<typeof standing>;

/** A snapshot that this node wants to have locked. */
export const ownLock = codec(
  "own lock",
  z
    .object({
      v: z.literal(1),
      snapshot: bytesOf(32),
      /** Under which its statements are signed. */
      incarnation,
      /** In its envelope. */
      head: bytesUpTo(128 * 1024),
      forMs: count,
      /** The same in every try, so that a holder knows what it has heard before. */
      askedMs: count,
      /** Since when somebody who is to hold something has not acknowledged it. */
      sinceMs: count,
      standing,
    })
    .strict(),
);
export type OwnLock = ReturnType<(typeof ownLock)["decode"]>;

/** Of one holder for one snapshot: which segments it keeps, row by row. */
export const ownAcknowledgement = codec(
  "own lock acknowledgement",
  z
    .object({
      v: z.literal(1),
      untilMs: count,
      rows: z.array(
        z
          .object({
            life: incarnation,
            class: z.int().min(0).max(65_535),
            partitions: z.int().min(1).max(4096),
            first: segmentNumber,
            bits: bytesUpTo(LOCK_BITS_BYTES_MAX),
          })
          .strict(),
      ),
    })
    .strict(),
  OWN_SHAPE,
);
export type OwnAcknowledgement = ReturnType<(typeof ownAcknowledgement)["decode"]>;

const LOCK = Uint8Array.of(8);
const ACKNOWLEDGED = Uint8Array.of(9);

/** What this node's own snapshots have locked elsewhere, by the sequence number of the snapshot. */
export class OwnBook {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(sequence: number): OwnLock | undefined {
    const value = this.#store.get(concatBytes(LOCK, u64be(sequence)));
    return value === undefined ? undefined : ownLock.decode(value);
  }

  async all(): Promise<Map<number, OwnLock>> {
    const all = new Map<number, OwnLock>();
    for await (const [key, value] of this.#store.scan({ from: LOCK, to: ACKNOWLEDGED }))
      all.set(readU64be(key, LOCK.length) ?? 0, ownLock.decode(value));
    return all;
  }

  async put(sequence: number, lock: OwnLock, { sync }: { readonly sync: boolean }): Promise<void> {
    const key = concatBytes(LOCK, u64be(sequence));
    await this.#store.write([{ type: "put", key, value: ownLock.encode(lock) }], { sync });
  }

  async acknowledgements(sequence: number): Promise<Map<PeerId, OwnAcknowledgement>> {
    const from = concatBytes(ACKNOWLEDGED, u64be(sequence));
    const found = new Map<PeerId, OwnAcknowledgement>();
    for await (const [key, value] of this.#store.scan({ from, to: afterAll(from) }))
      found.set(peerIdOf(key.subarray(from.length)), ownAcknowledgement.decode(value));
    return found;
  }

  /** Lost in a crash, it is asked for again, and answered as before. */
  async acknowledge(sequence: number, peer: PeerId, value: OwnAcknowledgement): Promise<void> {
    const key = concatBytes(ACKNOWLEDGED, u64be(sequence), publicKeyOfPeer(peer));
    await this.#store.write([{ type: "put", key, value: ownAcknowledgement.encode(value) }], { sync: false });
  }

  async forget(sequence: number): Promise<void> {
    const from = concatBytes(ACKNOWLEDGED, u64be(sequence));
    const keys = [concatBytes(LOCK, u64be(sequence))];
    for await (const [key] of this.#store.scan({ from, to: afterAll(from) })) keys.push(key.slice());
    await this.#store.write(
      keys.map((key) => ({ type: "delete", key })),
      { sync: false },
    );
  }
}

/** The same text for the same segments of a row. */
export function rowName(row: {
  readonly life: OwnLock["incarnation"];
  readonly class: number;
  readonly partitions: number;
  readonly first: number;
}): string {
  return `${row.life}/${row.class}/${row.partitions}/${row.first}`;
}
