import type { PeerId } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { type PlacementNode, replacementFor } from "../../src/placement/index.ts";
import {
  type Assessment,
  compareItems,
  dueItem,
  graceMs,
  type Holder,
  isPresent,
  nextDueMs,
  permissionFor,
  type RepairItem,
  type SlotWork,
  slotWork,
  transferMs,
  type Weather,
} from "../../src/upkeep/index.ts";
import { WORLD_BEGINS_MS } from "../node-clock.ts";
import type { Scheduler } from "../scheduler.ts";
import type { FleetModel } from "./model.ts";
import { type FleetNode, holderOf, type Row } from "./state.ts";

/** Where nothing can be done just now (no target, too few sources), it is looked at again after so long. */
const AGAIN_MS = 6 * HOUR_MS;

/** Enough that the site rule leaves one of them for every slot. */
const SPARE_CANDIDATES = 24;

interface Queued {
  readonly row: Row;
  readonly item: RepairItem;
}

interface Repairer {
  readonly queue: Queued[];
  isBusy: boolean;
}

/** Who mends what and when, as the nodes' policy has it, and how long it takes over their uplinks. */
export class Repairs {
  readonly #model: FleetModel;
  readonly #scheduler: Scheduler;
  readonly #weather: () => Weather;
  readonly #repairers = new Map<FleetNode, Repairer>();
  readonly #byPeer: ReadonlyMap<PeerId, FleetNode>;

  constructor(model: FleetModel, scheduler: Scheduler, weather: () => Weather) {
    this.#model = model;
    this.#scheduler = scheduler;
    this.#weather = weather;
    this.#byPeer = new Map(model.nodes.map((node) => [node.peer, node]));
  }

  /** Something about the row is new. */
  look(row: Row): void {
    if (row.isGone || row.isQueued) return;
    const assessment = this.#assess(row);
    const nowMs = this.#wallMs();
    const item = dueItem({ key: String(row.index), shardBytes: row.shardBytes, assessment, nowMs });
    if (item === undefined) {
      const dueMs = nextDueMs(assessment, nowMs);
      if (dueMs !== undefined) this.#lookAt(row, dueMs);
      return;
    }
    const repairer = this.#repairerOf(row);
    if (repairer === undefined) {
      this.#lookAt(row, nowMs + AGAIN_MS);
      return;
    }
    row.isQueued = true;
    const state = this.#stateOf(repairer);
    state.queue.push({ row, item });
    if (!state.isBusy) this.#next(repairer, state);
  }

