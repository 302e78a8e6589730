import type { OwnerId, PeerId } from "../base/ids.ts";
import type { SegmentRecord, SegmentRef } from "../catalog/index.ts";
import { fieldFor, type OwnerMaps, type SwarmView } from "../exchange/index.ts";
import {
  capacityUnder,
  type ExcludeReason,
  leastCap,
  type PlacementClass,
  type PlacementField,
  type PlacementNode,
  type ReplacementChoice,
  replacementFor,
  type Slot,
} from "../placement/index.ts";
import {
  type Assessment,
  assess,
  dueItem,
  type GraceRules,
  type Holder,
  isPresent,
  nextDueMs,
  type SlotWork,
  type WorkReason,
} from "../upkeep/index.ts";
import { factsKey, type OwnSegment, ownSegment, REMEMBERED_MAX, type ShardEvidence } from "./own-facts.ts";
import type { ShardSource } from "./rebuild.ts";

/**
 * What a choice makes of its site's share. `once-back`: it is within it as long as those are away who are absent now and
 * have places there; when they come back it is one too many, and moves. `over`: more than the site may have.
 */
export type Crowding = "none" | "once-back" | "over";

/** One shard to be at another holder, or at the same one again. */
export interface PlannedStep {
  readonly slot: number;
  readonly why: WorkReason;
  /** Who had it last, as far as is known. */
  readonly from: Slot;
  readonly to: PeerId;
  /** It is the map's holder already. */
  readonly stays: boolean;
  /** `over` where it is that or not to survive the loss of any site. */
  readonly crowding: Crowding;
}

export interface StuckSlot {
  readonly slot: number;
  readonly why: WorkReason;
  /** What keeps it from being placed, for a person. */
  readonly because: string;
}

/** What follows for a segment at one moment. */
export interface SegmentPlan {
  readonly assessment: Assessment;
  /** What can be done now. */
  readonly steps: readonly PlannedStep[];
  /** Who is present and has given a receipt that counts: where shards can be had. */
  readonly sources: readonly ShardSource[];
  /** Slots whose shard is where the map says, and stays there: the row cannot say otherwise for them. */
  readonly keeps: ReadonlySet<number>;
  /** Due, and nobody can be found. */
  readonly stuck: readonly StuckSlot[];
  /** Shards that are waited for still, and until when. */
  readonly waiting: number;
  readonly nextDueMs: number | undefined;
}

export type Replacement =
  | { readonly ok: true; readonly peer: PeerId; readonly crowding: Crowding }
  | { readonly ok: false; readonly why: string };

/** Everything that a plan follows from, as it is at one moment. */
export interface Moment {
  readonly nowMs: number;
  readonly holders: ReadonlyMap<PeerId, Holder>;
  readonly grace: GraceRules;
  /** Who has just refused a shard, for want of room or otherwise. */
  readonly refusing: ReadonlySet<PeerId>;
}

export interface PlannerComponents {
  readonly owner: OwnerId;
  readonly currentIncarnation: number;
  readonly maps: OwnerMaps;
  readonly view: SwarmView;
  readonly evidence: ShardEvidence;
}

/**
 * What is to be done about the owner's segments at one moment. Segments that lie alike are worked out once: a healthy
 * repository has a few hundred kinds, whatever its size.
 */
export class OwnPlanner {
  readonly #c: PlannerComponents;
  readonly #moment: Moment;
  readonly #nodes: readonly PlacementNode[];
  readonly #plans = new Map<string, SegmentPlan>();
  /** Of classes that no site's loss leaves anything of, by k and m. */
  readonly #caps = new Map<string, number>();

  constructor(components: PlannerComponents, moment: Moment) {
    this.#c = components;
    this.#moment = moment;
    this.#nodes = components.view.nodes().map((node) => flagged(node, moment));
  }

  segment(ref: SegmentRef, record: SegmentRecord): OwnSegment {
    const own = ownSegment(ref, record, this.#c.maps, this.#c.evidence);
    const { facts } = own;
    const of = this.#c.maps.class(ref.incarnation, record.class);
    // Another one stands for a class whose map is not known: nothing follows from it.
    if (facts.cap !== of.cap) return own;
    const cap = this.#capOf(of);
    return cap === of.cap ? own : { ...own, facts: { ...facts, cap } };
  }

  /**
   * What a site may have of a segment. A class that was opened while sites were away may let one site have so much that its
   * loss loses all: such a one is held to what those who are up now can do, if that survives a site.
   */
  #capOf(of: PlacementClass): number {
    if (of.cap <= of.m) return of.cap;
    const key = `${of.k}+${of.m}`;
    const known = this.#caps.get(key) ?? safeCap(of, this.#takers());
    this.#caps.set(key, known);
    return Math.min(of.cap, known);
  }

