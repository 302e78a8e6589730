import { concatBytes, u32be, u64be, utf8 } from "../base/bytes.ts";
import { type Incarnation, idBytes, type OwnerId, type PeerId } from "../base/ids.ts";
import { MINUTE_MS } from "../base/units.ts";
import { type GenerationAt, type PlacementNode, rankCandidates } from "../placement/index.ts";
import { type Holder, isPresent } from "./facts.ts";

/** One slot of one generation of a row, in one state of its version: what is repaired once. */
export interface RepairTarget {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly at: GenerationAt;
  readonly slot: number;
  readonly ownerVersion: number;
  readonly repairs: number;
}

/**
 * What the holders draw lots with. The version is part of it, so that each further repair of a slot, and each one that
 * came to nothing and was begun anew by the owner, falls to somebody else.
 */
export function electionKey({
  owner,
  incarnation,
  at,
  slot,
  ownerVersion,
  repairs,
}: RepairTarget): Uint8Array {
  return concatBytes(
    utf8("cairn/1/repairer\0"),
    idBytes(owner),
    idBytes(incarnation),
    u32be(at.classId),
    u32be(at.partition),
    u64be(at.fromSegment),
    u32be(slot),
    u64be(ownerVersion),
    u64be(repairs),
  );
}

export interface ElectionInput {
  readonly target: RepairTarget;
  /** Who holds a slot of the row, each once. */
  readonly holders: readonly Holder[];
  /** Members as placement sees them: node numbers to draw with. */
  readonly nodes: readonly PlacementNode[];
}

/** Holders that are up and trusted, in the order in which they take a turn. Weights do not count: it is work, not room. */
export function repairOrder({ target, holders, nodes }: ElectionInput): PeerId[] {
  const fit = new Set(holders.filter(isFit).map(({ peer }) => peer));
  const drawing = nodes.filter(({ peer }) => fit.has(peer)).map((node) => ({ ...node, weight: 1 }));
  return rankCandidates(electionKey(target), drawing).map(({ peer }) => peer);
}

/** A holder that is leaving still has its shards and can work; one that has not been heard cannot be relied on. */
function isFit(holder: Holder): boolean {
  return isPresent(holder) && holder.trust.kind === "trusted" && holder.liveness.state !== "unreachable";
}

export interface BackOff {
  /** Each further holder waits so much longer for the repair record of those before it. */
  readonly stepMs: number;
  /** The same where nothing may be lost any more. */
  readonly urgentStepMs: number;
  /** Nobody waits longer than for so many others. */
  readonly stepsMax: number;
}

export const BACK_OFF: BackOff = { stepMs: 10 * MINUTE_MS, urgentStepMs: MINUTE_MS, stepsMax: 16 };

/**
 * When `me` starts on a slot that came due at `dueMs`, unless a record of it has arrived by then; `undefined`: never, it
 * is not among those who may. `workMs` is what one repair is expected to take: whoever is next waits for it as well.
 */
export function turnMs(
  order: readonly PeerId[],
  me: PeerId,
  { dueMs, margin, workMs }: { readonly dueMs: number; readonly margin: number; readonly workMs: number },
  backOff: BackOff = BACK_OFF,
): number | undefined {
  const rank = order.indexOf(me);
  if (rank < 0) return undefined;
  const step = margin <= 0 ? backOff.urgentStepMs : backOff.stepMs + workMs;
  return dueMs + Math.min(rank, backOff.stepsMax) * step;
}
