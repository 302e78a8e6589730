import type { Incarnation, OwnerId, PeerId } from "../base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../base/units.ts";
import {
  candidateRank,
  type Generation,
  type GenerationAt,
  type PlacementClass,
  type PlacementNode,
  rowKey,
  type Slot,
} from "../placement/index.ts";
import { darkSites, isQuorum, quorumFor, type UpkeepMember } from "./observers.ts";
import { type OwnHearings, sightIn, type TimeSpan } from "./own-sight.ts";
import type { RepairCause, RepairRecord, SilenceWitness } from "./repair-record.ts";

/** The roster as it was at a record's epoch. */
export interface RosterAt {
  /** Candidates for the row: holders of the swarm with number and weight, in whatever state. */
  readonly candidates: readonly PlacementNode[];
  readonly members: readonly UpkeepMember[];
}

export interface RepairContext {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly class: PlacementClass;
  readonly partitions: number;
  readonly at: GenerationAt;
  /** By the owner's own map, without repairs. */
  readonly generation: Generation;
  /** First segment of the next generation of the row; `undefined` when this is the newest. */
  readonly nextFromSegment: number | undefined;
  /** Who holds the slots of the generation, with the repairs that this node knows. */
  readonly slotsNow: readonly Slot[];
  /** Who counts in no share of the swarm, and who is not there to speak, by this node's own liveness. */
  readonly lost: ReadonlySet<PeerId>;
  readonly away: ReadonlySet<PeerId>;
  /** Where the owner's node is now. */
  readonly ownerPeer: PeerId | undefined;
  /** `undefined` when this node has not heard of that roster yet. */
  readonly rosterAt: (epoch: number) => RosterAt | undefined;
  /** By contact, or beats that its peer signed. */
  readonly hearings: OwnHearings;
  readonly nowMs: number;
  readonly rules: RepairRules;
}

export interface RepairRules {
  /** Least silence that makes a holder absent: `unreachableAfterMs`. */
  readonly silenceMinMs: number;
  /** A cause is at most so old when the record is made: fetching and placing a row takes its time. */
  readonly causeAgeMaxMs: number;
  readonly clockSlackMs: number;
  /** So many of the first candidates may take a slot, or 2n of them where that is more. */
  readonly ranksMin: number;
}

export const REPAIR_RULES: RepairRules = {
  silenceMinMs: 30 * MINUTE_MS,
  causeAgeMaxMs: 72 * HOUR_MS,
  clockSlackMs: 30 * MINUTE_MS,
  // All of a small swarm: with one shard to a site, the only place for it may be the last in the order.
  ranksMin: 32,
};

/** Repairs of one slot on one version of the owner: more would be somebody's game, and fill everybody's memory. */
export const REPAIRS_MAX = 1024;
/** No cause needs more; it bounds what checking one record costs. */
export const WITNESSES_MAX = 16;

export type RepairRefusal =
  | "another-row"
  | "no-such-slot"
  | "superseded"
  | "count-impossible"
  | "stays-where-it-is"
  | "from-the-future"
  | "holder-is-the-owner"
  | "holder-is-no-candidate"
  | "rank-is-wrong"
  | "rank-is-too-high"
  | "receipt-of-another-peer"
  | "receipt-of-another-shard"
  | "receipt-from-the-future"
  | "cause-is-about-another"
  | "cause-is-stale"
  | "witnesses-too-many"
  | "witnesses-too-few"
  | "silence-too-short"
  | "holder-was-heard"
  | "holder-is-still-listed"
  | "slot-is-not-empty";

export type RepairVerdict =
  | { readonly kind: "holds" }
  /** It may hold once this node has heard more. */
  | { readonly kind: "waits"; readonly for: "map" | "roster" | "repairs" }
  | { readonly kind: "refused"; readonly reason: RepairRefusal };

const HOLDS: RepairVerdict = { kind: "holds" };

/**
 * Whether a record stands on its own. Its place in the chain of repairs of its slot (that the one before it is known,
 * and left the slot to `from`) is `currentRepair`'s to find: it changes with what else arrives, this does not.
 */
