import { Semaphore } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type ShardId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { Clock, Compute, MetaStore, Rng, ShardStore, StoredShard } from "../ports/index.ts";
import { DISK_SHARE_DEFAULT, nextStep, PERIOD_DEFAULT_MS, restMs } from "./pace.ts";
import { ShardJudge } from "./shard-judge.ts";
import {
  advanced,
  atEnd,
  cursorOf,
  firstState,
  isPast,
  loadState,
  nextRound,
  oldestMs,
  type Round,
  type ScrubState,
  saveState,
} from "./state.ts";
import type { StoreWatch } from "./store-watch.ts";
import { surveyShards } from "./survey.ts";

export interface ScrubComponents {
  readonly shards: ShardStore;
  /** A namespace of its own. */
  readonly store: MetaStore;
  readonly compute: Pick<Compute, "roots">;
  readonly watch: StoreWatch;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
  /** Called when a shard was set aside. */
  readonly onSetAside?: () => void;
}

export interface ScrubInit {
  /** Every byte is read again within it. @default 30 days */
  readonly periodMs?: number;
  /** Of the disk's time, at most: above 0, at most 1. @default 0.1 */
  readonly diskShare?: number;
}

export interface ScrubReport {
  readonly scanned: number;
  readonly bytes: number;
  readonly corrupt: number;
  readonly quarantined: number;
  /** False when the disk went away before the end. */
  readonly complete: boolean;
}

export interface ScrubStatus {
  readonly paused: boolean;
  readonly round: Pick<Round, "number" | "startedMs" | "complete"> & ScrubReport;
  readonly last: ScrubState["last"];
  readonly oldestUnverifiedMs: number;
  readonly periodMs: number;
}

/** After a stop that was none: shards drawn at random, and those that were written last. */
const SAMPLE = { random: 48, newest: 16 };
/** The cursor is written so often at most: what was read since is read again after a crash. */
const SAVE_EVERY_MS = MINUTE_MS;
/** Shards looked up ahead. */
const PAGE = 32;
const RETRY_MS = MINUTE_MS;
/** Waiting to be looked at because somebody else found them bad; the round comes to the rest. */
const SUSPECTS_MAX = 1024;

/** Reads the shards of this node again, round after round. One shard at a time is in memory. */
export class Scrubber {
  readonly #c: ScrubComponents;
  readonly #periodMs: number;
  readonly #diskShare: number;
  readonly #judge: ShardJudge;
  readonly #stopping = new AbortController();
  /** The round that somebody asked for and the one in the background take turns. */
  readonly #turn = new Semaphore(1);
  #state: ScrubState | undefined;
  #page: StoredShard[] = [];
  #savedMs = Number.NEGATIVE_INFINITY;
  #opening: Promise<ScrubState> | undefined;
  #wasUnclean = false;
  #loop: Promise<void> | undefined;
  readonly #suspects = new Map<string, ShardId>();
  #checking: Promise<void> | undefined;

  constructor(components: ScrubComponents, init: ScrubInit = {}) {
    this.#c = components;
    this.#periodMs = init.periodMs ?? PERIOD_DEFAULT_MS;
    this.#diskShare = init.diskShare ?? DISK_SHARE_DEFAULT;
    this.#judge = new ShardJudge(components);
  }

  start(): void {
    this.#loop = this.#run();
  }