  /** A holder is absent: it is looked at when the first of the absent ones need not be waited for any longer. */
  expect(row: Row, startMs: number): void {
    const { k, m } = this.#model.fleet.class;
    let present = 0;
    let sinceMs = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < row.slots.length; slot++) {
      const holder = row.slots[slot];
      if (holder === undefined) continue;
      if (holder.liveness.state === "absent") sinceMs = Math.min(sinceMs, holder.liveness.sinceMs);
      else if (row.knownLostMs[slot] === undefined) present++;
    }
    const ownerHasBytes = row.owner.isUp && !row.owner.isLost;
    const input = { margin: present - k, missing: k + m - present, ownerHasBytes };
    const { grace } = this.#model.fleet.upkeep;
    this.#lookAt(row, Math.max(this.#scheduler.nowMs, sinceMs + graceMs(input, grace)) + startMs);
  }

  /** One look is planned for a row, the earliest that was asked for. */
  #lookAt(row: Row, timeMs: number): void {
    const planned = row.look;
    if (planned !== undefined && planned.timeMs <= timeMs) return;
    if (planned !== undefined) this.#scheduler.cancel(planned.timer);
    const timer = this.#scheduler.at(timeMs, () => {
      row.look = undefined;
      this.look(row);
    });
    row.look = { timeMs, timer };
  }

  /** It is back: what waits for it goes on. */
  wake(node: FleetNode): void {
    const state = this.#repairers.get(node);
    if (state !== undefined && !state.isBusy) this.#next(node, state);
  }

  #stateOf(node: FleetNode): Repairer {
    const known = this.#repairers.get(node) ?? { queue: [], isBusy: false };
    this.#repairers.set(node, known);
    return known;
  }

  /** A living owner is asked first, then the holder of the lowest index that is up and has its shard. */
  #repairerOf(row: Row): FleetNode | undefined {
    if (row.owner.isUp && !row.owner.isLost) return row.owner;
    return row.slots.find((holder, slot) => holder?.isUp === true && row.shards[slot] === "good");
  }

  #next(node: FleetNode, state: Repairer): void {
    let best = 0;
    for (let at = 1; at < state.queue.length; at++) {
      const [one, other] = [state.queue[at], state.queue[best]];
      if (one !== undefined && other !== undefined && compareItems(one.item, other.item) < 0) best = at;
    }
    const [first] = state.queue.splice(best, 1);
    if (first === undefined) return;
    state.isBusy = true;
    const { row } = first;
    const tookMs = this.#work(node, row);
    this.#scheduler.after(tookMs, () => {
      state.isBusy = false;
      this.#next(node, state);
    });
  }

  /** Begins what is due, and says how long it keeps the repairer busy; where nothing can be done, hardly. */
  #work(node: FleetNode, row: Row): number {
    row.isQueued = false;
    const assessment = this.#assess(row);
    const nowMs = this.#wallMs();
    const item = dueItem({ key: String(row.index), shardBytes: row.shardBytes, assessment, nowMs });
    if (item === undefined || row.isGone) return this.#later(row, 0);
    const permission = permissionFor(this.#weather(), {
      margin: assessment.presentMargin,
      ownerIsAlive: row.owner.isUp && !row.owner.isLost,
    });
    if (permission.kind === "wait")
      return this.#later(row, Math.max(HOUR_MS, (permission.untilMs ?? 0) - nowMs));
    if (!node.isUp || node.isLost) return this.#later(row, 0);
    return this.#repair(node, row, item.slots);
  }

  #later(row: Row, ms: number): number {
    this.#lookAt(row, this.#scheduler.nowMs + Math.max(1, Math.min(ms, DAY_MS)));
    return 1;
  }

  #repair(node: FleetNode, row: Row, work: readonly SlotWork[]): number {
    const targets = this.#targets(row, work);
    const sources = this.#sources(node, row, work);
    if (targets.length === 0 || sources === undefined) return this.#later(row, AGAIN_MS);
    row.isQueued = true;
    let endMs = this.#scheduler.nowMs;
    for (const source of sources) endMs = Math.max(endMs, this.#send(source, row.shardBytes));
    const sent = targets.length * row.shardBytes;
    endMs = Math.max(endMs, this.#send(node, sent));
    const { ledger } = this.#model;
    ledger.shardsRepaired += targets.length;
    const bytesShare = row.slots[targets[0]?.slot ?? 0]?.bytesShare ?? 1;
    ledger.bytesRepaired += (sent + sources.length * row.shardBytes) * bytesShare;
    this.#scheduler.at(endMs, () => this.#done(row, targets));
    return endMs - this.#scheduler.nowMs;
  }

  /** Who gets which shard; `mend` stays where it is. */
  #targets(row: Row, work: readonly SlotWork[]): { slot: number; to: FleetNode }[] {
    const { cap } = this.#model.fleet.class;
    const peers = row.slots.map((holder) => holder?.peer);
    const found: { slot: number; to: FleetNode }[] = [];
    const candidates = this.#candidates(row);
    for (const { slot, how } of work) {
      const holder = row.slots[slot];
      if (how === "mend" && holder?.isUp === true) {
        found.push({ slot, to: holder });
        continue;
      }
      const choice = replacementFor(peers, slot, {
        ...{ key: row.key, cap, candidates, isRanked: true, ownerPeer: row.owner.peer },
        exclude: this.#absent(row),
      });
      const to = choice.ok ? this.#byPeer.get(choice.peer) : undefined;
      if (to === undefined) continue;
      peers[slot] = to.peer;
      found.push({ slot, to });
    }
    return found;
  }

  /** The holders there are, and the first of those who could take a shard: the order stays what it is over all. */
  #candidates(row: Row): PlacementNode[] {
    const found: PlacementNode[] = [];
    let spare = 0;
    let holders = row.slots.reduce((count, holder) => (holder === undefined ? count : count + 1), 0);
    for (const node of row.candidates) {
      if (row.slots.includes(node)) holders--;
      else if (spare < SPARE_CANDIDATES && this.#couldTake(node, row)) spare++;
      else continue;
      found.push(node.placement);
      if (spare === SPARE_CANDIDATES && holders === 0) break;
    }
    return found;
  }

  #couldTake(node: FleetNode, row: Row): boolean {
    return node.isUp && !node.isLost && node.usedBytes + row.shardBytes <= node.capacityBytes;
  }

  #absent(row: Row): Map<PeerId, "lost"> {
    const gone = row.slots.filter((holder) => holder !== undefined && holder.liveness.state !== "alive");
    return new Map(gone.flatMap((holder) => (holder === undefined ? [] : [[holder.peer, "lost"]])));
  }

  /** Whose uplinks carry a shard each to the repairer; an owner never holds its own, and reads k. */
  #sources(node: FleetNode, row: Row, work: readonly SlotWork[]): FleetNode[] | undefined {
    const { k } = this.#model.fleet.class;
    const good = row.slots.filter((holder, slot) => holder?.isUp === true && row.shards[slot] === "good");
    const others = good.flatMap((holder) => (holder === undefined || holder === node ? [] : [holder]));
    if (work.every(({ how }) => how === "copy")) return others.slice(0, work.length);
    const needed = good.includes(node) ? k - 1 : k;
    if (others.length >= needed) return others.slice(0, needed);
    // Too few are left, and a living owner saves what it still has anew.
    return node === row.owner ? [] : undefined;
  }

  /** When its uplink has sent so much more, at the pace that it gives to repair. */
  #send(node: FleetNode, bytes: number): number {
    const fromMs = Math.max(this.#scheduler.nowMs, node.busyUntilMs);
    const endMs = fromMs + transferMs(node.schedule, (WORLD_BEGINS_MS + fromMs) % DAY_MS, bytes);
    node.busyUntilMs = endMs;
    node.sentBytes += bytes;
    return endMs;
  }

  #done(row: Row, targets: readonly { slot: number; to: FleetNode }[]): void {
    row.isQueued = false;
    for (const { slot, to } of targets) {
      if (to.isLost || row.isGone) continue;
      this.#model.letGo(row, slot);
      this.#model.hold(row, slot, to);
      row.shards[slot] = "good";
      row.vouchedMs[slot] = this.#wallMs();
      row.knownLostMs[slot] = undefined;
    }
    this.#model.recount(row);
    this.look(row);
  }

  /**
   * What `assess` would say, less what the rows would survive: that costs most of it and is not needed for any decision.
   */
  #assess(row: Row): Pick<Assessment, "work" | "presentMargin"> {
    const { k, m, cap } = this.#model.fleet.class;
    if (this.#isWhole(row)) return { work: [], presentMargin: m };
    const holders = new Map<PeerId, Holder>();
    for (const holder of row.slots) if (holder !== undefined) holders.set(holder.peer, holderOf(holder));
    const copies = row.slots.flatMap((holder, index) => {
      if (holder === undefined) return [];
      const vouchedMs = row.vouchedMs[index] ?? 0;
      return [{ index, peer: holder.peer, vouchedMs, knownLostMs: row.knownLostMs[index] }];
    });
    const kept = copies.filter(({ peer, vouchedMs, knownLostMs }) => {
      const isLost = holders.get(peer)?.liveness.state === "lost";
      return !isLost && (knownLostMs === undefined || vouchedMs > knownLostMs);
    });
    const present = kept.filter(({ peer }) => isPresent(holders.get(peer)));
    const presentMargin = new Set(present.map(({ index }) => index)).size - k;
    const slots = row.slots.map((holder) => holder?.peer);
    const ownerHasBytes = row.owner.isUp && !row.owner.isLost;
    const facts = { k, n: k + m, cap, slots, copies, ownerHasBytes };
    const { grace } = this.#model.fleet.upkeep;
    return { work: slotWork({ facts, kept, present, holders, margin: presentMargin, grace }), presentMargin };
  }

  /** Everybody is there with everything: the common case, in which there is nothing to do. */
  #isWhole(row: Row): boolean {
    for (let slot = 0; slot < row.slots.length; slot++)
      if (row.slots[slot]?.liveness.state !== "alive" || row.knownLostMs[slot] !== undefined) return false;
    return true;
  }

  /** Of the model's time, from when the world began. */
  #wallMs(): number {
    return this.#scheduler.nowMs;
  }
}