export function checkRepair(record: RepairRecord, context: RepairContext): RepairVerdict {
  const { generation, rosterAt } = context;
  const slot = generation.slots[record.slot];
  const rowFault = rowFaultOf(record, context);
  if (rowFault !== undefined) return refused(rowFault);
  if (slot === undefined) return refused("no-such-slot");
  if (record.ownerVersion > slot.ownerVersion) return { kind: "waits", for: "map" };
  if (record.ownerVersion < slot.ownerVersion) return refused("superseded");
  if (record.repairs <= slot.repairs) return refused("superseded");
  const roster = rosterAt(record.rosterEpoch);
  if (roster === undefined) return { kind: "waits", for: "roster" };
  const fault =
    headFaultOf(record, context) ??
    receiptFaultOf(record, context) ??
    rankFaultOf(record, context, roster) ??
    causeFaultOf(record, context, roster);
  if (fault !== undefined) return refused(fault);
  return isBornOut(record, context, roster) ? HOLDS : { kind: "waits", for: "repairs" };
}

/** Why a slot is to move, as who repairs it shows it before there is a new holder. */
export type CauseClaim = Pick<RepairRecord, "cause" | "from" | "slot" | "ownerVersion" | "madeMs">;

/** Whether this cause moves the slot, with nothing said yet about where to. */
export function checkCause(claim: CauseClaim, context: RepairContext, roster: RosterAt): RepairVerdict {
  const fault = causeFaultOf(claim, context, roster);
  if (fault !== undefined) return refused(fault);
  return isBornOut(claim, context, roster) ? HOLDS : { kind: "waits", for: "repairs" };
}

function refused(reason: RepairRefusal): RepairVerdict {
  return { kind: "refused", reason };
}

type Fault = RepairRefusal | undefined;

function rowFaultOf({ owner, incarnation, at }: RepairRecord, context: RepairContext): Fault {
  const isOfRow =
    owner === context.owner &&
    incarnation === context.incarnation &&
    at.classId === context.at.classId &&
    at.partition === context.at.partition &&
    at.fromSegment === context.at.fromSegment;
  return isOfRow ? undefined : "another-row";
}

function headFaultOf(record: RepairRecord, { ownerPeer, nowMs, rules }: RepairContext): Fault {
  if (!Number.isSafeInteger(record.repairs) || record.repairs > REPAIRS_MAX) return "count-impossible";
  if (record.to === record.from) return "stays-where-it-is";
  if (record.to === ownerPeer) return "holder-is-the-owner";
  return record.madeMs > nowMs + rules.clockSlackMs ? "from-the-future" : undefined;
}

function receiptFaultOf(record: RepairRecord, context: RepairContext): Fault {
  const { receipt, at } = record;
  if (receipt.peer !== record.to) return "receipt-of-another-peer";
  const isOfSlot =
    receipt.owner === record.owner &&
    receipt.incarnation === record.incarnation &&
    receipt.index === record.slot &&
    receipt.segment >= at.fromSegment &&
    receipt.segment < (context.nextFromSegment ?? Number.POSITIVE_INFINITY) &&
    receipt.segment % context.partitions === at.partition;
  if (!isOfSlot) return "receipt-of-another-shard";
  return receipt.timeMs > record.madeMs + context.rules.clockSlackMs ? "receipt-from-the-future" : undefined;
}

function rankFaultOf(record: RepairRecord, context: RepairContext, { candidates }: RosterAt): Fault {
  const key = rowKey(context.owner, context.class, context.at.partition);
  const rank = candidateRank(
    key,
    candidates.filter(({ peer }) => peer !== context.ownerPeer),
    record.to,
  );
  if (rank === undefined) return "holder-is-no-candidate";
  if (rank !== record.rank) return "rank-is-wrong";
  return rank < ranksFor(context.generation.slots.length, context.rules) ? undefined : "rank-is-too-high";
}

/** How many of the first candidates of a row of n may take a slot of it. */
export function ranksFor(n: number, { ranksMin }: Pick<RepairRules, "ranksMin"> = REPAIR_RULES): number {
  return Math.max(2 * n, ranksMin);
}

function causeFaultOf(record: CauseClaim, context: RepairContext, roster: RosterAt): Fault {
  const { cause, from } = record;
  if (from === undefined) return cause.kind === "empty" ? undefined : "cause-is-about-another";
  switch (cause.kind) {
    case "absent":
      return absenceFaultOf(from, cause, record, context, roster);
    case "convicted":
      return cause.target === from ? undefined : "cause-is-about-another";
    case "gone-from-roster": {
      const member = roster.members.find(({ peer }) => peer === from);
      const isGone = member === undefined || member.declaredLostMs !== undefined;
      return isGone ? undefined : "holder-is-still-listed";
    }
    case "owner-says":
      return cause.holder === from && cause.ownerVersion === record.ownerVersion
        ? undefined
        : "cause-is-about-another";
    case "draining":
    case "overfull":
      if (cause.holder !== from) return "cause-is-about-another";
      return ageFaultOf(cause.saidMs, record, context.rules);
    case "site-rule":
    case "same-peer":
      return undefined; // the row says it: `isBornOut`
    case "empty":
      return "slot-is-not-empty";
  }
}

