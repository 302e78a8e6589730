import { must } from "../base/assert.ts";
import { type PeerId, segmentKey } from "../base/ids.ts";
import type { Catalog, SegmentRangeSet, SegmentRecord, SegmentRef } from "../catalog/index.ts";
import { combineSurvival, type PlacementClass, type Survival } from "../placement/index.ts";
import {
  emptyQueue,
  type Holder,
  isPresent,
  queueWith,
  type RepairItem,
  type RepairQueue,
  type WorkReason,
} from "../upkeep/index.ts";
import type { OwnSegment } from "./own-facts.ts";
import type { OwnPlanner, SegmentPlan } from "./own-plan.ts";

/** One segment of the queue, and where to find it again. */
export interface OwnItem extends RepairItem {
  readonly ref: SegmentRef;
}

/** What all segments that snapshots need come to. */
export interface Census {
  readonly atMs: number;
  readonly segments: number;
  /** Needed, and nothing is known of them here: a recovery has not read them yet. */
  readonly unknown: number;
  /** By what is vouched for, wherever it is just now; and by what is on holders that are present. The worst of each. */
  readonly margin: number;
  readonly presentMargin: number;
  /** Of what is present, the worst in each respect. `undefined` without segments. */
  readonly survival: Survival | undefined;
  /** Segments that would not survive what their class is meant to survive. */
  readonly belowPolicy: number;
  /** Shards on holders that are absent, and on holders that are convicted: the first may come back, the others count for nothing. */
  readonly absentShards: number;
  readonly suspectShards: number;
  readonly due: { readonly segments: number; readonly shards: number; readonly bytes: number };
  readonly reasons: ReadonlyMap<WorkReason, number>;
  /** Shards that are waited for, and when the first wait ends. */
  readonly waiting: { readonly shards: number; readonly nextDueMs: number | undefined };
  /** Shards that are due and can go nowhere, by what keeps them. */
  readonly stuck: { readonly shards: number; readonly why: ReadonlyMap<string, number> };
  readonly oldestVouchedMs: number | undefined;
}

export interface CensusResult {
  readonly census: Census;
  /** Bounded: the next census finds what did not fit. */
  readonly queue: RepairQueue;
  readonly refs: ReadonlyMap<string, SegmentRef>;
  /** By generation, the slots that some segment of it keeps where the row says. */
  readonly kept: ReadonlyMap<string, ReadonlySet<number>>;
}

export interface CensusComponents {
  readonly catalog: Catalog;
  readonly planner: OwnPlanner;
  readonly holders: ReadonlyMap<PeerId, Holder>;
  readonly classOf: (ref: SegmentRef, record: SegmentRecord) => PlacementClass;
  /** What snapshots need; `undefined`: not known, then whatever can still be read counts. */
  readonly needed: SegmentRangeSet | undefined;
}

/** Items gathered before they are sorted into the queue. */
const BATCH = 1024;

/** Goes over the whole table once, with counts alone in memory. */
export async function takeCensus(
  components: CensusComponents,
  nowMs: number,
  signal?: AbortSignal,
): Promise<CensusResult> {
  const { catalog, planner, needed } = components;
  const count = new Count(components);
  for await (const [ref, record] of catalog.segments.all()) {
    signal?.throwIfAborted();
    if (needed !== undefined && !needed.has(ref)) continue;
    const segment = planner.segment(ref, record);
    const plan = planner.plan(segment);
    if (needed === undefined && plan.assessment.margin < 0 && !record.spooled) continue;
    count.add(segment, plan, nowMs);
  }
  return count.result(nowMs);
}

class Count {
  readonly #c: CensusComponents;
  #queue = emptyQueue();
  #batch: OwnItem[] = [];
  readonly #refs = new Map<string, SegmentRef>();
  readonly #kept = new Map<string, Set<number>>();
  #segments = 0;
  #margin = Number.POSITIVE_INFINITY;
  #presentMargin = Number.POSITIVE_INFINITY;
  #survival: Survival | undefined;
  #belowPolicy = 0;
  #absentShards = 0;
  #suspectShards = 0;
  #due = { segments: 0, shards: 0, bytes: 0 };
  readonly #reasons = new Map<WorkReason, number>();
  #waiting = 0;
  #nextDueMs = Number.POSITIVE_INFINITY;
  #stuck = 0;
  readonly #stuckWhy = new Map<string, number>();
  #oldestMs = Number.POSITIVE_INFINITY;

  constructor(components: CensusComponents) {
    this.#c = components;
  }

