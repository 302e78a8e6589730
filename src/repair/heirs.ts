import { isFault, messageOf } from "../base/fault.ts";
import type { OwnerId, PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { KeptRecords, SwarmView } from "../exchange/index.ts";
import { type GenerationAt, generationsOf } from "../placement/index.ts";
import type { Clock, Network } from "../ports/index.ts";
import {
  assess,
  compareItems,
  dueItem,
  emptyQueue,
  type Holder,
  isPresent,
  type Permission,
  permissionFor,
  queueWith,
  type RepairItem,
  repairOrder,
  type SlotWork,
  turnMs,
  type UpkeepSettings,
} from "../upkeep/index.ts";
import { aboutRepair, type RepairBook } from "./book.ts";
import { causeOf } from "./causes.ts";
import { CutOffCopies, HOLDS_NOTHING } from "./cut-off-copies.ts";
import type { RepairDoor } from "./door.ts";
import type { FormerMaps } from "./former-maps.ts";
import type { RepairedMap, RepairJudge, Whereabouts } from "./judge.ts";
import type { Mender } from "./mender.ts";
import { openRepair } from "./records.ts";
import type { RowCheck } from "./row-check.ts";
import { type SlotMove, stuckWords } from "./row-choice.ts";
import { type LossFacts, RowLosses } from "./row-losses.ts";
import { type RowRepair, rowName, slotsOfGeneration, versionOf } from "./row-repair.ts";
import type { RepairSpread } from "./spread.ts";

export interface HeirsComponents {
  readonly self: PeerId;
  readonly ownOwner: OwnerId;
  readonly book: RepairBook;
  readonly judge: RepairJudge;
  readonly door: Pick<RepairDoor, "workedOnBy">;
  readonly rows: RowRepair;
  readonly spread: RepairSpread;
  readonly former: Pick<FormerMaps, "round">;
  readonly mender: Pick<Mender, "round" | "mended">;
  readonly check: Pick<RowCheck, "round" | "mended">;
  readonly kept: Pick<KeptRecords, "owners">;
  /** What others are known to have lost of what they hold. */
  readonly lost: LossFacts;
  readonly presence: Whereabouts;
  readonly view: Pick<SwarmView, "nodes">;
  readonly roster: {
    member(peer: PeerId): unknown;
    memberOfOwner(owner: OwnerId): { readonly peer: PeerId } | undefined;
  };
  readonly network: Pick<Network, "connected">;
  readonly clock: Clock;
  readonly log: Log;
}

/** A row of somebody else with something to do. */
interface RowItem extends RepairItem {
  readonly map: RepairedMap;
  readonly at: GenerationAt;
  /** When this node begins, unless somebody has done it by then. */
  readonly turnMs: number;
}

export interface StuckRow {
  readonly owner: OwnerId;
  readonly row: string;
  readonly margin: number;
  readonly why: string;
}

export interface HeirsStatus {
  /** Owners whose own node is away, and of whom this node holds shards. */
  readonly orphans: readonly OwnerId[];
  /** Rows with something due, whoever's turn it is; the most urgent first. */
  readonly queue: readonly {
    readonly owner: OwnerId;
    readonly row: string;
    readonly margin: number;
    readonly slots: readonly { readonly slot: number; readonly why: string }[];
    /** When this node does it if nobody has by then. */
    readonly turnMs: number;
  }[];
  readonly stuck: readonly StuckRow[];
  readonly waiting: "cut-off" | "frozen" | undefined;
  /** Since the start. */
  readonly counts: {
    /** Shards of this node's own disk, put back where they were. */
    readonly mended: number;
    readonly slotsMoved: number;
    /** Shards copied while this node was cut off, beside what the maps say. */
    readonly copied: number;
    readonly segments: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
    readonly failures: number;
  };
}

/** Rows that were seen to need something, remembered so that turns are counted from then. */
const SEEN_MAX = 65_536;
/** While it works, a node looks at all rows so often between two rounds. */
const ASSESSED_PARTS = 10;
/** Shown of each kind. */
const SHOWN_MAX = 100;
/** A row that came to nothing is left alone for as long as a step of the back-off, doubled each time, up to so many times. */
const DOUBLINGS_MAX = 6;

/**
 * Looks after the data of owners whose own node is away: judges the rows that this node has a slot in, takes its turn in
 * repairing them, and tells the others. Nothing is done for an owner whose node is there.
 */
export class Heirs {
  readonly #c: HeirsComponents;
  readonly #settings: UpkeepSettings;
  readonly #swarm: SwarmId;
  readonly #stopping = new AbortController();
  /** By row: since when something is due that has to be done at once. */
  readonly #seenMs = new Map<string, number>();
  readonly #failed = new Map<string, { readonly times: number; readonly untilMs: number }>();
  readonly #stuck = new Map<string, StuckRow>();
  readonly #copies: CutOffCopies;
  readonly #counts = { slotsMoved: 0, segments: 0, bytesIn: 0, bytesOut: 0, failures: 0 };
  #unsubscribe: (() => void)[] = [];
  #items: readonly RowItem[] = [];
  #losses = new RowLosses();
  #orphans: readonly OwnerId[] = [];
  #waiting: "cut-off" | "frozen" | undefined;
  #wake: (() => void) | undefined;
  #isDirty = false;
  #loop: Promise<void> | undefined;

  constructor(components: HeirsComponents, init: { swarm: SwarmId; settings: UpkeepSettings }) {
    this.#c = components;
    this.#settings = init.settings;
    this.#swarm = init.swarm;
    this.#copies = new CutOffCopies(components);
  }

  start(): void {
    this.#unsubscribe = [
      this.#c.presence.onChange(() => this.wake()),
      this.#c.book.onChange(() => this.wake()),
    ];
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const end of this.#unsubscribe.splice(0)) end();
    await this.#loop;
  }

  /** Something has changed: look again soon. */
  wake(): void {
    this.#isDirty = true;
    this.#wake?.();
  }

  /** Rows with something due. */
  get queued(): number {
    return this.#items.length;
  }

  status(): HeirsStatus {
    return {
      orphans: this.#orphans,
      queue: this.#items.slice(0, SHOWN_MAX).map((item) => ({
        owner: item.map.owner,
        row: rowName(item.map, item.at),
        margin: item.margin,
        slots: item.slots.map(({ slot, why }) => ({ slot, why })),
        turnMs: item.turnMs,
      })),
      stuck: [...this.#stuck.values()].slice(0, SHOWN_MAX),
      waiting: this.#waiting,
      counts: this.#allCounts(),
    };
  }

  #allCounts(): HeirsStatus["counts"] {
    const { copied, bytesIn, bytesOut } = this.#copies.counts;
    const all = { ...this.#counts, copied, mended: this.#c.mender.mended + this.#c.check.mended };
    return { ...all, bytesIn: all.bytesIn + bytesIn, bytesOut: all.bytesOut + bytesOut };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let sharedMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        if (this.#c.clock.monotonicMs() - sharedMs >= this.#settings.assessEveryMs) {
          sharedMs = this.#c.clock.monotonicMs();
          await this.#c.spread.round(this.#c.ownOwner, signal);
          await this.#c.former.round(signal);
          await this.#c.book.retry();
          await this.#c.mender.round(signal);
          await this.#c.check.round(signal);
        }
        this.#isDirty = false;
        const next = await this.#once(signal);
        await this.#sleep(next, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("heirs-failed", { why: messageOf(error) });
        await this.#sleep(this.#settings.assessEveryMs, signal).catch(() => undefined);
      }
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    // An abort before now is not heard of any more.
    if (this.#isDirty || signal.aborted) return;
    const done = new AbortController();
    this.#wake = () => done.abort();
    const stop = (): void => done.abort();
    signal.addEventListener("abort", stop, { once: true });
    await this.#c.clock.sleep(ms, done.signal).catch(() => undefined);
    signal.removeEventListener("abort", stop);
    this.#wake = undefined;
  }

  /** Judges every row, does what is this node's turn; how long until there may be something to do again. */
  async #once(signal: AbortSignal): Promise<number> {
    const { assessEveryMs } = this.#settings;
    let assessedMs = Number.NEGATIVE_INFINITY;
    for (let round = 0; round < SEEN_MAX; round++) {
      const monotonicMs = this.#c.clock.monotonicMs();
      // All of them anew now and then; each by itself when its turn comes.
      if (monotonicMs - assessedMs >= assessEveryMs / ASSESSED_PARTS) {
        await this.#assess();
        assessedMs = monotonicMs;
      }
      const nowMs = this.#c.clock.wallMs();
      const item = this.#items.find((one) => one.turnMs <= nowMs && this.#mayAct(one));
      if (item === undefined) break;
      signal.throwIfAborted();
      const fresh = await this.#again(item);
      if (fresh !== undefined && fresh.turnMs <= nowMs) await this.#act(fresh, signal);
      this.#items = this.#items.filter(({ key }) => key !== item.key);
    }
    await this.#assess();
    const ahead = this.#items.map((item) => item.turnMs - this.#c.clock.wallMs()).filter((ms) => ms > 0);
    return Math.min(assessEveryMs, ...ahead);
  }

  #mayAct(item: RowItem): boolean {
    const permission = this.#permission(item);
    if (permission.kind === "repair") return true;
    this.#waiting = permission.kind === "wait" ? permission.why : "cut-off";
    return permission.kind === "copy-what-is-reachable" && !this.#copies.isDone(item);
  }

  #permission({ margin }: RowItem): Permission {
    return permissionFor(this.#c.presence.weather(), { margin, ownerIsAlive: false });
  }

  async #assess(): Promise<void> {
    const { kept, judge, book, ownOwner } = this.#c;
    this.#waiting = undefined;
    this.#losses = await RowLosses.of(this.#c.lost);
    const orphans: OwnerId[] = [];
    const due = new Map<string, RowItem>();
    let queue = emptyQueue();
    for (const owner of await kept.owners()) {
      if (owner === ownOwner) continue;
      // What a recovered owner signs is of its new life: the rows of those before are its heirs' for good.
      const maps = (await book.maps(owner)).filter((map) => judge.isLeftToHeirs(owner, map.incarnation));
      const items = maps.flatMap((map) => this.#itemsOf(map));
      if (judge.isOwnerAway(owner)) orphans.push(owner);
      for (const item of items) due.set(item.key, item);
      queue = queueWith(queue, items);
    }
    this.#orphans = orphans;
    this.#items = queue.items.flatMap(({ key }) => due.get(key) ?? []).sort(compareItems);
    for (const key of [...this.#seenMs.keys()]) if (!due.has(key)) this.#seenMs.delete(key);
    for (const key of [...this.#stuck.keys()]) if (!due.has(key)) this.#stuck.delete(key);
    for (const key of [...this.#failed.keys()]) if (!due.has(key)) this.#failed.delete(key);
    this.#copies.keepOnly(due);
  }

  /** The same row as it is by now. */
  async #again({ map, at }: RowItem): Promise<RowItem | undefined> {
    const maps = await this.#c.book.maps(map.owner);
    const now = maps.find(({ incarnation }) => incarnation === map.incarnation);
    const rows = now?.now.classes.get(at.classId)?.rows[at.partition];
    const isThere = rows?.some(({ fromSegment }) => fromSegment === at.fromSegment) === true;
    return now === undefined || !isThere ? undefined : this.#itemOf(now, at);
  }

  #itemsOf(map: RepairedMap): RowItem[] {
    const items: RowItem[] = [];
    for (const { classId, partition, fromSegment } of generationsOf(map.now)) {
      const item = this.#itemOf(map, { classId, partition, fromSegment });
      if (item !== undefined) items.push(item);
    }
    return items;
  }

  #itemOf(map: RepairedMap, at: GenerationAt): RowItem | undefined {
    const { self, presence, clock } = this.#c;
    const slots = slotsOfGeneration(map, at);
    if (!slots.includes(self)) return undefined;
    const of = map.now.classes.get(at.classId)?.class;
    if (of === undefined) return undefined;
    const nowMs = clock.wallMs();
    const holders = presence.holders();
    // The map says who should have a shard; what is known of one segment counts for the whole row.
    const copies = slots.flatMap((peer, index) => {
      if (peer === undefined) return [];
      const isLost = this.#losses.hasLost(map, at, index, peer);
      return [{ index, peer, vouchedMs: nowMs, ...(isLost ? { knownLostMs: nowMs } : {}) }];
    });
    const facts = { k: of.k, n: slots.length, cap: of.cap, slots, copies, ownerHasBytes: false };
    const assessment = assess(facts, holders, this.#settings.grace);
    const isBack = this.#isOwnerBack(map.owner);
    const work = assessment.work.filter((one) => isOurs(one) && !(isBack && isThere(one)));
    const key = `${map.owner}/${map.incarnation}/${at.classId}/${at.partition}/${at.fromSegment}`;
    const item = dueItem({ key, shardBytes: 1, assessment: { ...assessment, work }, nowMs });
    if (item === undefined) return undefined;
    const myTurnMs = this.#turnMs(item, map, at, holders);
    return myTurnMs === undefined ? undefined : { ...item, map, at, turnMs: myTurnMs };
  }

  /**
   * It counts as away still, and is connected. It has its own view of who is up, for as long as that takes to settle, and mends its
   * rows by it: what is only in the wrong place would go back and forth between it and its heirs.
   */
  #isOwnerBack(owner: OwnerId): boolean {
    const { judge, roster, network } = this.#c;
    const peer = roster.memberOfOwner(owner)?.peer;
    // One that is simply there has left its former lives to its heirs for good.
    return judge.isOwnerAway(owner) && peer !== undefined && network.connected().includes(peer);
  }

  /** One holder does all slots of a row that are due, so that k shards are read once for them. */
  #turnMs(
    item: RepairItem,
    map: RepairedMap,
    at: GenerationAt,
    holders: ReadonlyMap<PeerId, Holder>,
  ): number | undefined {
    const [first] = item.slots;
    if (first === undefined) return undefined;
    const { owner, incarnation } = map;
    const target = { owner, incarnation, at, slot: first.slot, ...versionOf(map, at, first.slot) };
    const ofRow = [...new Set(slotsOfGeneration(map, at))].flatMap((peer) => {
      const holder = peer === undefined ? undefined : holders.get(peer);
      return holder === undefined ? [] : [holder];
    });
    const order = repairOrder({ target, holders: ofRow, nodes: this.#c.view.nodes() });
    const nowMs = this.#c.clock.wallMs();
    // What is due at once is so since somebody noticed; everybody counts from when it did.
    const seenMs = this.#seenMs.get(item.key) ?? nowMs;
    if (this.#seenMs.size < SEEN_MAX) this.#seenMs.set(item.key, seenMs);
    const dueMs = Math.max(item.dueMs, seenMs);
    const { margin } = item;
    const mine = turnMs(order, this.#c.self, { dueMs, margin, workMs: 0 }, this.#settings.backOff);
    if (mine === undefined) return undefined;
    const failed = this.#failed.get(item.key);
    return Math.max(mine, failed?.untilMs ?? 0, this.#othersUntilMs(item, map, at));
  }

  /** Somebody who is at work on it is given time to go on; each shard it fetches shows that it is. */
  #othersUntilMs({ slots, margin }: RepairItem, map: RepairedMap, at: GenerationAt): number {
    const { stepMs, urgentStepMs } = this.#settings.backOff;
    const step = margin <= 0 ? urgentStepMs : stepMs;
    const seen = slots.map(({ slot }) => this.#c.door.workedOnBy(map, at, slot)?.atMs ?? 0);
    const latest = Math.max(0, ...seen);
    return latest === 0 ? 0 : latest + step;
  }

  async #act(item: RowItem, signal: AbortSignal): Promise<void> {
    try {
      const permission = this.#permission(item);
      if (permission.kind === "repair") await this.#repair(item, signal);
      else if (permission.kind === "copy-what-is-reachable") {
        const why = await this.#copies.copy(item, signal);
        if (why === undefined) this.#settled(item);
        else this.#setBack(item, why);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      this.#counts.failures++;
      this.#setBack(item, messageOf(error));
    }
  }

  async #repair(item: RowItem, signal: AbortSignal): Promise<void> {
    const { map, at, margin } = item;
    const moves = item.slots.flatMap((work): SlotMove[] => {
      const cause = causeOf(this.#c, map, at, work);
      const isLost = work.why === "holder-lost" || work.why === "empty";
      return cause === undefined
        ? []
        : [
            {
              slot: work.slot,
              cause,
              copies: work.why === "site-rule" || work.why === "same-peer",
              fromIsLost: isLost,
            },
          ];
    });
    const about = { owner: map.owner, row: rowName(map, at), margin };
    if (moves.length === 0) return this.#setBack(item, "there is not enough to show for it yet", "debug");
    this.#c.log.info("heir-repair-begun", {
      ...about,
      slots: item.slots.map(({ slot, why }) => `${slot}:${why}`),
    });
    const outcome = await this.#c.rows.run({ map, at, moves, margin, isOut: this.#isOut(), signal });
    if (outcome.kind === "nothing") return this.#setBack(item, HOLDS_NOTHING);
    if (outcome.kind === "stuck") return this.#setBack(item, stuckWords(outcome.slots));
    await this.#c.book.offer(map.owner, outcome.records, this.#c.self);
    await this.#c.spread.tell(map.owner, outcome.records, outcome.to, signal);
    const { segments, bytesIn, bytesOut } = outcome;
    this.#counts.slotsMoved += outcome.records.length;
    this.#counts.segments += segments;
    this.#counts.bytesIn += bytesIn;
    this.#counts.bytesOut += bytesOut;
    for (const bytes of outcome.records) {
      const { record } = openRepair(bytes, this.#swarm);
      const overCap = outcome.overCap.includes(record.slot) ? { overCap: true } : {};
      const moved = { segments, bytesIn, bytesOut };
      this.#c.log.info("heir-repaired", { ...aboutRepair(record), ...overCap, ...moved });
    }
    this.#settled(item);
    const [stuck] = outcome.stuck;
    if (stuck !== undefined) this.#setBack(item, stuckWords([stuck]));
  }

  #settled({ key }: RowItem): void {
    this.#failed.delete(key);
    this.#stuck.delete(key);
  }

  #setBack(item: RowItem, why: string, level: "warn" | "debug" = "warn"): void {
    const { map, at, margin, key } = item;
    const times = (this.#failed.get(key)?.times ?? 0) + 1;
    const { stepMs, urgentStepMs } = this.#settings.backOff;
    const step = margin <= 0 ? urgentStepMs : stepMs;
    const waitMs = step * 2 ** Math.min(times - 1, DOUBLINGS_MAX);
    this.#failed.set(key, { times, untilMs: this.#c.clock.wallMs() + waitMs });
    const stuck = { owner: map.owner, row: rowName(map, at), margin, why };
    const isNews = this.#stuck.get(key)?.why !== why;
    this.#stuck.set(key, stuck);
    if (isNews) this.#c.log[level]("heir-repair-stuck", { ...stuck });
  }

  #isOut(): (peer: PeerId) => boolean {
    const holders = this.#c.presence.holders();
    return (peer) => !isPresent(holders.get(peer));
  }
}

/** Nothing of it is missing: it only lies in the wrong place. */
function isThere({ why }: SlotWork): boolean {
  return why === "site-rule" || why === "same-peer";
}

/** The holder mends what it lost, and a leaving one moves what it has, by itself. */
function isOurs({ why }: SlotWork): boolean {
  return why !== "draining" && why !== "overfull" && why !== "not-vouched" && why !== "shard-lost";
}
