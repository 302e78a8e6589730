import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { mapLimit } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { Catalog, SegmentRanges, SnapshotEntry } from "../catalog/index.ts";
import type { Signer } from "../crypto/sign.ts";
import { signedHash, signStatement } from "../crypto/signed.ts";
import type { OwnerMaps, PeerClient } from "../exchange/index.ts";
import type { Clock, MetaStore } from "../ports/index.ts";
import { LOCK_MAX_MS, LOCKS_MAX_IN_MESSAGE, type LockedBody, lockBody } from "../wire/lock.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { lockMsOf } from "./lock-tag.ts";
import { type OwnAcknowledgement, OwnBook, type OwnLock, type OwnLockStanding, rowName } from "./own-book.ts";
import { type AssignedRow, assigned, missingOf, type NeededRow, neededRows, standingOf } from "./own-plan.ts";
import { joined } from "./row-bits.ts";

export interface OwnerLocksComponents {
  /** The namespace of the locks of others, too. */
  readonly store: MetaStore;
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "lock">;
  readonly self: PeerId;
  /** What a snapshot needs; throws where its manifest cannot be had just now. */
  readonly needs: (entry: SnapshotEntry, signal: AbortSignal) => Promise<SegmentRanges>;
  readonly connected: () => readonly PeerId[];
  /** Whether this home signs anything at all. */
  readonly mayAct: () => boolean;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
}

/** How a snapshot is locked, as far as its holders have said so. */
export type LockStanding =
  /** By all holders that the map names, for every segment that it needs. */
  | { readonly state: "locked"; readonly untilMs: number; readonly holders: number }
  | { readonly state: "locking"; readonly sinceMs: number; readonly done: number; readonly holders: number };

const RETRY_MS = MINUTE_MS;
/** Nothing is missing: a look now and then, besides when something was placed or moved. */
const CALM_MS = 10 * MINUTE_MS;
/** What is placed one after the other makes one look, not many. */
const PAUSE_MS = 2 * SECOND_MS;
const PEERS_AT_ONCE = 8;
const NOTHING_YET: OwnLockStanding = { holders: 0, done: 0, unplaced: true };

/**
 * Has what locked snapshots need locked by all who hold it: every segment, reused ones too, and again when somebody else holds it. What
 * is told to people is the least that any holder has signed; what counts is the holders' own time, which is never ahead of it.
 */
export class OwnerLocks {
  readonly #c: OwnerLocksComponents;
  readonly #swarm: SwarmId;
  readonly #book: OwnBook;
  readonly #stopping = new AbortController();
  /** By sequence: what the snapshot needs. */
  readonly #rows = new Map<number, readonly NeededRow[]>();
  /** By sequence: with which map all holders had acknowledged. */
  readonly #settled = new Map<number, number>();
  #loop: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #isWoken = false;

  constructor(components: OwnerLocksComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#book = new OwnBook(components.store);
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    this.wake();
    await this.#loop;
  }

  /** Somebody came back, or something was placed or moved. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  /** `undefined` where nothing is to be locked, or the time is over. */
  standingOf(entry: SnapshotEntry): LockStanding | undefined {
    const forMs = lockMsOf(entry);
    const nowMs = this.#c.clock.wallMs();
    if (forMs === 0 || entry.partial) return undefined;
    const lock = this.#lockOf(entry);
    const standing = lock?.standing ?? NOTHING_YET;
    const { holders, done } = standing;
    if (isWhole(standing))
      return standing.untilMs > nowMs ? { state: "locked", untilMs: standing.untilMs, holders } : undefined;
    if (lock === undefined && entry.timeMs + forMs <= nowMs) return undefined;
    return { state: "locking", sinceMs: lock?.sinceMs ?? entry.timeMs, done, holders };
  }

  /** The snapshot was made just now: its time begins. */
  async begin(entry: SnapshotEntry): Promise<void> {
    const forMs = Math.min(lockMsOf(entry), LOCK_MAX_MS);
    if (forMs === 0 || entry.partial) return;
    await this.#note(entry, forMs);
    this.wake();
  }

