import type { Incarnation, OwnerId, PeerId } from "../base/ids.ts";
import type { OwnerRegistry } from "../exchange/index.ts";
import { type ClassRows, type GenerationAt, type PlacementMap, rowOf } from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import {
  checkCause,
  checkRepair,
  type Hearings,
  type Holder,
  isHeard,
  isPresent,
  NOTHING_HEARD,
  type NodeLiveness,
  type RepairContext,
  type RepairRecord,
  type RepairRules,
  type RepairVerdict,
  type SilenceWitness,
  type Weather,
} from "../upkeep/index.ts";
import type { ClaimCause, RepairClaim } from "./records.ts";
import { type KnownRoster, rosterAt } from "./roster-at.ts";

/** Who is up and who is believed, as this node sees it. */
export interface Whereabouts {
  nodes(): ReadonlyMap<PeerId, NodeLiveness>;
  holders(): ReadonlyMap<PeerId, Holder>;
  weather(): Weather;
  witnesses(peer: PeerId): readonly { readonly witness: SilenceWitness; readonly envelope: Uint8Array }[];
  hearings(peer: PeerId): Hearings | undefined;
  onChange(listener: () => void): () => void;
}

/** An owner's map of one life, as it signed it and with the repairs that this node knows. */
export interface RepairedMap {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly signed: PlacementMap;
  readonly now: PlacementMap;
}

export interface JudgeComponents {
  readonly self: PeerId;
  readonly roster: KnownRoster & { memberOfOwner(owner: OwnerId): { readonly peer: PeerId } | undefined };
  readonly presence: Pick<Whereabouts, "nodes" | "holders" | "hearings" | "weather">;
  readonly clock: Pick<Clock, "wallMs">;
  /** @default no owner was ever recovered */
  readonly registry?: Pick<OwnerRegistry, "certifiedIncarnation">;
  /** How many shards a holder is known to have lost. @default none */
  readonly lost?: { countOf(peer: PeerId): number };
}

export type JudgedRepair =
  | Exclude<RepairVerdict, { kind: "waits" }>
  | { readonly kind: "waits"; readonly for: "map" | "roster" | "repairs" | "conviction" };

export type JudgedClaim =
  | { readonly kind: "holds" }
  | { readonly kind: "refused"; readonly reason: string; readonly isLie: boolean };

type RecordedCause = Exclude<ClaimCause, { kind: "mend" | "cut-off" }>;

const HOLDS = { kind: "holds" } as const;

/** What this node makes of repairs by others: what the records say, held against the maps, the roster and what it saw itself. */
export class RepairJudge {
  readonly #c: JudgeComponents;
  readonly #rules: RepairRules;

  constructor(components: JudgeComponents, init: { rules: RepairRules }) {
    this.#c = components;
    this.#rules = init.rules;
  }

  record(record: RepairRecord, map: RepairedMap | undefined): JudgedRepair {
    const context = map === undefined ? undefined : this.#context(map, record.at);
    if (context === undefined) return { kind: "waits", for: "map" };
    const verdict = checkRepair(record, context);
    if (verdict.kind === "holds" && !this.#isConvicted(record.cause))
      return { kind: "waits", for: "conviction" };
    return verdict;
  }

  /**
   * Whether the signer of a claim may have shards of the row, or hand one to this node. It has to be one of its holders,
   * and its cause has to hold by what this node itself knows, not by the papers alone: whoever fetches what it ought to
   * have is refused.
   */
  claim(claim: RepairClaim, map: RepairedMap | undefined): JudgedClaim {
    const context = map === undefined ? undefined : this.#context(map, claim.at);
    if (context === undefined) return refused("the row is not known here", false);
    const { nowMs, slotsNow, rules } = context;
    if (Math.abs(nowMs - claim.madeMs) > rules.clockSlackMs)
      return refused("the claim is not of this time", false);
    const slot = context.generation.slots[claim.slot];
    if (slot === undefined) return refused("the row has no such slot", true);
    if (slotsNow[claim.slot] !== claim.from) return refused("somebody else has the slot by now", false);
    if (!slotsNow.includes(claim.by)) return refused("only holders of a row repair it", true);
    if (claim.cause.kind === "mend") return this.#mend(claim, context);
    const { cause } = claim;
    if (cause.kind === "cut-off") return this.#cutOff(claim, context);
    if (claim.ownerVersion !== slot.ownerVersion) return refused("it is for another map", false);
    const roster = { members: context.rosterAt(0)?.members ?? [], candidates: [] };
    const verdict = checkCause({ ...claim, cause }, context, roster);
    if (verdict.kind === "refused") return refused(verdict.reason, true);
    if (verdict.kind === "waits") return refused("the row does not bear it out", false);
    const seen = this.#seenOtherwise(claim.from, cause);
    return seen === undefined ? HOLDS : refused(seen, true);
  }