  /** How many nodes of each site take shards now. */
  #takers(): number[] {
    const perSite = new Map<string, number>();
    for (const { peer, site, weight, reachable, full, draining, suspected } of this.#nodes) {
      if (peer === this.#c.view.self || !(weight > 0) || !reachable || full || draining || suspected)
        continue;
      perSite.set(site, (perSite.get(site) ?? 0) + 1);
    }
    return [...perSite.values()];
  }

  plan(segment: OwnSegment): SegmentPlan {
    const key = factsKey(segment);
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const plan = this.#plan(segment);
    if (this.#plans.size >= REMEMBERED_MAX) this.#plans.clear();
    this.#plans.set(key, plan);
    return plan;
  }

  /**
   * Somebody else for a shard of the segment, in the row as it would be with `slots`. Who is waited for still keeps its
   * place, as long as another one can be had. With `mayCrowd` a site takes more than its share rather than that the
   * shard is nowhere: as few more as possible.
   */
  replacement(
    segment: OwnSegment,
    slots: readonly Slot[],
    slot: number,
    { refused = [], mayCrowd }: { refused?: Iterable<PeerId>; mayCrowd: boolean },
  ): Replacement {
    const notNow = new Map<PeerId, ExcludeReason>([...refused].map((peer) => [peer, "refused"]));
    const patient = this.#field(segment, new Map([...this.#gone(false), ...notNow]));
    const first = replacementFor(slots, slot, patient);
    if (first.ok) return found(first, "none");
    const field = this.#field(segment, new Map([...this.#gone(true), ...notNow]));
    const choice = replacementFor(slots, slot, field);
    if (choice.ok || !mayCrowd) return found(choice, "once-back");
    for (let cap = field.cap + 1; cap <= slots.length; cap++) {
      const crowded = replacementFor(slots, slot, { ...field, cap });
      if (crowded.ok) return found(crowded, "over");
    }
    return found(choice, "none");
  }

  #plan(segment: OwnSegment): SegmentPlan {
    const { holders, nowMs, grace } = this.#moment;
    const assessed = assess(segment.facts, holders, grace);
    const assessment = { ...assessed, work: assessed.work.flatMap((work) => this.#own(segment, work)) };
    const due = dueItem({ key: "", shardBytes: 0, assessment, nowMs })?.slots ?? [];
    const steps: PlannedStep[] = [];
    const stuck: StuckSlot[] = [];
    const slots = [...segment.facts.slots];
    for (const work of due) {
      const step = this.#step(segment, assessment, slots, work);
      if ("because" in step) stuck.push(step);
      else {
        slots[step.slot] = step.to;
        steps.push(step);
      }
    }
    const waiting = assessment.work.length - due.length;
    const sources = this.#sources(segment);
    const keeps = this.#keeps(segment, steps);
    return { assessment, steps, sources, keeps, stuck, waiting, nextDueMs: nextDueMs(assessment, nowMs) };
  }

  #keeps({ facts }: OwnSegment, steps: readonly PlannedStep[]): Set<number> {
    const { holders } = this.#moment;
    const there = facts.copies.filter(({ index, peer, vouchedMs, knownLostMs }) => {
      const holder = holders.get(peer);
      if (facts.slots[index] !== peer || holder === undefined) return false;
      if (holder.liveness.state === "lost" || holder.trust.kind === "suspect") return false;
      return knownLostMs === undefined || vouchedMs > knownLostMs;
    });
    const leaving = new Set(steps.map(({ slot }) => slot));
    return new Set(there.map(({ index }) => index).filter((slot) => !leaving.has(slot)));
  }

  /** Those that are connected first. Absent and suspect ones only where it takes them: what they send is checked like all else. */
  #sources({ facts }: OwnSegment): ShardSource[] {
    const { holders } = this.#moment;
    const isUp = (peer: PeerId): boolean => isPresent(holders.get(peer));
    const rank = (peer: PeerId): number => {
      if (!isUp(peer)) return 2;
      return this.#nodes.some((node) => node.peer === peer && node.reachable) ? 0 : 1;
    };
    const all = facts.copies
      .filter(({ peer, vouchedMs, knownLostMs }) => {
        return holders.has(peer) && (knownLostMs === undefined || vouchedMs > knownLostMs);
      })
      .map(({ index, peer }) => ({ index, peer }))
      .sort((a, b) => rank(a.peer) - rank(b.peer) || a.index - b.index);
    const up = all.filter(({ peer }) => isUp(peer));
    return new Set(up.map(({ index }) => index)).size >= facts.k ? up : all;
  }