  /** One look at all of them, and what is missing asked for. Whether anything is missing still. */
  async round(signal: AbortSignal): Promise<boolean> {
    const { catalog, log } = this.#c;
    const entries = (await catalog.snapshots()).filter((entry) => lockMsOf(entry) > 0 && !entry.partial);
    await this.#tidy(entries);
    let isMissing = false;
    for (const entry of entries) {
      signal.throwIfAborted();
      try {
        const lock = await this.#current(entry);
        if (lock !== undefined && !(await this.#extend(entry, lock, signal))) isMissing = true;
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
        log.warn("lock-failed", { snapshot: toHex(entry.id), why: messageOf(error) });
        isMissing = true;
      }
    }
    return isMissing;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#isWoken = false;
      let waitMs = RETRY_MS;
      try {
        if (this.#c.mayAct() && !(await this.round(signal))) waitMs = CALM_MS;
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("locks-not-extended", { why: messageOf(error) });
      }
      await this.#c.clock.sleep(PAUSE_MS, signal).catch(() => {});
      if (!this.#isWoken) await this.#sleep(waitMs, signal);
    }
  }

  async #sleep(ms: number, outer: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const signal = AbortSignal.any([outer, timer.signal]);
    await Promise.race([woken, this.#c.clock.sleep(ms, signal).catch(() => {})]);
    this.#wake = undefined;
    timer.abort();
  }

  /** What is on no list any more, or over, is asked for no more. */
  async #tidy(entries: readonly SnapshotEntry[]): Promise<void> {
    const listed = new Map(entries.map((entry) => [entry.sequence, entry]));
    const nowMs = this.#c.clock.wallMs();
    for (const [sequence, lock] of await this.#book.all()) {
      const entry = listed.get(sequence);
      const isOver = lock.askedMs + lock.forMs <= nowMs && (lock.standing.untilMs ?? 0) <= nowMs;
      if (entry !== undefined && equalBytes(entry.id, lock.snapshot) && !isOver) continue;
      await this.#book.forget(sequence);
      this.#rows.delete(sequence);
      this.#settled.delete(sequence);
    }
  }

  #lockOf(entry: SnapshotEntry): OwnLock | undefined {
    const lock = this.#book.get(entry.sequence);
    return lock !== undefined && equalBytes(lock.snapshot, entry.id) ? lock : undefined;
  }

  /**
   * What is not in the book was asked for by a home that is gone, or stopped in between: what is left of its time is asked for under
   * the newest head, which makes no lock longer than it was to be. So it is with what an earlier life had signed.
   */
  async #current(entry: SnapshotEntry): Promise<OwnLock | undefined> {
    const known = this.#lockOf(entry);
    if (known?.incarnation === this.#c.catalog.incarnation) return known;
    const leftMs = entry.timeMs + lockMsOf(entry) - this.#c.clock.wallMs();
    const forMs = Math.min(leftMs, lockMsOf(entry), LOCK_MAX_MS);
    return forMs <= 0 ? undefined : this.#note(entry, forMs);
  }

  async #note(entry: SnapshotEntry, forMs: number): Promise<OwnLock | undefined> {
    const { catalog, clock } = this.#c;
    const { head } = catalog;
    if (head === undefined || head.incarnation !== catalog.incarnation) return undefined;
    await this.#book.forget(entry.sequence);
    const lock: OwnLock = {
      ...{ v: 1, snapshot: entry.id, incarnation: catalog.incarnation, head: encodeSigned(head) },
      ...{ forMs, askedMs: clock.wallMs(), sinceMs: clock.wallMs(), standing: NOTHING_YET },
    };
    await this.#book.put(entry.sequence, lock, { sync: true });
    return lock;
  }

  /** Whether all who hold something of it have acknowledged by now. */
  async #extend(entry: SnapshotEntry, lock: OwnLock, signal: AbortSignal): Promise<boolean> {
    const { catalog, maps, self, clock, log } = this.#c;
    const { sequence } = entry;
    const version = maps.version;
    if (this.#settled.get(sequence) === version) return true;
    const needed = this.#rows.get(sequence) ?? neededRows(catalog, maps, await this.#c.needs(entry, signal));
    this.#rows.set(sequence, needed);
    const rows = needed.map((row) => assigned(catalog, maps, self, row));
    const known = await this.#book.acknowledgements(sequence);
    await this.#askAll(sequence, lock, rows, known, signal);
    const standing = standingOf(rows, known);
    const sinceMs = isWhole(lock.standing) ? clock.wallMs() : lock.sinceMs;
    await this.#book.put(sequence, { ...lock, sinceMs, standing }, { sync: false });
    if (!isWhole(standing)) return false;
    this.#settled.set(sequence, version);
    this.#rows.delete(sequence);
    log.info("snapshot-locked", {
      ...{ snapshot: toHex(entry.id), holders: standing.holders },
      until: new Date(standing.untilMs ?? 0).toISOString(),
    });
    return true;
  }

  async #askAll(
    sequence: number,
    lock: OwnLock,
    rows: readonly AssignedRow[],
    known: Map<PeerId, OwnAcknowledgement>,
    signal: AbortSignal,
  ): Promise<void> {
    const connected = new Set(this.#c.connected());
    const holders = [...new Set(rows.flatMap(({ byPeer }) => [...byPeer.keys()]))];
    await mapLimit(
      holders.filter((peer) => connected.has(peer)),
      PEERS_AT_ONCE,
      async (peer) => {
        const missing = missingOf(rows, peer, known.get(peer));
        try {
          for (let at = 0; at < missing.length; at += LOCKS_MAX_IN_MESSAGE) {
            const some = missing.slice(at, at + LOCKS_MAX_IN_MESSAGE);
            const acknowledged = await this.#ask(peer, lock, some, known.get(peer), signal);
            known.set(peer, acknowledged);
            await this.#book.acknowledge(sequence, peer, acknowledged);
          }
        } catch (error) {
          signal.throwIfAborted();
          if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
          this.#c.log.info("lock-refused", { snapshot: toHex(lock.snapshot), peer, why: messageOf(error) });
        }
      },
    );
  }

  async #ask(
    peer: PeerId,
    lock: OwnLock,
    rows: readonly NeededRow[],
    known: OwnAcknowledgement | undefined,
    signal: AbortSignal,
  ): Promise<OwnAcknowledgement> {
    const { client, clock, catalog } = this.#c;
    const askedMs = clock.wallMs();
    const statements = rows.map((row) => this.#sign(lock, row));
    const locks = await client.lock(peer, catalog.owner, lock.head, statements, signal);
    const all = new Map(known?.rows.map((row) => [rowName(row), row]));
    let untilMs = known?.untilMs;
    for (const [at, { life, class: ofClass, partitions, first }] of rows.entries()) {
      const answer: LockedBody["locks"][number] = must(locks[at], "answer to a statement");
      if (answer.forMs === 0) continue;
      const row = { life, class: ofClass, partitions, first };
      const before = all.get(rowName(row))?.bits;
      const bits = before === undefined ? answer.bits : joined(answer.bits, before);
      all.set(rowName(row), { ...row, bits });
      untilMs = Math.min(untilMs ?? Number.MAX_SAFE_INTEGER, askedMs + Math.min(answer.forMs, lock.forMs));
    }
    return { v: 1, untilMs: untilMs ?? 0, rows: [...all.values()] };
  }

  #sign(lock: OwnLock, { life, class: ofClass, partitions, first, bits }: NeededRow): Uint8Array {
    const head = signedHash(decodeSigned(lock.head));
    const body = lockBody.encode({
      ...{ v: 1, life, class: ofClass, partitions, first, bits, forMs: lock.forMs, head },
    });
    const said = {
      type: "lock",
      swarm: this.#swarm,
      incarnation: lock.incarnation,
      epoch: lock.askedMs,
      body,
    } as const;
    return encodeSigned(signStatement(said, this.#c.signer));
  }
}

function isWhole(standing: OwnLockStanding): standing is OwnLockStanding & { readonly untilMs: number } {
  return standing.holders === standing.done && !standing.unplaced && standing.untilMs !== undefined;
}
