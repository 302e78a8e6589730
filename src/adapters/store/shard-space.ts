import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { GIB } from "../../base/units.ts";
import type { StoreSpace } from "../../ports/shard-store.ts";
import { FOOTER_BYTES, type QuarantineEntry, type ShardEntry } from "./shard-codec.ts";

/** What of the file system is never used: the larger of the two, so that the databases always have room. */
export interface SpaceReserve {
  /** @default 1 GiB */
  readonly bytes: number;
  /** Share of the whole file system. @default 0.02 */
  readonly ratio: number;
}

export const SPACE_RESERVE_DEFAULT: SpaceReserve = { bytes: GIB, ratio: 0.02 };

const DISK_BLOCK_BYTES = 4096;
/** Inode and directory entry, and an index entry (twice its key: table and log) beside its note. */
const FIXED_OVERHEAD_BYTES = 512;

/** Bytes on disk for one shard: its file in whole blocks, its index entry with another copy of the note. */
export function storedCost(bytes: number, noteBytes: number): number {
  const fileBytes = bytes + noteBytes + FOOTER_BYTES;
  return Math.ceil(fileBytes / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES + noteBytes + FIXED_OVERHEAD_BYTES;
}

export function costOf(entry: ShardEntry): number {
  return storedCost(entry.bytes, entry.note.length);
}

/** Of a writing that is kept aside: as much of its file as there was. */
export function quarantineCost({ keptBytes, note }: QuarantineEntry): number {
  const blocks = Math.ceil(keptBytes / DISK_BLOCK_BYTES) + 1;
  return blocks * DISK_BLOCK_BYTES + note.length + FIXED_OVERHEAD_BYTES;
}

export interface Reservation {
  /** The file is on disk: from here on the file system itself counts it. */
  written(): void;
  /** The shard is held now. */
  commit(): void;
  /** It came to nothing. After `commit` this does nothing. */
  cancel(): void;
}

/** Who may still write how much: room is taken before a byte is written, so that many puts cannot overshoot. */
export class ShardSpace {
  readonly #where: string;
  readonly #capacityBytes: number;
  readonly #reserve: SpaceReserve;
  readonly #diskSpace: () => Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  #usedBytes = 0;
  /** Promised, not held yet. */
  #pendingBytes = 0;
  /** The part of it that is not on disk yet. */
  #unwrittenBytes = 0;

  constructor(
    where: string,
    capacityBytes: number,
    reserve: SpaceReserve,
    diskSpace: () => Promise<{ readonly freeBytes: number; readonly totalBytes: number }>,
  ) {
    this.#where = where;
    this.#capacityBytes = capacityBytes;
    this.#reserve = reserve;
    this.#diskSpace = diskSpace;
  }

  /** Faults: `DISK_FULL` when it does not fit. */
  async reserve(cost: number): Promise<Reservation> {
    const freeBytes = this.#capacityBytes - this.#usedBytes - this.#pendingBytes;
    if (cost > freeBytes) throw this.#full(Math.max(0, freeBytes), cost);
    this.#pendingBytes += cost;
    this.#unwrittenBytes += cost;
    // Those before this one and itself: later ones count this one in their turn. What of it is written while
    // the file system is asked is counted twice, which errs on the safe side.
    const ahead = this.#unwrittenBytes;
    const reservation = this.#reservation(cost);
    try {
      const aboveReserve = await this.#diskAboveReserve();
      if (ahead > aboveReserve) throw this.#full(Math.max(0, aboveReserve - ahead + cost), cost);
      return reservation;
    } catch (error) {
      reservation.cancel();
      throw error;
    }
  }

  /** What is held came to cost so much more, or less. */
  change(costDifference: number): void {
    this.#usedBytes += costDifference;
    assert(this.#usedBytes >= 0, "no more is removed than was held");
  }

  async report(): Promise<StoreSpace> {
    const aboveReserve = (await this.#diskAboveReserve()) - this.#unwrittenBytes;
    const withinCapacity = this.#capacityBytes - this.#usedBytes - this.#pendingBytes;
    return {
      usedBytes: this.#usedBytes,
      freeBytes: Math.max(0, Math.min(aboveReserve, withinCapacity)),
      capacityBytes: this.#capacityBytes,
    };
  }

  async #diskAboveReserve(): Promise<number> {
    const { freeBytes, totalBytes } = await this.#diskSpace();
    return freeBytes - Math.max(this.#reserve.bytes, Math.ceil(this.#reserve.ratio * totalBytes));
  }

  #full(freeBytes: number, needBytes: number): Fault {
    return new Fault({ code: "DISK_FULL", where: this.#where, freeBytes, needBytes });
  }

  #reservation(cost: number): Reservation {
    let unwritten = cost;
    let open = true;
    const written = (): void => {
      this.#unwrittenBytes -= unwritten;
      unwritten = 0;
    };
    const end = (): boolean => {
      if (!open) return false;
      open = false;
      written();
      this.#pendingBytes -= cost;
      return true;
    };
    return {
      written,
      commit: () => {
        if (end()) this.#usedBytes += cost;
      },
      cancel: () => {
        end();
      },
    };
  }
}
