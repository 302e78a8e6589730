import { z } from "zod";
import { readU64be, u64be } from "../base/bytes.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type OwnerId, type ShardId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import { type Holder, RunningTime } from "../exchange/index.ts";
import type { Clock, MetaOp, MetaStore, ShardStore } from "../ports/index.ts";
import { type GcFacts, type GcRules, type GcVerdict, gcVerdict } from "../upkeep/index.ts";
import { codec, count } from "../wire/codec.ts";
import { Brake } from "./brake.ts";
import type { LiveSets } from "./live-sets.ts";
import { GcMarks } from "./marks.ts";

/** Who outranks a live set. */
export interface SegmentLocks {
  /** How long the holder must still keep shards of this segment, in its own running time; 0 when no lock holds. */
  lockedForMs(segment: ShardId): number;
}

export interface CollectorComponents {
  readonly store: MetaStore;
  readonly liveSets: Pick<LiveSets, "omits">;
  readonly shards: Pick<ShardStore, "list" | "stat" | "delete">;
  readonly holder: Pick<Holder, "guarded">;
  readonly locks: SegmentLocks;
  readonly promises: { isPromised(shard: ShardId): boolean };
  /** Whether administrators have released what live sets of this owner remove. */
  readonly isReleased: (owner: OwnerId) => boolean;
  /** Throws where the disk with the shards is not there. */
  readonly disk: { requireServing(): void };
  /** Whether this node may drop anything now: not while it is itself cut off, and not one that was replaced. */
  readonly mayAct: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** Why an owner's shards stay although its live set omits them. */
export interface BrakedOwner {
  readonly owner: OwnerId;
  readonly waitingBytes: number;
  readonly removedBytes: number;
  readonly baseBytes: number;
  /** How long of this node's running time until all that waits may go by itself; absent where it needs to be released. */
  readonly roomInMs?: number;
}

export interface CollectorStatus {
  readonly waiting: number;
  readonly trash: { readonly shards: number; readonly bytes: number };
  /** Since the start. */
  readonly deleted: { readonly shards: number; readonly bytes: number };
  readonly braked: readonly BrakedOwner[];
}

const RUNNING_KEY = Uint8Array.of(5);
const SEEN_KEY = Uint8Array.of(6);
const SETTLED_KEY = Uint8Array.of(7);
const PAGE = 500;
/**
 * After a round so many times as long as it took are left to others: every live set that comes in asks for a round, each looks at all shards,
 * and a holder of a million of many owners would do nothing else.
 */
const RESTS = 9;
/** Away for a longer share of the time for which live sets wait (six hours of 48), a daemon waits for those it has missed. */
const AWAY_SHARE = 1 / 8;
/** What was deleted is remembered as long as any lock could have lasted. */
const REMEMBERED_MS = 400 * DAY_MS;

export const seenEntry = codec("time last seen", z.object({ v: z.literal(1), wallMs: count }).strict());

interface Round {
  readonly heldBytes: Map<OwnerId, number>;
  readonly braked: Map<OwnerId, number>;
  waiting: number;
  trash: { shards: number; bytes: number };
}

/**
 * Takes shards that no live set wants any more out of a holder's store, in steps: waiting, trash, gone. Each step is one synced
 * write, decided anew under the lock under which a put would replace the shard, by what is on disk at that moment: whoever dies
 * between two of them goes on there. Nothing else in a holder deletes for want of interest.
 */
export class Collector {
  readonly #c: CollectorComponents;
  readonly #rules: GcRules;
  readonly #everyMs: number;
  readonly #marks: GcMarks;
  readonly #brake: Brake;
  readonly #running: RunningTime;
  readonly #stopping = new AbortController();
  #deleted = { shards: 0, bytes: 0 };
  #status: Omit<CollectorStatus, "deleted"> = { waiting: 0, trash: { shards: 0, bytes: 0 }, braked: [] };
  #loop: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #isWoken = false;
  /** By which the brake counts: one day for a whole round. */
  #today = 0;

