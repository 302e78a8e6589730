import { DAY_MS, HOUR_MS } from "../base/units.ts";

/** Clocks and bounds of deletion; all times are the holder's own running time. */
export interface GcRules {
  /** So long after a holder found a segment omitted a later live set takes it back for nothing. */
  readonly delayMs: number;
  /** So long it lies in the trash after that. */
  readonly trashMs: number;
  /** What live sets removed is summed over so long. */
  readonly brakeWindowMs: number;
  /** Of the bytes held at the start of that time; beyond, a second key is waited for. */
  readonly brakeShare: number;
}

export const GC_RULES: GcRules = {
  delayMs: 48 * HOUR_MS,
  trashMs: 14 * DAY_MS,
  brakeWindowMs: 30 * DAY_MS,
  brakeShare: 0.2,
};

/** How far a shard is on its way out; times are those of the holder's running time. */
export type GcState =
  | { readonly is: "held" }
  | { readonly is: "waiting"; readonly sinceMs: number }
  | { readonly is: "trash"; readonly sinceMs: number };

/** One shard on a holder's disk. */
export interface GcFacts {
  readonly state: GcState;
  /** The live set that is in force for its segment covers it and does not list it. Unknown is not omitted. */
  readonly isOmitted: boolean;
  /** A lock holds, or this node has promised somebody to keep the copy. */
  readonly isBound: boolean;
  readonly runningMs: number;
  /** This daemon was away long enough for a later live set to be on its way: nothing is decided before. */
  readonly isSettling: boolean;
  /** What live sets removed lately, with this shard, is within the bound. */
  readonly isWithinBrake: boolean;
}

export type GcVerdict =
  /** As it is. */
  | "stay"
  /** Begins to wait. */
  | "wait"
  /** Is wanted again, or still. */
  | "take-back"
  | "trash"
  /** Would go to the trash, and waits for the second key. */
  | "braked"
  | "delete";

/** What becomes of a shard now. Whatever is not known keeps it. */
export function gcVerdict(facts: GcFacts, rules: GcRules = GC_RULES): GcVerdict {
  const { state, isOmitted, isBound, isSettling } = facts;
  if (!isOmitted || isBound) return state.is === "held" ? "stay" : "take-back";
  if (state.is === "held") return "wait";
  const ageMs = facts.runningMs - state.sinceMs;
  const isDue = ageMs >= (state.is === "waiting" ? rules.delayMs : rules.trashMs);
  if (!isDue || isSettling) return "stay";
  if (state.is === "trash") return "delete";
  return facts.isWithinBrake ? "trash" : "braked";
}