function ageFaultOf(saidMs: number, { madeMs }: Pick<CauseClaim, "madeMs">, rules: RepairRules): Fault {
  if (saidMs > madeMs + rules.clockSlackMs) return "from-the-future";
  return madeMs - saidMs > rules.causeAgeMaxMs ? "cause-is-stale" : undefined;
}

/** Enough distinct observers at enough sites, each with a silence that is long enough, none of which this node knows better. */
function absenceFaultOf(
  from: PeerId,
  { witnesses }: Extract<RepairCause, { kind: "absent" }>,
  record: CauseClaim,
  context: RepairContext,
  { members }: RosterAt,
): Fault {
  const { rules } = context;
  if (witnesses.length > WITNESSES_MAX) return "witnesses-too-many";
  if (witnesses.some(({ target }) => target !== from)) return "cause-is-about-another";
  // Who is no member needs no witnesses; the cause should have said so.
  const target = members.find(({ peer }) => peer === from);
  if (target === undefined) return undefined;
  const counted = members.filter(
    ({ peer, declaredLostMs }) => declaredLostMs === undefined && !context.lost.has(peer),
  );
  const silence = jointSilence(witnesses);
  const peers = new Set(counted.map(({ peer }) => peer));
  const sight = sightIn(from, peers, wellWithin(silence, rules), context.hearings);
  // To those on the other side everybody on this side was silent, this node among them.
  const away = sight.wasCutOff ? new Set([...context.away, ...sight.heard]) : context.away;
  const quorum = quorumFor(target, counted, darkSites(counted, away));
  const areEnough = (believed: readonly SilenceWitness[]): boolean => {
    const observers = new Set(believed.map(({ observer }) => observer));
    return isQuorum(
      target,
      counted.filter(({ peer }) => observers.has(peer)),
      quorum,
    );
  };
  if (!areEnough(witnesses)) return "witnesses-too-few";
  const stale = witnesses
    .map(({ atMs }) => ageFaultOf(atMs, record, rules))
    .find((fault) => fault !== undefined);
  if (stale !== undefined) return stale;
  if (silence.toMs - silence.fromMs < rules.silenceMinMs) return "silence-too-short";
  if (sight.target === "unheard") return undefined;
  // In touch with the holder and with most others: so the swarm was in touch with it. With the holder and fewer: it may be that
  // both were cut off together, from those witnesses that this node did not hear.
  const apart = witnesses.filter(({ observer }) => !sight.heard.has(observer));
  return sight.target === "heard-among-most" || !areEnough(apart) ? "holder-was-heard" : undefined;
}

/** The time of which all of them speak. Silences one after the other would leave none that anybody could refute. */
function jointSilence(witnesses: readonly SilenceWitness[]): TimeSpan {
  return {
    fromMs: Math.max(...witnesses.map(({ silentSinceMs }) => silentSinceMs)),
    toMs: Math.min(...witnesses.map(({ atMs }) => atMs)),
  };
}

/**
 * What this node heard in it speaks against the silence: whoever is denounced by a few is in touch with the rest, and the rest
 * drop the record. At both ends clocks differ, and whoever comes back is not heard by all at once.
 */
function wellWithin({ fromMs, toMs }: TimeSpan, { clockSlackMs }: RepairRules): TimeSpan {
  const lengthMs = toMs - fromMs;
  return {
    fromMs: fromMs + Math.min(clockSlackMs, lengthMs / 2),
    toMs: toMs - Math.min(clockSlackMs, lengthMs / 4),
  };
}

/**
 * Of slots that crowd one site or one peer the lowest stay, so that everybody moves the same ones. Two repairs at once may
 * have crowded it, and a node that knows one of them cannot tell yet.
 */
function isBornOut(
  { cause, from, slot }: CauseClaim,
  context: RepairContext,
  { members }: RosterAt,
): boolean {
  if (from === undefined) return true;
  const lower = context.slotsNow.slice(0, slot);
  if (cause.kind === "same-peer") return lower.includes(from);
  if (cause.kind !== "site-rule") return true;
  const siteOf = new Map(members.map(({ peer, site }) => [peer, site]));
  const site = siteOf.get(from);
  const atSite = lower.filter((peer) => peer !== undefined && siteOf.get(peer) === site);
  return site !== undefined && atSite.length >= context.class.cap;
}