  constructor(components: CollectorComponents, init: { everyMs: number; rules: GcRules }) {
    this.#c = components;
    this.#rules = init.rules;
    this.#everyMs = init.everyMs;
    this.#marks = new GcMarks(components.store);
    this.#brake = new Brake(components.store, init.rules);
    this.#running = new RunningTime(components, RUNNING_KEY);
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  status(): CollectorStatus {
    return { ...this.#status, deleted: this.#deleted };
  }

  /** Soon: a live set came in. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  /** Still on disk, and held for nobody: not for audits, not for repair. */
  isTrash(shard: ShardId): boolean {
    return this.#marks.get(shard)?.is === "trash" && this.#c.liveSets.omits(shard);
  }

  /** In the trash or deleted, and nobody wants it back: its time to wait is over, and the brake has let it go. */
  isLeaving(shard: ShardId): boolean {
    const is = this.#marks.get(shard)?.is;
    return (is === "trash" || is === "gone") && this.#c.liveSets.omits(shard);
  }

  /** It is not here, or not for long, by its owner's word: an audit's denial breaks no receipt. */
  isGivenUp(shard: ShardId): boolean {
    return this.#c.liveSets.omits(shard) || this.#marks.get(shard)?.is === "gone";
  }

  /** It was put again: a receipt for it binds. The caller has its lock. */
  async putAgain(shard: ShardId): Promise<void> {
    const mark = this.#marks.get(shard);
    if (mark !== undefined) await this.#takeBack(shard, mark);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, log } = this.#c;
    while (!signal.aborted) {
      const beganMs = clock.monotonicMs();
      this.#isWoken = false;
      try {
        await this.round(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        log.warn("collection-failed", { why: messageOf(error) });
      }
      const restMs = Math.min(this.#everyMs, RESTS * (clock.monotonicMs() - beganMs));
      if (restMs > 0) await clock.sleep(restMs, signal).catch(() => undefined);
      // What came in during the round, or the rest, may not have been looked at.
      if (!this.#isWoken) await this.#pause(this.#everyMs - restMs, signal);
    }
  }

  /** Until then, or until somebody wakes it. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || ms <= 0) return;
    const timer = new AbortController();
    const stop = (): void => timer.abort();
    this.#wake = stop;
    signal.addEventListener("abort", stop, { once: true });
    await this.#c.clock.sleep(ms, timer.signal).catch(() => undefined);
    signal.removeEventListener("abort", stop);
    this.#wake = undefined;
  }

  /** Looks at every shard once. */
  async round(signal: AbortSignal): Promise<void> {
    this.#c.disk.requireServing();
    await this.#noteSeen();
    const before: Round = {
      heldBytes: new Map(),
      braked: new Map(),
      waiting: 0,
      trash: { shards: 0, bytes: 0 },
    };
    await this.#countHeld(before, signal);
    this.#today = this.#brake.dayOf(this.#running.ms);
    for (const [owner, bytes] of before.heldBytes) await this.#brake.begin(owner, this.#today, bytes);
    if (this.#c.mayAct()) await this.#act(before, signal);
    await this.#tidy(signal);
    await this.#sum(before);
  }

  /** What is held for whom, without what is in the trash: it has been counted as removed. */
  async #countHeld({ heldBytes }: Round, signal: AbortSignal): Promise<void> {
    for await (const { id, bytes } of this.#shards(signal)) {
      const counts = this.#marks.get(id)?.is !== "trash";
      heldBytes.set(id.owner, (heldBytes.get(id.owner) ?? 0) + (counts ? bytes : 0));
    }
  }

  async #act(round: Round, signal: AbortSignal): Promise<void> {
    for await (const { id, bytes } of this.#shards(signal)) {
      if (!this.#c.liveSets.omits(id) && this.#marks.get(id) === undefined) continue;
      const verdict = await this.#c.holder.guarded(id, () => this.#step(id));
      if (verdict === "braked") round.braked.set(id.owner, (round.braked.get(id.owner) ?? 0) + bytes);
    }
  }

  async *#shards(signal: AbortSignal): AsyncGenerator<{ readonly id: ShardId; readonly bytes: number }> {
    let after: ShardId | undefined;
    for (;;) {
      signal.throwIfAborted();
      const page = await this.#c.shards.list(after, PAGE);
      yield* page;
      after = page.at(-1)?.id;
      if (page.length < PAGE) return;
    }
  }

  /** Under the shard's lock; everything is looked up now. */
  async #step(id: ShardId): Promise<GcVerdict> {
    const held = this.#c.shards.stat(id);
    if (held === undefined) return "stay";
    const today = this.#today;
    const standing = await this.#brake.standing(id.owner, today);
    const verdict = gcVerdict(this.#facts(id, this.#brake.mayRemove(standing, held.bytes)), this.#rules);
    const mark = this.#marks.get(id);
    switch (verdict) {
      case "stay":
      case "braked":
        break;
      case "wait":
        await this.#write([this.#marks.putOp(id, { is: "waiting", sinceMs: this.#running.ms })]);
        break;
      case "take-back":
        if (mark !== undefined) await this.#takeBack(id, mark);
        break;
      case "trash": {
        const { bytes } = held;
        const trash = { is: "trash" as const, sinceMs: this.#running.ms, bytes, day: today };
        await this.#write([this.#marks.putOp(id, trash), ...this.#brake.countOp(id.owner, today, bytes)]);
        this.#c.log.info("shard-trashed", { shard: shardKey(id), bytes });
        break;
      }
      case "delete":
        await this.#c.shards.delete(id);
        await this.#write([this.#marks.putOp(id, { is: "gone", sinceMs: this.#running.ms })]);
        this.#deleted = { shards: this.#deleted.shards + 1, bytes: this.#deleted.bytes + held.bytes };
        this.#c.log.info("shard-deleted", { shard: shardKey(id), bytes: held.bytes });
        break;
    }
    return verdict;
  }

  #facts(id: ShardId, isWithinBrake: boolean): GcFacts {
    const { liveSets, locks, promises, isReleased } = this.#c;
    return {
      state: this.#marks.state(id),
      isOmitted: liveSets.omits(id),
      isBound: locks.lockedForMs(id) > 0 || promises.isPromised(id),
      runningMs: this.#running.ms,
      isSettling: this.#isSettling,
      isWithinBrake: isWithinBrake || isReleased(id.owner),
    };
  }

  async #takeBack(
    id: ShardId,
    { is, bytes, day }: { is: string; bytes?: number; day?: number },
  ): Promise<void> {
    const given =
      is === "trash" && day !== undefined ? this.#brake.countOp(id.owner, day, -(bytes ?? 0)) : [];
    await this.#write([this.#marks.deleteOp(id), ...given]);
    this.#c.log.info("shard-taken-back", { shard: shardKey(id), from: is });
  }

  /** Of what is not here any more: trash was deleted just before a crash, what waited was set aside by a scrub. */
  async #tidy(signal: AbortSignal): Promise<void> {
    for await (const [id, { is, sinceMs }] of this.#marks.all()) {
      signal.throwIfAborted();
      const isOld = this.#running.ms - sinceMs > REMEMBERED_MS;
      if (is === "gone" && !isOld) continue;
      await this.#c.holder.guarded(id, async () => {
        if (this.#c.shards.stat(id) !== undefined || this.#marks.get(id)?.is !== is) return;
        const gone = this.#marks.putOp(id, { is: "gone", sinceMs: this.#running.ms });
        await this.#write([is === "trash" ? gone : this.#marks.deleteOp(id)]);
      });
    }
  }

  async #sum(round: Round): Promise<void> {
    for await (const [, { is, bytes }] of this.#marks.all()) {
      if (is === "waiting") round.waiting++;
      if (is === "trash")
        round.trash = { shards: round.trash.shards + 1, bytes: round.trash.bytes + (bytes ?? 0) };
    }
    const braked: BrakedOwner[] = [];
    for (const [owner, waitingBytes] of round.braked) {
      const standing = await this.#brake.standing(owner, this.#today);
      const roomInMs = await this.#brake.roomInMs(owner, this.#today, waitingBytes);
      const waits = { owner, waitingBytes, ...standing, ...(roomInMs === undefined ? {} : { roomInMs }) };
      braked.push(waits);
      this.#c.log.warn("deletion-braked", waits);
    }
    this.#status = { waiting: round.waiting, trash: round.trash, braked };
  }

  /**
   * When this daemon was last up is on disk. After long away, or with a clock that went back, it waits as long as live sets have
   * for taking things back, so that those it missed can come in first.
   */
  async #noteSeen(): Promise<void> {
    const { store, clock } = this.#c;
    const nowMs = clock.wallMs();
    const before = store.get(SEEN_KEY);
    const lastMs = before === undefined ? nowMs : seenEntry.decode(before).wallMs;
    const ops: MetaOp[] = [{ type: "put", key: SEEN_KEY, value: seenEntry.encode({ v: 1, wallMs: nowMs }) }];
    const awayMs = nowMs - lastMs;
    if (awayMs > this.#rules.delayMs * AWAY_SHARE + this.#everyMs || awayMs < 0)
      ops.push({ type: "put", key: SETTLED_KEY, value: u64be(this.#running.ms + this.#rules.delayMs) });
    await this.#write(ops);
  }

  get #isSettling(): boolean {
    const until = this.#c.store.get(SETTLED_KEY);
    return until !== undefined && (readU64be(until) ?? 0) > this.#running.ms;
  }

  async #write(ops: readonly MetaOp[]): Promise<void> {
    await this.#c.store.write([...ops, this.#running.op()], { sync: true });
  }
}