  add(segment: OwnSegment, plan: SegmentPlan, nowMs: number): void {
    const { ref, record, facts } = segment;
    const { assessment } = plan;
    this.#segments++;
    // Its own disk counts for nothing here, and yet what is spooled is not lost.
    const margin = facts.ownerHasBytes ? Math.max(0, assessment.margin) : assessment.margin;
    const present = facts.ownerHasBytes ? Math.max(0, assessment.presentMargin) : assessment.presentMargin;
    this.#margin = Math.min(this.#margin, margin);
    this.#presentMargin = Math.min(this.#presentMargin, present);
    this.#survival =
      this.#survival === undefined
        ? assessment.survival
        : combineSurvival([this.#survival, assessment.survival]);
    if (!isEnough(assessment.survival, this.#c.classOf(ref, record))) this.#belowPolicy++;
    for (const { peer, vouchedMs } of facts.copies) {
      const holder = this.#c.holders.get(peer);
      if (isPresent(holder)) this.#oldestMs = Math.min(this.#oldestMs, vouchedMs);
      else if (holder?.trust.kind === "suspect") this.#suspectShards++;
      else if (holder?.liveness.state === "absent") this.#absentShards++;
    }
    this.#waiting += plan.waiting;
    this.#nextDueMs = Math.min(this.#nextDueMs, plan.nextDueMs ?? Number.POSITIVE_INFINITY);
    this.#countStuck(plan);
    this.#countKept(segment, plan);
    this.#countDue(segment, plan, nowMs);
  }

  #countStuck({ stuck }: SegmentPlan): void {
    for (const { because } of stuck) {
      this.#stuck++;
      this.#stuckWhy.set(because, (this.#stuckWhy.get(because) ?? 0) + 1);
    }
  }

  #countKept({ generation }: OwnSegment, { keeps }: SegmentPlan): void {
    const known = this.#kept.get(generation) ?? new Set();
    for (const slot of keeps) known.add(slot);
    this.#kept.set(generation, known);
  }

  #countDue({ ref, record }: OwnSegment, { assessment, steps, stuck }: SegmentPlan, nowMs: number): void {
    if (steps.length === 0 && stuck.length === 0) return;
    for (const { why } of [...steps, ...stuck]) this.#reasons.set(why, (this.#reasons.get(why) ?? 0) + 1);
    if (steps.length === 0) return;
    this.#due.segments++;
    this.#due.shards += steps.length;
    this.#due.bytes += steps.length * record.shardBytes;
    const planned = new Set(steps.map(({ slot }) => slot));
    const slots = assessment.work.filter(({ slot }) => planned.has(slot));
    this.#batch.push({
      ref,
      key: segmentKey(this.#c.catalog.segmentId(ref)),
      margin: assessment.presentMargin,
      slots,
      dueMs: Math.min(nowMs, ...slots.map(({ dueMs }) => dueMs)),
      shardBytes: record.shardBytes,
    });
    if (this.#batch.length >= BATCH) this.#sortIn();
  }

  #sortIn(): void {
    for (const { key, ref } of this.#batch) this.#refs.set(key, ref);
    this.#queue = queueWith(this.#queue, this.#batch);
    this.#batch = [];
    const kept = new Set(this.#queue.items.map(({ key }) => key));
    for (const key of this.#refs.keys()) if (!kept.has(key)) this.#refs.delete(key);
  }

  result(nowMs: number): CensusResult {
    this.#sortIn();
    const finite = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined);
    const census: Census = {
      atMs: nowMs,
      segments: this.#segments,
      unknown: Math.max(0, (this.#c.needed?.size ?? this.#segments) - this.#segments),
      margin: finite(this.#margin) ?? 0,
      presentMargin: finite(this.#presentMargin) ?? 0,
      survival: this.#survival,
      belowPolicy: this.#belowPolicy,
      absentShards: this.#absentShards,
      suspectShards: this.#suspectShards,
      due: this.#due,
      reasons: this.#reasons,
      waiting: { shards: this.#waiting, nextDueMs: finite(this.#nextDueMs) },
      stuck: { shards: this.#stuck, why: this.#stuckWhy },
      oldestVouchedMs: finite(this.#oldestMs),
    };
    return { census, queue: this.#queue, refs: this.#refs, kept: this.#kept };
  }
}

/** It survives the loss of any one site and of the further nodes that its class is meant for. */
function isEnough(survival: Survival, of: PlacementClass): boolean {
  return survival.isSafe && survival.nodesAfterWorstSite >= Math.max(0, of.m - of.cap);
}

/** The items of a queue with their segments. */
export function refOf(result: CensusResult, { key }: RepairItem): SegmentRef {
  return must(result.refs.get(key), "segment of the queue");
}
