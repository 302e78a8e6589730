import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, segmentKey } from "../base/ids.ts";
import { MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { SegmentRangeSet, SegmentRef } from "../catalog/index.ts";
import type { PeerClient, SwarmView } from "../exchange/index.ts";
import type { Clock, Rng } from "../ports/index.ts";
import { type GraceRules, type Holder, isPresent, type Schedule, type Weather } from "../upkeep/index.ts";
import { askWhatIsHeld, type Claims } from "./claims.ts";
import { OwnAdoption, type OwnRepairs } from "./own-adoption.ts";
import { type Census, type CensusResult, refOf, takeCensus } from "./own-census.ts";
import type { ShardEvidence } from "./own-facts.ts";
import { OwnPlanner } from "./own-plan.ts";
import {
  type OwnSegmentComponents,
  repairSegment,
  type SegmentOutcome,
  type SpooledShards,
} from "./own-segment.ts";
import { Pace, type PaceComponents } from "./pace.ts";

/** Who is up and who is believed, as this node sees it. */
export interface SwarmHealth {
  /** Of every member that may hold shards. */
  holders(): ReadonlyMap<PeerId, Holder>;
  weather(): Weather;
  onChange(listener: () => void): () => void;
}

export interface OwnerRepairComponents extends Omit<OwnSegmentComponents, "onRefused" | "onLost"> {
  readonly uplink?: PaceComponents["uplink"];
  readonly view: SwarmView;
  readonly client: Pick<PeerClient, "have">;
  readonly health: SwarmHealth;
  readonly evidence: ShardEvidence;
  readonly spooled: SpooledShards;
  readonly clock: Clock;
  readonly rng: Pick<Rng, "float">;
  /** Segments that some snapshot needs; `undefined` where that cannot be read. */
  readonly needed: (signal: AbortSignal) => Promise<SegmentRangeSet | undefined>;
  /** Not where this home was fenced, only looks, or is known to be behind its pool. */
  readonly mayAct: () => boolean;
  /** Throws where the pool has seen more of this repository than this home: what is repaired by an old map is repaired wrong. */
  readonly compare: (signal: AbortSignal) => Promise<void>;
  /** A shard that was acknowledged or proven is not there. */
  readonly onLost: (peer: PeerId, ref: SegmentRef, index: number) => void;
  /** Rows changed: the pool should hear of it. */
  readonly onMoved: () => void;
}

export interface OwnerRepairInit {
  readonly grace: GraceRules;
  readonly schedule: Schedule;
  readonly assessEveryMs: number;
  /** How often holders are asked what they still have. */
  readonly claimsEveryMs: number;
  readonly localOffsetMs: () => number;
}

export interface RepairCounts {
  readonly repaired: number;
  readonly failed: number;
  /** Shards whose holders said whether they have them, and those of which they said that they have not. */
  readonly asked: number;
  readonly lost: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface RepairStanding {
  /** Of the last look; `undefined` before the first one. */
  readonly census: Census | undefined;
  readonly weather: Weather;
  /** What is left of what was due then. */
  readonly queue: { readonly segments: number; readonly shards: number; readonly bytes: number };
  /** Until the queue is empty, by the schedule and by how fast it went; `undefined`: not by itself. */
  readonly expectedMs: number | undefined;
  /** Since the start. */
  readonly counts: RepairCounts;
}

/** A round that somebody asked for. */
export interface RepairRound extends RepairCounts {
  /** Shards that were gone or wrong, at holders that are there. */
  readonly missing: number;
  readonly silent: number;
  /** Segments that the storm guard kept from being touched, and why. */
  readonly held: { readonly segments: number; readonly why: "cut-off" | "frozen" } | undefined;
  /** Afterwards. */
  readonly census: Census;
}

/** Nobody is waited for. */
const NO_GRACE: GraceRules = { byMarginMs: [0], firstWithOwnerMs: 0 };
/** Up to this margin the budget does not hold repair up: what is sent is all that stands between a disk and a loss. */
const UNPACED_MARGIN_MAX = 1;
/** A holder that turned a shard down is not asked for so many rounds of assessing. */
const REFUSED_ROUNDS = 3;
const DEFERRED_MAX = 4096;
const DEFERRED_ROUNDS_MAX = 6;
/** A round by hand looks again after it has worked, because one repair may make way for another. */
const ROUNDS_NOW_MAX = 16;
/** After a start. */
const FIRST_MS = 30 * SECOND_MS;
/** News come in swarms. */
const SETTLE_MS = SECOND_MS;
/** However many there are, looking takes no more than a twentieth of the time. */
const SETTLE_LOOKS = 20;

/**
 * A living owner looks after its own repository: looks at all segments when something has changed and now and then, and
 * works on what is due, the most urgent first, one segment at a time, within its share of the uplink.
 */
export class OwnerRepair {
  readonly #c: OwnerRepairComponents;
  readonly #init: OwnerRepairInit;
  readonly #segmentParts: OwnSegmentComponents;
  readonly #pace: Pace;
  readonly #one = new Semaphore(1);
  readonly #stopping = new AbortController();
  readonly #refusedUntilMs = new Map<PeerId, number>();
  readonly #deferred = new Map<string, { readonly untilMs: number; readonly times: number }>();
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #unfollow: (() => void) | undefined;
  #adoption: OwnAdoption | undefined;
  #wake: (() => void) | undefined;
  #isWoken = false;
  /** Counts what plans depend on and may have changed. */
  #news = 0;
  #askedMs: number | undefined;
  #last: Census | undefined;
  #left = { segments: 0, shards: 0, bytes: 0 };
  #counts: RepairCounts = NOTHING;
  /** How long the last look at everything took. */
  #lookMs = 0;
  /** Bytes out in a millisecond, of late. */
  #rate: number | undefined;

  /** One for all that this node sends for repair, its own owner's or not. */
  get pace(): Pace {
    return this.#pace;
  }

  constructor(components: OwnerRepairComponents, init: OwnerRepairInit) {
    this.#c = components;
    this.#init = init;
    this.#pace = new Pace({ ...components, ...init });
    this.#segmentParts = {
      ...components,
      onRefused: (peer) => {
        this.#refusedUntilMs.set(peer, this.#nowMs + REFUSED_ROUNDS * init.assessEveryMs);
        this.#news++;
      },
    };
  }

  /** Others' repairs of this owner's rows are taken over from here. */
  follow(repairs: OwnRepairs): void {
    this.#adoption = new OwnAdoption(this.#c, repairs);
    this.#unfollow?.();
    this.#unfollow = repairs.onChange(() => this.wake());
  }

  start(): void {
    this.#unsubscribe ??= this.#c.health.onChange(() => this.wake());
    this.#loop ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    this.#unsubscribe?.();
    this.#unfollow?.();
    this.wake();
    await this.#loop;
  }

  /** Something has changed: look soon. */
  wake(): void {
    this.#isWoken = true;
    this.#news++;
    this.#wake?.();
  }

  standing(): RepairStanding {
    const { bytes } = this.#left;
    const bySchedule = this.#pace.forecastMs(bytes);
    const byRate = this.#rate === undefined ? 0 : bytes / this.#rate;
    const expectedMs = Math.max(bySchedule, byRate);
    return {
      census: this.#last,
      weather: this.#c.health.weather(),
      queue: this.#left,
      expectedMs: Number.isFinite(expectedMs) ? expectedMs : undefined,
      counts: this.#counts,
    };
  }

  /** Asks every holder what it has, and does at once what can be done; absent holders are not waited for. */
  async now(
    signal: AbortSignal,
    onProgress: (done: number, total: number) => void = () => {},
  ): Promise<RepairRound> {
    const stop = AbortSignal.any([signal, this.#stopping.signal]);
    await this.#c.compare(stop);
    if (!this.#c.mayAct()) {
      const reason = "this home looks and restores, and changes nothing";
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    // What goes on in the background, at its own pace, makes way.
    this.wake();
    return this.#one.run(async () => {
      const before = this.#counts;
      this.#refusedUntilMs.clear();
      this.#deferred.clear();
      const claims = await this.#ask(stop);
      const options = { grace: NO_GRACE, isPaced: false, onProgress, signal: stop };
      let turn = await this.#turn(options);
      const { missing } = turn;
      for (let round = 1; round < ROUNDS_NOW_MAX && turn.acted > 0; round++) turn = await this.#turn(options);
      const { census } = await this.#look(options.grace, stop);
      return {
        ...difference(this.#counts, before),
        missing,
        silent: claims.silent.size,
        held: turn.held,
        census,
      };
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    // Connections come first: whoever was up before this node stopped is presumed to be so.
    let waitMs = Math.min(FIRST_MS, this.#init.assessEveryMs) * (0.5 + 0.5 * this.#c.rng.float());
    while (!signal.aborted) {
      await this.#pause(waitMs, signal);
      if (signal.aborted) return;
      waitMs = this.#init.assessEveryMs;
      this.#isWoken = false;
      try {
        if (this.#c.mayAct()) waitMs = await this.#one.run(() => this.#round(signal));
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("repair-failed", { why: messageOf(error) });
      }
    }
  }

  /** Returns how long nothing has to be looked at. */
  async #round(signal: AbortSignal): Promise<number> {
    if (this.#isTimeToAsk()) await this.#ask(signal);
    await this.#turn({ grace: this.#init.grace, isPaced: true, signal });
    const dueMs = this.#last?.waiting.nextDueMs ?? Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(this.#init.assessEveryMs, dueMs - this.#nowMs));
  }

  #isTimeToAsk(): boolean {
    // After a start, at some time within the period: not all owners of a site whose power is back at once.
    this.#askedMs ??= this.#nowMs - this.#init.claimsEveryMs * this.#c.rng.float();
    return this.#nowMs - this.#askedMs >= this.#init.claimsEveryMs;
  }

  async #ask(signal: AbortSignal): Promise<Claims> {
    const holders = this.#c.health.holders();
    const reachable = new Set(this.#c.view.nodes().flatMap((node) => (node.reachable ? [node.peer] : [])));
    const asked = [...holders.values()].filter((one) => isPresent(one) && reachable.has(one.peer));
    const peers = new Set(asked.map(({ peer }) => peer).filter((peer) => peer !== this.#c.self));
    const claims = await askWhatIsHeld(this.#c, peers, await this.#c.needed(signal), signal);
    this.#askedMs = this.#nowMs;
    this.#count({ lost: claims.lost, asked: claims.asked });
    this.#c.log.info("holdings-asked", {
      shards: claims.asked,
      lost: claims.lost,
      silent: claims.silent.size,
    });
    return claims;
  }

  async #look(grace: GraceRules, signal: AbortSignal): Promise<CensusResult> {
    const planner = this.#planner(grace);
    const { catalog, maps, health } = this.#c;
    const needed = await this.#c.needed(signal);
    const classOf: Parameters<typeof takeCensus>[0]["classOf"] = (ref, record) =>
      maps.class(ref.incarnation, record.class);
    const parts = { catalog, planner, holders: health.holders(), classOf, needed };
    const beganMs = this.#c.clock.monotonicMs();
    const result = await takeCensus(parts, this.#nowMs, signal);
    this.#lookMs = this.#c.clock.monotonicMs() - beganMs;
    this.#last = result.census;
    this.#left = result.census.due;
    return result;
  }

  #planner(grace: GraceRules): OwnPlanner {
    const { catalog, health } = this.#c;
    const nowMs = this.#nowMs;
    for (const [peer, untilMs] of this.#refusedUntilMs)
      if (untilMs <= nowMs) this.#refusedUntilMs.delete(peer);
    return new OwnPlanner(
      { ...this.#c, owner: catalog.owner, currentIncarnation: catalog.currentIncarnation },
      { nowMs, grace, holders: health.holders(), refusing: new Set(this.#refusedUntilMs.keys()) },
    );
  }

  /** One look and the work that follows from it. */
  async #turn(options: TurnOptions): Promise<{ acted: number; missing: number; held: RepairRound["held"] }> {
    const { grace, signal } = options;
    const isTold = await this.#adopt(signal);
    const result = await this.#look(grace, signal);
    if (!isTold) return { acted: 0, missing: 0, held: undefined };
    const { items } = result.queue;
    let acted = 0;
    let held: { segments: number; why: "cut-off" | "frozen" } | undefined;
    let planner = this.#planner(grace);
    let planned = this.#news;
    for (const [done, item] of items.entries()) {
      options.onProgress?.(done, items.length);
      // More urgent things may have happened; what is left is found again.
      if (options.isPaced && this.#isWoken) break;
      if (this.#isDeferred(item.key)) continue;
      if (options.isPaced && item.margin > UNPACED_MARGIN_MAX) await this.#payUp(signal);
      if (options.isPaced && this.#isWoken) break;
      if (planned !== this.#news) {
        planner = this.#planner(grace);
        planned = this.#news;
      }
      const outcome = await this.#repair(refOf(result, item), planner, result, signal);
      if (outcome.kind === "waits") held = { segments: (held?.segments ?? 0) + 1, why: outcome.why };
      if (outcome.kind === "acted" && outcome.repaired > 0) acted++;
      if (outcome.kind !== "waits") this.#takeOff(item.slots.length, item.shardBytes);
    }
    if (held !== undefined) this.#c.log.warn("repair-held", held);
    if (acted > 0) this.#c.onMoved();
    const { reasons } = result.census;
    const missing = (reasons.get("shard-lost") ?? 0) + (reasons.get("not-vouched") ?? 0);
    return { acted, missing, held };
  }

  /** Whether this node knows what others have repaired. */
  async #adopt(signal: AbortSignal): Promise<boolean> {
    if (this.#adoption === undefined) return true;
    if (this.#c.health.weather().kind === "cut-off") this.#adoption.wasAway();
    const isTold = await this.#adoption.isTold(signal);
    if ((await this.#adoption.run(signal)) > 0) this.#c.onMoved();
    return isTold;
  }

  async #repair(
    ref: SegmentRef,
    planner: OwnPlanner,
    { kept }: CensusResult,
    signal: AbortSignal,
  ): Promise<SegmentOutcome> {
    const key = segmentKey(this.#c.catalog.segmentId(ref));
    const beganMs = this.#c.clock.monotonicMs();
    try {
      const outcome = await repairSegment(this.#segmentParts, ref, {
        planner,
        weather: this.#c.health.weather(),
        movesGeneration: (generation, slot) => kept.get(generation)?.has(slot) !== true,
        signal,
      });
      if (outcome.kind !== "acted") return outcome;
      if (outcome.failed > 0) this.#defer(key);
      else this.#deferred.delete(key);
      this.#count(outcome);
      this.#measure(outcome.bytesOut, this.#c.clock.monotonicMs() - beganMs);
      return outcome;
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      this.#c.log.warn("segment-not-repaired", { segment: key, why: messageOf(error) });
      this.#defer(key);
      this.#count({ failed: 1 });
      return { kind: "acted", repaired: 0, failed: 1, bytesIn: 0, bytesOut: 0 };
    } finally {
      this.#c.spooled.forget();
    }
  }

  #measure(bytesOut: number, ms: number): void {
    this.#pace.sent(bytesOut);
    if (bytesOut === 0) return;
    const rate = bytesOut / Math.max(1, ms);
    this.#rate = this.#rate === undefined ? rate : 0.8 * this.#rate + 0.2 * rate;
  }

  #takeOff(shards: number, shardBytes: number): void {
    const { segments, shards: left, bytes } = this.#left;
    this.#left = {
      segments: Math.max(0, segments - 1),
      shards: Math.max(0, left - shards),
      bytes: Math.max(0, bytes - shards * shardBytes),
    };
  }

  #count(more: Partial<RepairCounts>): void {
    const { repaired, failed, asked, lost, bytesIn, bytesOut } = this.#counts;
    this.#counts = {
      repaired: repaired + (more.repaired ?? 0),
      failed: failed + (more.failed ?? 0),
      asked: asked + (more.asked ?? 0),
      lost: lost + (more.lost ?? 0),
      bytesIn: bytesIn + (more.bytesIn ?? 0),
      bytesOut: bytesOut + (more.bytesOut ?? 0),
    };
  }

  #isDeferred(key: string): boolean {
    return (this.#deferred.get(key)?.untilMs ?? 0) > this.#nowMs;
  }

  /** What failed is tried again later and later, so that it does not keep others waiting. */
  #defer(key: string): void {
    const times = (this.#deferred.get(key)?.times ?? 0) + 1;
    const rounds = Math.min(DEFERRED_ROUNDS_MAX, 2 ** (times - 1));
    const firstMs = Math.min(MINUTE_MS, this.#init.assessEveryMs);
    this.#deferred.delete(key);
    this.#deferred.set(key, { untilMs: this.#nowMs + rounds * firstMs, times });
    const [oldest] = this.#deferred.keys();
    if (this.#deferred.size > DEFERRED_MAX && oldest !== undefined) this.#deferred.delete(oldest);
  }

  get #nowMs(): number {
    return this.#c.clock.wallMs();
  }

  /** Until what was sent is paid for, or something has happened. */
  async #payUp(signal: AbortSignal): Promise<void> {
    for (let leftMs = this.#pace.leftMs(); leftMs > 0 && !this.#isWoken; leftMs = this.#pace.leftMs())
      await this.#sleep(leftMs, signal);
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isWoken) await this.#sleep(ms, signal);
    const settleMs = Math.max(SETTLE_MS, SETTLE_LOOKS * this.#lookMs);
    if (this.#isWoken && !signal.aborted) await this.#c.clock.sleep(settleMs, signal).catch(() => {});
  }

  /** Or until it is woken, or stopped. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const slept = this.#c.clock.sleep(ms, AbortSignal.any([timer.signal, signal])).catch(() => {});
    await Promise.race([slept, woken]);
    this.#wake = undefined;
    timer.abort();
  }
}

interface TurnOptions {
  readonly grace: GraceRules;
  readonly isPaced: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

const NOTHING: RepairCounts = { repaired: 0, failed: 0, asked: 0, lost: 0, bytesIn: 0, bytesOut: 0 };

function difference(after: RepairCounts, before: RepairCounts): RepairCounts {
  return {
    repaired: after.repaired - before.repaired,
    failed: after.failed - before.failed,
    asked: after.asked - before.asked,
    lost: after.lost - before.lost,
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
  };
}
