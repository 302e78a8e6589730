import { must } from "../../src/base/assert.ts";
import { ownerIdOf, type PeerId } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, TIB } from "../../src/base/units.ts";
import { choosePool, chooseRow, portableLn, rankCandidates, rowKey } from "../../src/placement/index.ts";
import { type NodeLiveness, type Weather, weatherOf } from "../../src/upkeep/index.ts";
import { SeededRng } from "../rng.ts";
import type { Scheduler } from "../scheduler.ts";
import { type Calibration, drawOf, readCalibration } from "./calibration.ts";
import type { Fleet } from "./fleet.ts";
import { Ledger } from "./ledger.ts";
import { Repairs } from "./repairs.ts";
import { aliveSince, type FleetNode, nodesOf, type Row } from "./state.ts";

export const YEAR_MS = 365.25 * DAY_MS;
/** What others make of the swarm's state is counted anew no more often than that. */
const WEATHER_MS = HOUR_MS;
/**
 * Years of a fleet, event by event: outages, losses, rot, and what the nodes' own policy makes of them. Every decision
 * (profile, placement, grace, order, storm guard, pace) is taken by the functions that the daemon takes it by; only the
 * time that a shard takes on its way and who is up are of the model.
 */
export class FleetModel {
  readonly fleet: Fleet;
  readonly nodes: readonly FleetNode[];
  readonly rows: Row[] = [];
  readonly ledger: Ledger;
  readonly calibration: Calibration;
  readonly #scheduler: Scheduler;
  readonly #rng: {
    readonly outages: SeededRng;
    readonly losses: SeededRng;
    readonly rot: SeededRng;
    readonly delays: SeededRng;
  };
  readonly #repairs: Repairs;
  #weather: { readonly atMs: number; readonly is: Weather } | undefined;

  constructor(fleet: Fleet, seed: string, scheduler: Scheduler, calibration = readCalibration()) {
    this.calibration = calibration;
    const rng = new SeededRng(`fleet/${seed}`);
    this.fleet = fleet;
    this.#scheduler = scheduler;
    this.nodes = nodesOf(fleet, rng.fork("nodes"));
    this.#rng = {
      ...{ outages: rng.fork("outages"), losses: rng.fork("losses") },
      ...{ rot: rng.fork("rot"), delays: rng.fork("delays") },
    };
    this.ledger = new Ledger(this);
    this.#repairs = new Repairs(this, scheduler, () => this.#weatherNow());
    const byPeer = new Map(this.nodes.map((node) => [node.peer, node]));
    for (const owner of this.nodes) this.#placeRows(owner, rng.fork(`owner ${owner.index}`), byPeer);
    for (const node of this.nodes) this.#begin(node);
    this.#nextSiteLoss();
    this.#nextRot();
  }

  get nowMs(): number {
    return this.#scheduler.nowMs;
  }

  /** Of what really is; a row that has none left for good stays so. */
  recount(row: Row): void {
    row.margin = -this.fleet.class.k;
    for (const state of row.shards) if (state === "good") row.margin++;
    this.ledger.marginChanged(row);
  }

  #placeRows(owner: FleetNode, rng: SeededRng, byPeer: ReadonlyMap<PeerId, FleetNode>): void {
    const { rowsPerOwner, class: of } = this.fleet;
    const n = of.k + of.m;
    const ownerId = ownerIdOf(rng.bytes(32));
    const all = this.nodes.map(({ placement }) => placement);
    const candidates = choosePool(ownerId, all, owner.peer);
    for (let partition = 0; partition < rowsPerOwner; partition++) {
      const key = rowKey(ownerId, of, partition);
      const ranked = rankCandidates(key, candidates);
      const choice = chooseRow({
        ...{ key, cap: of.cap, ownerPeer: owner.peer, n },
        ...{ candidates: ranked, isRanked: true },
      });
      const slots = Array.from({ length: n }, (_, slot) => {
        const peer = choice.slots[slot];
        return peer === undefined ? undefined : must(byPeer.get(peer), "holder");
      });
      const row: Row = {
        index: this.rows.length,
        owner,
        key,
        candidates: ranked.map(({ peer }) => must(byPeer.get(peer), "candidate")),
        shardBytes: Math.ceil(owner.dataBytes / rowsPerOwner / of.k),
        slots,
        shards: slots.map((holder) => (holder === undefined ? "none" : "good")),
        vouchedMs: slots.map(() => 0),
        knownLostMs: slots.map(() => undefined),
        margin: 0,
        atRiskSinceMs: undefined,
        isGone: false,
        isQueued: false,
        look: undefined,
      };
      this.rows.push(row);
      for (const [slot, holder] of slots.entries()) if (holder !== undefined) this.hold(row, slot, holder);
      this.recount(row);
    }
  }

  hold(row: Row, slot: number, holder: FleetNode): void {
    holder.holds.add(row.index * row.slots.length + slot);
    holder.usedBytes += row.shardBytes;
    row.slots[slot] = holder;
  }

  letGo(row: Row, slot: number): void {
    const holder = row.slots[slot];
    if (holder?.holds.delete(row.index * row.slots.length + slot) === true)
      holder.usedBytes -= row.shardBytes;
  }

  /** Rows and slots that a node holds. */
  held(node: FleetNode): { readonly row: Row; readonly slot: number }[] {
    const n = this.fleet.class.k + this.fleet.class.m;
    return [...node.holds].map((at) => ({ row: must(this.rows[Math.floor(at / n)], "row"), slot: at % n }));
  }

  #begin(node: FleetNode): void {
    const { nodeLossPerYear } = this.fleet.churn;
    const { generation } = node;
    const still = (): boolean => node.generation === generation && !node.isLost;
    this.#nextOutage(node, still);
    if (nodeLossPerYear > 0)
      this.#scheduler.after(waitMs(this.#rng.losses, YEAR_MS / -portableLn(1 - nodeLossPerYear)), () => {
        if (still()) this.lose(node);
      });
  }

  #nextOutage(node: FleetNode, still: () => boolean): void {
    const { outagesPerYear, outageMs } = this.fleet.churn;
    if (outagesPerYear <= 0) return;
    this.#scheduler.after(waitMs(this.#rng.outages, YEAR_MS / outagesPerYear), () => {
      if (!still()) return;
      const lastsMs = waitMs(this.#rng.outages, outageMs);
      this.ledger.outages++;
      this.#fallSilent(node);
      this.#scheduler.after(lastsMs, () => {
        if (!still()) return;
        this.#comeBack(node);
        this.#nextOutage(node, still);
      });
    });
  }

  #fallSilent(node: FleetNode): void {
    const sinceMs = this.nowMs;
    node.isUp = false;
    const { liveness, beatEveryMs, assessEveryMs } = this.fleet.upkeep;
    const { unreachableAfterMs, lostAfterMs } = liveness;
    const { reportsBeats, startAssessments, bytesShares } = this.calibration;
    // Through the reports' way around, and from when something is due until somebody has begun.
    const absentAfterMs = unreachableAfterMs + drawOf(reportsBeats, this.#rng.delays) * beatEveryMs;
    const startMs = drawOf(startAssessments, this.#rng.delays) * assessEveryMs;
    node.bytesShare = drawOf(bytesShares, this.#rng.delays);
    const become = (afterMs: number, state: NodeLiveness["state"], then: () => void): void => {
      this.#scheduler.at(sinceMs + afterMs, () => {
        const isSame = !node.isUp && (node.liveness.state === "alive" || node.liveness.sinceMs === sinceMs);
        if (!isSame) return;
        node.liveness = { state, sinceMs, plannedUntilMs: undefined, isHeard: true };
        then();
      });
    };
    become(unreachableAfterMs, "unreachable", () => {});
    become(absentAfterMs, "absent", () => {
      const n = this.fleet.class.k + this.fleet.class.m;
      for (const at of node.holds) this.#repairs.expect(must(this.rows[Math.floor(at / n)], "row"), startMs);
    });
    become(lostAfterMs, "lost", () => this.#reassess(node));
  }

  #comeBack(node: FleetNode): void {
    node.isUp = true;
    node.liveness = aliveSince(this.nowMs);
    this.#repairs.wake(node);
  }

  /** With everything on it; some day a new machine is there, and the owner recovered. */
  lose(node: FleetNode): void {
    this.ledger.losses++;
    node.isLost = true;
    node.generation++;
    if (node.isUp) this.#fallSilent(node);
    for (const { row, slot } of this.held(node)) {
      row.shards[slot] = "none";
      this.recount(row);
    }
    this.#scheduler.after(this.fleet.churn.replacedAfterMs, () => this.#replace(node));
  }

  #replace(node: FleetNode): void {
    const held = this.held(node);
    for (const { row, slot } of held) {
      this.letGo(row, slot);
      if (row.slots[slot] === node) {
        row.slots[slot] = undefined;
        row.knownLostMs[slot] = this.nowMs;
      }
    }
    node.isLost = false;
    node.isUp = true;
    node.liveness = aliveSince(this.nowMs);
    for (const row of new Set(held.map((one) => one.row))) this.#repairs.look(row);
    this.#begin(node);
    this.#repairs.wake(node);
  }

  #nextSiteLoss(): void {
    const { siteLossPerYear } = this.fleet.churn;
    if (siteLossPerYear <= 0) return;
    const meanMs = YEAR_MS / (-portableLn(1 - siteLossPerYear) * this.fleet.sites.length);
    this.#scheduler.after(waitMs(this.#rng.losses, meanMs), () => {
      const { name } = this.#rng.losses.pick(this.fleet.sites);
      this.ledger.siteLosses++;
      for (const node of this.nodes) if (node.site === name && !node.isLost) this.lose(node);
      this.#nextSiteLoss();
    });
  }

  #nextRot(): void {
    const { rotPerTerabyteYear, scrubMs } = this.fleet.churn;
    const keptTib = this.nodes.reduce((sum, { usedBytes }) => sum + usedBytes, 0) / TIB;
    if (rotPerTerabyteYear <= 0 || keptTib <= 0) return;
    this.#scheduler.after(waitMs(this.#rng.rot, YEAR_MS / (rotPerTerabyteYear * keptTib)), () => {
      const row = this.#rng.rot.pick(this.rows);
      const slot = this.#rng.rot.below(row.slots.length);
      if (row.shards[slot] === "good") this.#rot(row, slot, this.#rng.rot.float() * scrubMs);
      this.#nextRot();
    });
  }

  #rot(row: Row, slot: number, foundAfterMs: number): void {
    row.shards[slot] = "rotten";
    this.ledger.rotten++;
    this.recount(row);
    const holder = row.slots[slot];
    this.#scheduler.after(foundAfterMs, () => {
      if (row.shards[slot] !== "rotten" || row.slots[slot] !== holder) return;
      row.shards[slot] = "none";
      row.knownLostMs[slot] = this.nowMs;
      this.#repairs.look(row);
    });
  }

  #reassess(node: FleetNode): void {
    for (const row of new Set(this.held(node).map((one) => one.row))) this.#repairs.look(row);
  }

  #weatherNow(): Weather {
    const known = this.#weather;
    if (known !== undefined && this.nowMs - known.atMs < WEATHER_MS) return known.is;
    const livenesses = new Map(this.nodes.map(({ peer, liveness }) => [peer, liveness]));
    const is = weatherOf(livenesses, this.nodes, this.nowMs, this.fleet.upkeep.storm);
    this.#weather = { atMs: this.nowMs, is };
    return is;
  }
}

/** Until something that happens at a steady rate happens next. */
function waitMs(rng: SeededRng, meanMs: number): number {
  return -portableLn(1 - rng.float()) * meanMs;
}