  /** The work that is this owner's to do, with the reason that began it. */
  #own({ facts, record }: OwnSegment, work: SlotWork): SlotWork[] {
    // Whoever drains hands its shards on itself; when it falls silent it is absent.
    if (work.why === "draining") return [];
    // What nobody acknowledged yet is placed from the spool, by whoever keeps that.
    if (facts.ownerHasBytes && record.slots[work.slot] === null) return [];
    const had = record.slots[work.slot]?.peer;
    if (work.why !== "not-vouched" || had === undefined || had === work.from) return [work];
    // The row was given to somebody else already, and this segment's turn had not come.
    return [{ ...work, from: had, why: this.#whyLeft(had) }];
  }

  #whyLeft(peer: PeerId): WorkReason {
    const holder = this.#moment.holders.get(peer);
    if (holder === undefined || holder.liveness.state === "lost") return "holder-lost";
    if (holder.trust.kind === "suspect") return "suspect";
    return holder.liveness.state === "absent" ? "absent" : "site-rule";
  }

  #step(
    segment: OwnSegment,
    assessment: Assessment,
    slots: readonly Slot[],
    work: SlotWork,
  ): PlannedStep | StuckSlot {
    const { slot, why, from } = work;
    if (segment.ref.incarnation !== this.#c.currentIncarnation)
      return { slot, why, because: "it is older than the recovery of the repository: its holders see to it" };
    const mapped = segment.facts.slots[slot];
    const isMended = work.how === "mend" || (mapped !== undefined && mapped !== from);
    if (isMended && mapped !== undefined && this.#maySend(mapped)) {
      return { slot, why, from, to: mapped, stays: true, crowding: "none" };
    }
    // Away from here for a moment: by and by it is back, or absent.
    if (isMended && mapped !== undefined && this.#isAwaited(mapped))
      return { slot, why, because: "its holder does not answer just now" };
    const choice = this.replacement(segment, slots, slot, { mayCrowd: mayCrowd(assessment, why) });
    if (!choice.ok) return { slot, why, because: choice.why };
    return { slot, why, from, to: choice.peer, stays: false, crowding: choice.crowding };
  }

  #maySend(peer: PeerId): boolean {
    const holder = this.#moment.holders.get(peer);
    const node = this.#nodes.find((one) => one.peer === peer);
    if (node === undefined || this.#moment.refusing.has(peer)) return false;
    return node.reachable && isPresent(holder) && holder?.trust.kind === "trusted";
  }

  #isAwaited(peer: PeerId): boolean {
    const holder = this.#moment.holders.get(peer);
    return isPresent(holder) && !this.#moment.refusing.has(peer) && holder?.trust.kind === "trusted";
  }

  #field(segment: OwnSegment, exclude: ReadonlyMap<PeerId, ExcludeReason>): PlacementField {
    const { maps, view, owner } = this.#c;
    const { ref, record } = segment;
    const of = maps.class(ref.incarnation, record.class);
    const partition = maps.partitionIn(ref.incarnation, record.class, ref.number);
    const cap = this.#capOf(of);
    return { ...fieldFor(view, owner, of, partition, exclude), cap, candidates: this.#nodes };
  }

  /** Who takes nothing and fills no site. */
  #gone(absentToo: boolean): Map<PeerId, ExcludeReason> {
    const gone = new Map<PeerId, ExcludeReason>();
    for (const { peer } of this.#nodes) {
      const holder = this.#moment.holders.get(peer);
      if (isPresent(holder)) continue;
      if (absentToo || holder?.liveness.state !== "absent") gone.set(peer, "lost");
    }
    return gone;
  }
}

/** The least that sites have to take, where the rest survives the loss of any one of them; else no bound. */
function safeCap({ k, m }: PlacementClass, takersPerSite: readonly number[]): number {
  const cap = leastCap(takersPerSite, k + m);
  const isPossible = cap <= m && capacityUnder(takersPerSite, cap) >= k + m;
  return isPossible ? cap : Number.POSITIVE_INFINITY;
}

function found(choice: ReplacementChoice, crowding: Crowding): Replacement {
  return choice.ok ? { ok: true, peer: choice.peer, crowding } : { ok: false, why: choice.why };
}

/** Of shards that are there, only in the wrong place, no site gets more; nor while what is left survives a site's loss. */
export function mayCrowd({ survival }: Assessment, why: WorkReason): boolean {
  const isThere = why === "site-rule" || why === "same-peer" || why === "overfull" || why === "draining";
  return !isThere && !survival.isSafe;
}

function flagged(node: PlacementNode, { holders, refusing }: Moment): PlacementNode {
  const holder = holders.get(node.peer);
  const state = holder?.liveness.state;
  return {
    ...node,
    reachable: node.reachable && state !== "absent",
    draining: node.draining || state === "draining",
    suspected: node.suspected || (holder !== undefined && holder.trust.kind !== "trusted"),
    full: node.full || holder?.isOverfull === true || refusing.has(node.peer),
  };
}