  /** Whose data it is counts as away: nobody else repairs it while its own node is there. */
  isOwnerAway(owner: OwnerId): boolean {
    const peer = this.#c.roster.memberOfOwner(owner)?.peer;
    const state = peer === undefined ? "lost" : this.#c.presence.nodes().get(peer)?.state;
    return state === "absent" || state === "lost";
  }

  /**
   * Its holders alone see to the shards of this life: the owner is away, or was recovered since, and what it signs now is
   * of another life.
   */
  isLeftToHeirs(owner: OwnerId, life: Incarnation): boolean {
    const certified = this.#c.registry?.certifiedIncarnation(owner);
    return (certified !== undefined && certified !== life) || this.isOwnerAway(owner);
  }

  #mend(claim: RepairClaim, context: RepairContext): JudgedClaim {
    if (claim.from !== claim.by) return refused("nobody mends another's shard", true);
    if (!this.isLeftToHeirs(context.owner, claim.incarnation))
      return refused("the owner is there to mend it", false);
    return HOLDS;
  }

  /**
   * Copies in a part of the swarm that sees no more than half of it, where no more may be lost: believed by who is cut off itself,
   * and misses the same holder. No word of others is needed, since no slot moves.
   */
  #cutOff({ from, incarnation }: RepairClaim, context: RepairContext): JudgedClaim {
    const { presence, lost } = this.#c;
    if (presence.weather().kind !== "cut-off") return refused("this node is not cut off", false);
    if (!this.isLeftToHeirs(context.owner, incarnation)) return refused("the owner is there", false);
    const holders = presence.holders();
    if (from !== undefined && isHeard(holders.get(from)))
      return refused("this node hears the holder that is said to be out of reach", true);
    const whole = context.slotsNow.filter(
      (peer) => peer !== undefined && isPresent(holders.get(peer)) && (lost?.countOf(peer) ?? 0) === 0,
    );
    return new Set(whole).size <= context.class.k ? HOLDS : refused("more of it may be lost yet", false);
  }

  #seenOtherwise(from: PeerId | undefined, cause: RecordedCause): string | undefined {
    if (from === undefined) return undefined;
    const state = this.#c.presence.nodes().get(from)?.state;
    if (cause.kind === "absent" && (state === "alive" || state === "draining"))
      return "this node hears the holder that is said to be absent";
    if (!this.#isConvicted(cause)) return "no conviction of the holder is known here";
    return undefined;
  }

  #isConvicted(cause: RecordedCause): boolean {
    if (cause.kind !== "convicted") return true;
    return this.#c.presence.holders().get(cause.target)?.trust.kind === "suspect";
  }

  #context(map: RepairedMap, at: GenerationAt): RepairContext | undefined {
    const rows = map.signed.classes.get(at.classId);
    const row = rows?.rows[at.partition];
    const position = row?.findIndex(({ fromSegment }) => fromSegment === at.fromSegment) ?? -1;
    const generation = row?.[position];
    if (rows === undefined || generation === undefined) return undefined;
    const now = rowOf(map.now, at.classId, at.partition).find(
      ({ fromSegment }) => fromSegment === at.fromSegment,
    );
    const { self, roster, presence, clock } = this.#c;
    const states = presence.nodes();
    const lost = new Set([...states].flatMap(([peer, { state }]) => (state === "lost" ? [peer] : [])));
    const away = new Set(
      [...states].flatMap(([peer, { state }]) => (state === "lost" || state === "absent" ? [peer] : [])),
    );
    return {
      ...rowOfContext(map, at, rows),
      generation,
      nextFromSegment: row?.[position + 1]?.fromSegment,
      slotsNow: (now ?? generation).slots.map(({ peer }) => peer),
      lost,
      away,
      ownerPeer: roster.memberOfOwner(map.owner)?.peer,
      rosterAt: (epoch) => rosterAt(roster, epoch),
      hearings: { self, runsOf: (peer) => (presence.hearings(peer) ?? NOTHING_HEARD).runs },
      nowMs: clock.wallMs(),
      rules: this.#rules,
    };
  }
}

function rowOfContext(
  { owner, incarnation }: RepairedMap,
  at: GenerationAt,
  rows: ClassRows,
): Pick<RepairContext, "owner" | "incarnation" | "class" | "partitions" | "at"> {
  return { owner, incarnation, class: rows.class, partitions: rows.partitions, at };
}

function refused(reason: string, isLie: boolean): JudgedClaim {
  return { kind: "refused", reason, isLie };
}