  /**
   * What was read is on disk when it resolves. Where the disk takes nothing, the next start finds what it finds after a
   * crash, and begins with a sample.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await this.#checking;
    if (this.#state === undefined) return;
    try {
      await this.#save({ ...this.#state, running: false });
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("scrub-delayed", { reason: messageOf(error) });
    }
  }

  /** Shards that wait to be made anew: set aside and not held again. */
  async waiting(): Promise<number> {
    let waiting = 0;
    for await (const { id } of this.#judge.setAside()) if (this.#c.shards.stat(id) === undefined) waiting++;
    return waiting;
  }

  async status(): Promise<ScrubStatus> {
    const state = await this.#opened();
    const { number, startedMs, scanned, bytes, corrupt, quarantined, complete } = state.round;
    return {
      paused: state.paused,
      round: { number, startedMs, scanned, bytes, corrupt, quarantined, complete },
      last: state.last,
      oldestUnverifiedMs: await this.#oldestAgeMs(state),
      periodMs: this.#periodMs,
    };
  }

  /** Stays so over restarts, until `resume`; a round that is asked for runs all the same. */
  async pause(): Promise<void> {
    await this.#setPaused(true);
  }

  async resume(): Promise<void> {
    await this.#setPaused(false);
  }

  /** Reads everything once, as fast as the disk gives it. Rejects with the signal's reason; the next round goes on there. */
  async now(
    signal: AbortSignal,
    onProgress: (done: { scanned: number; bytes: number; bytesTotal: number }) => void,
  ): Promise<ScrubReport> {
    return this.#turn.run(async () => {
      await this.#begin();
      const { number } = (await this.#opened()).round;
      for (;;) {
        signal.throwIfAborted();
        this.#stopping.signal.throwIfAborted();
        const went = await this.#step();
        const { round, last } = await this.#opened();
        if (went === "held-up") return { ...round, complete: false };
        if (round.complete && last?.number === number) return { ...last, complete: true };
        onProgress({ scanned: round.scanned, bytes: round.bytes, bytesTotal: await this.#bytesTotal() });
      }
    });
  }

  /** Something else than a round found this shard not as it should be: it is looked at next. */
  suspect(id: ShardId): void {
    if (this.#suspects.size < SUSPECTS_MAX) this.#suspects.set(shardKey(id), id);
    this.#checking ??= this.#checkSuspects().finally(() => {
      this.#checking = undefined;
    });
  }

  async #checkSuspects(): Promise<void> {
    for (const [key, id] of this.#suspects) {
      this.#suspects.delete(key);
      if (this.#stopping.signal.aborted) return;
      const shard = this.#c.shards.stat(id);
      if (shard === undefined) continue;
      try {
        await this.#turn.run(() => this.#judge.judge(shard));
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.warn("scrub-delayed", { reason: messageOf(error) });
      }
    }
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#c;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.#c.watch.look();
        const waitMs = await this.#turn.run(() => this.#next());
        await clock.sleep(waitMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        log.warn("scrub-delayed", { reason: messageOf(error) });
        await clock.sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  }

  /** Does what is due, and says how long there is nothing to do then. */
  async #next(): Promise<number> {
    if (this.#stopping.signal.aborted) return 0;
    if (this.#c.watch.state.state === "gone") return RETRY_MS;
    const state = await this.#opened();
    if (this.#wasUnclean) await this.#sample();
    if (state.paused) return RETRY_MS;
    const { clock } = this.#c;
    const step = nextStep({
      nowMs: clock.wallMs(),
      periodMs: this.#periodMs,
      round: state.round,
      bytesTotal: await this.#bytesTotal(),
      oldestAgeMs: await this.#oldestAgeMs(state),
    });
    if (step.do === "wait") return step.ms;
    if (step.do === "begin") {
      await this.#begin();
      return 0;
    }
    const startedMs = clock.monotonicMs();
    const went = await this.#step();
    return went === "held-up" ? RETRY_MS : restMs(clock.monotonicMs() - startedMs, this.#diskShare);
  }

  async #begin(): Promise<void> {
    const state = await this.#opened();
    this.#page = [];
    const { rng, clock, shards } = this.#c;
    const needsOrigin = state.round.origin === undefined && state.round.complete;
    const origin = needsOrigin
      ? (await surveyShards({ shards, rng }, { random: 1, newest: 0 })).sample[0]?.id
      : undefined;
    await this.#save(nextRound(state, clock.wallMs(), origin));
  }

  /** Looks at one shard, or finds the end of the round. `held-up`: nothing can be said now. */
  async #step(): Promise<"went" | "held-up"> {
    const state = await this.#opened();
    const shard = await this.#nextShard(state.round);
    if (shard === undefined || isPast(state.round, shard.id)) {
      await this.#passEnd(state, shard !== undefined);
      return "went";
    }
    const outcome = await this.#judge.judge(shard);
    if (outcome === "held-up") return "held-up";
    this.#page.shift();
    const found = { corrupt: outcome.corrupt ? 1 : 0, quarantined: outcome.quarantined ? 1 : 0 };
    const nowMs = this.#c.clock.wallMs();
    const bytesTotal = await this.#bytesTotal();
    // Somebody may have paused it meanwhile.
    const current = await this.#opened();
    this.#state = advanced(current, shard.id, { bytes: shard.bytes, ...found }, { nowMs, bytesTotal });
    if (this.#c.clock.monotonicMs() - this.#savedMs >= SAVE_EVERY_MS) await this.#save(this.#state, false);
    return "went";
  }

  async #nextShard(round: Round): Promise<StoredShard | undefined> {
    if (this.#page.length === 0) this.#page = await this.#c.shards.list(cursorOf(round), PAGE);
    return this.#page[0];
  }

  async #passEnd(state: ScrubState, isLapped: boolean): Promise<void> {
    this.#page = [];
    const round = isLapped ? { ...state.round, complete: true } : atEnd(state.round);
    if (!round.complete) {
      this.#state = { ...state, round };
      return;
    }
    await this.#judge.dropReplaced();
    const { number, startedMs, scanned, bytes, corrupt, quarantined } = round;
    const endedMs = this.#c.clock.wallMs();
    const last = { number, startedMs, endedMs, scanned, bytes, corrupt, quarantined };
    await this.#save({ ...state, round, last });
    if (scanned > 0) this.#c.log.info("scrub-round", last);
  }

  async #setPaused(paused: boolean): Promise<void> {
    await this.#save({ ...(await this.#opened()), paused });
  }

  async #bytesTotal(): Promise<number> {
    return (await this.#c.shards.space()).usedBytes;
  }

  /** 0 while nothing is held. */
  async #oldestAgeMs(state: ScrubState): Promise<number> {
    const isEmpty = (await this.#c.shards.list(undefined, 1)).length === 0;
    return isEmpty ? 0 : Math.max(0, this.#c.clock.wallMs() - oldestMs(state));
  }

  async #save(state: ScrubState, sync = true): Promise<void> {
    this.#state = state;
    this.#savedMs = this.#c.clock.monotonicMs();
    await saveState(this.#c.store, state, sync);
  }

  async #opened(): Promise<ScrubState> {
    if (this.#state !== undefined) return this.#state;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<ScrubState> {
    const { store, clock } = this.#c;
    const nowMs = clock.wallMs();
    const found = loadState(store);
    const unclean = found?.running === true;
    if (found === undefined) {
      const survey = await surveyShards(this.#c, { random: 1, newest: 0 });
      const { oldestReceivedMs } = survey;
      await this.#save(firstState(nowMs, { oldestReceivedMs, origin: survey.sample[0]?.id }));
    } else {
      // A clock that was set back must not keep the round from going on.
      const startedMs = Math.min(found.round.startedMs, nowMs);
      await this.#save({ ...found, running: true, round: { ...found.round, startedMs } });
    }
    this.#wasUnclean = unclean;
    return this.#state ?? firstState(nowMs, { oldestReceivedMs: nowMs, origin: undefined });
  }

  /** After a crash of the machine the disk is asked at once whether it kept what it said it had. */
  async #sample(): Promise<void> {
    this.#wasUnclean = false;
    const { sample } = await surveyShards(this.#c, SAMPLE);
    const counts = { scanned: 0, corrupt: 0, quarantined: 0 };
    for (const shard of sample) {
      if (this.#stopping.signal.aborted) return;
      const outcome = await this.#judge.judge(shard);
      if (outcome === "held-up") break;
      counts.scanned++;
      if (outcome.corrupt) counts.corrupt++;
      if (outcome.quarantined) counts.quarantined++;
    }
    if (sample.length > 0) this.#c.log.info("scrub-sample", counts);
  }
}
