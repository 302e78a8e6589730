import type { PeerId } from "../base/ids.ts";
import { DAY_MS, HOUR_MS } from "../base/units.ts";
import type { Slot } from "../placement/index.ts";
import type { Holder } from "./facts.ts";
import { mayDrop, type Weather } from "./storm.ts";

export interface SurplusRules {
  /**
   * So long a copy has been one too many, as far as this node knew and without a break, and nobody was given a receipt for it: whoever
   * named this node for the slot meanwhile has had the time to say so.
   */
  readonly settledMs: number;
  /** What others proved longer ago says nothing about today. */
  readonly provenForMs: number;
  /** For so long the named holder has to promise to keep its own. */
  readonly promisedForMs: number;
}

export const SURPLUS_RULES: SurplusRules = {
  settledMs: 48 * HOUR_MS,
  provenForMs: DAY_MS,
  promisedForMs: 30 * DAY_MS,
};

/** What this node itself has seen of another holder's shard; ages by its own steady clock. */
export interface SeenProof {
  readonly peer: PeerId;
  /** Since a leaf of it was proven against the root in the segment's descriptor. */
  readonly ageMs: number;
}

export interface SeenPromise extends SeenProof {
  /** How long it is to be kept from then on. */
  readonly forMs: number;
}

/** One shard on this node's disk. */
export interface SurplusFacts {
  readonly self: PeerId;
  readonly index: number;
  /** Shards of the segment, by its descriptor. */
  readonly n: number;
  /** By the owner's map with its repairs; `undefined`: this node knows no map for it. */
  readonly slots: readonly Slot[] | undefined;
  /** Since the map names the same other holder for this shard, as long as this process has known it. */
  readonly surplusForMs: number;
  /** Since a receipt was last given for this copy, or since the start of the process if that is shorter. */
  readonly unaskedForMs: number;
  /** This node has promised somebody to keep this copy, and the time is not over. */
  readonly isPromised: boolean;
  /** By index. */
  readonly proofs: ReadonlyMap<number, SeenProof>;
  readonly promise: SeenPromise | undefined;
  /** Whether this copy of another index is known to be gone or wrong. */
  readonly isKnownLost: (index: number, peer: PeerId) => boolean;
  readonly holders: ReadonlyMap<PeerId, Holder>;
  readonly weather: Weather;
}

/** Why a copy stays; the first that holds, in this order. */
export type KeepReason =
  | "unknown-map"
  | "named"
  | "promised"
  | "weather"
  | "fresh"
  | "in-row"
  | "empty-slot"
  | "crowded"
  | "holder-away"
  | "holder-doubted"
  | "known-lost"
  | "not-proven"
  | "no-promise"
  /** It is locked here, and not known to be at the named holder. */
  | "not-locked";

export type SurplusVerdict =
  | { readonly kind: "drop" }
  | { readonly kind: "keep"; readonly why: KeepReason; readonly index?: number };

/** What can be said before anybody is asked: `undefined` where proofs and a promise would decide. */
export function keptAnyway(
  facts: SurplusFacts,
  rules: SurplusRules = SURPLUS_RULES,
): SurplusVerdict | undefined {
  const { self, index, n, slots } = facts;
  if (slots === undefined || slots.length !== n || index < 0 || index >= n) return keep("unknown-map");
  if (slots[index] === self) return keep("named");
  if (facts.isPromised) return keep("promised");
  if (!mayDrop(facts.weather)) return keep("weather");
  if (!(Math.min(facts.surplusForMs, facts.unaskedForMs) >= rules.settledMs)) return keep("fresh");
  // Whoever has another shard of the segment cannot be one of those elsewhere.
  if (slots.includes(self)) return keep("in-row");
  const empty = slots.indexOf(undefined);
  if (empty >= 0) return keep("empty-slot", empty);
  if (new Set(slots).size !== n) return keep("crowded");
  for (const [at, peer] of slots.entries()) {
    const holder = peer === undefined ? undefined : facts.holders.get(peer);
    if (peer === undefined || holder?.liveness.state !== "alive") return keep("holder-away", at);
    if (holder.trust.kind !== "trusted") return keep("holder-doubted", at);
    if (facts.isKnownLost(at, peer)) return keep("known-lost", at);
  }
  return undefined;
}

/**
 * Whether a copy that the map looks for elsewhere may go: only when this node itself has just had a leaf of every shard of the
 * segment proven by the n holders that the map names, and the one that is named for this shard has promised to keep it. Whatever
 * is not known keeps the copy.
 */
export function surplusVerdict(facts: SurplusFacts, rules: SurplusRules = SURPLUS_RULES): SurplusVerdict {
  const kept = keptAnyway(facts, rules);
  if (kept !== undefined) return kept;
  for (const [at, peer] of (facts.slots ?? []).entries()) {
    const proof = facts.proofs.get(at);
    if (proof === undefined || proof.peer !== peer || !isWithin(proof.ageMs, rules.provenForMs))
      return keep("not-proven", at);
  }
  const { promise } = facts;
  const isKept =
    promise !== undefined &&
    promise.peer === facts.slots?.[facts.index] &&
    isWithin(promise.ageMs, rules.provenForMs) &&
    promise.forMs >= rules.promisedForMs;
  return isKept ? { kind: "drop" } : keep("no-promise", facts.index);
}

/** Nothing comes from the future, and no broken number counts. */
function isWithin(ageMs: number, mostMs: number): boolean {
  return ageMs >= 0 && ageMs <= mostMs;
}

function keep(why: KeepReason, index?: number): SurplusVerdict {
  return { kind: "keep", why, ...(index === undefined ? {} : { index }) };
}
