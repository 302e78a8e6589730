import { EMPTY_BYTES } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { PeerId, SegmentId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS } from "../base/units.ts";
import type { PeerClient } from "../exchange/index.ts";
import { partitionOf } from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import { LOCKS_MAX_IN_MESSAGE, lockBody } from "../wire/lock.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { HolderLocks } from "./holder-locks.ts";
import type { LockedRow } from "./kept-locks.ts";
import { numberAt, positions } from "./row-bits.ts";

export interface LockBearerComponents {
  readonly locks: Pick<HolderLocks, "ofRow" | "lockedForMs">;
  readonly client: Pick<PeerClient, "lock">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Rows that somebody has not taken the locks of; they are brought again in memory only: an owner that is up sees to it itself. */
const OWED_MAX = 1024;
const RETRY_MS = HOUR_MS;

interface Owed {
  readonly row: LockedRow;
  readonly to: PeerId;
}

/** Brings what is locked of a row to who takes its shards over, where it begins anew, whole. */
export class LockBearer {
  readonly #c: LockBearerComponents;
  readonly #owed = new Map<string, Owed>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(components: LockBearerComponents) {
    this.#c = components;
  }

  /** Rows of which somebody has not taken the locks yet. */
  get owed(): number {
    return this.#owed.size;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** A shard that is there without its lock is better than none: who does not take it now is asked again later. */
  async bring(row: LockedRow, to: readonly PeerId[], signal: AbortSignal): Promise<void> {
    for (const peer of new Set(to)) {
      const name = `${row.owner}/${row.life}/${row.classId}/${row.partition}/${peer}`;
      try {
        await this.#bringTo(row, peer, signal);
        this.#owed.delete(name);
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error)) throw error;
        this.#c.log.warn("locks-not-brought", { owner: row.owner, to: peer, why: messageOf(error) });
        if (this.#owed.size < OWED_MAX) this.#owed.set(name, { row, to: peer });
      }
    }
  }

  /**
   * Whether a segment that is locked here is locked at this holder as well, by its own signature. It need not last as long
   * as here: a node that was off has counted less, and what it has too much of would stay for that alone. True where nothing is locked.
   */
  async isLockedAt(
    segment: SegmentId,
    at: { readonly classId: number; readonly partitions: number; readonly peer: PeerId },
    signal: AbortSignal,
  ): Promise<boolean> {
    if (this.#c.locks.lockedForMs(segment) === 0) return true;
    const { owner, incarnation: life, number } = segment;
    const partition = partitionOf(number, at.partitions);
    const row = { owner, life, classId: at.classId, partition };
    try {
      const there = await this.#bringTo(row, at.peer, signal);
      return there.has(number);
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      this.#c.log.info("lock-not-shown", { owner, holder: at.peer, why: messageOf(error) });
      return false;
    }
  }

  /** Numbers of the segments that are locked there. */
  async #bringTo(row: LockedRow, to: PeerId, signal: AbortSignal): Promise<Set<number>> {
    const there = new Set<number>();
    for (const { head, locks } of await this.#c.locks.ofRow(row))
      for (let at = 0; at < locks.length; at += LOCKS_MAX_IN_MESSAGE) {
        const some = locks.slice(at, at + LOCKS_MAX_IN_MESSAGE);
        const answers = await this.#c.client.lock(to, row.owner, head, some, signal);
        for (const [i, { bits, forMs }] of answers.entries()) {
          const body = lockBody.decode(decodeSigned(some[i] ?? EMPTY_BYTES).body);
          if (forMs > 0) for (const bit of positions(bits)) there.add(numberAt(body, bit));
        }
      }
    return there;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#c.clock.sleep(RETRY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        for (const { row, to } of [...this.#owed.values()]) await this.bring(row, [to], signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }
}
