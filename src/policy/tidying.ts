import { type LastRun, nextDueMs } from "./timing.ts";

/** How often a repository is tidied without anybody asking for it. */
export interface TidyRules {
  /** Forgetting, where no snapshot was made. */
  readonly forgetEveryMs: number;
  /** At least so long between two: a set that is saved every minute does not write the list anew every minute. */
  readonly forgetPauseMs: number;
  /** Giving back what only forgotten snapshots needed. */
  readonly pruneEveryMs: number;
}

/** Pruning when nothing was forgotten by itself: after a `forget` by hand, and for what interrupted snapshots left. */
const IDLE_PRUNE_FACTOR = 7;
/** Of the time between two prunes: branches do not all go through their trees at once. */
const JITTER_SHARE = 1 / 24;

export interface TidyTime {
  readonly nowMs: number;
  /** When this node began to look. */
  readonly sinceMs: number;
  readonly seed: string;
}

/**
 * When to forget next: soon after a set was saved, and now and then without that. The first time is a pause after the start, so that
 * somebody who has just written the rules can look at what they would do.
 *
 * @param savedMs when a set with rules was saved last
 */
export function forgetDueMs(
  rules: TidyRules,
  last: LastRun | undefined,
  savedMs: number | undefined,
  at: TidyTime,
): number {
  if (last === undefined) return at.sinceMs + rules.forgetPauseMs;
  const regular = dueMs(rules.forgetEveryMs, 0, last, at);
  // Told of a new snapshot or not, a failure is not repeated any sooner.
  if (last.failures > 0 || savedMs === undefined || savedMs <= last.startedMs) return regular;
  return Math.min(regular, Math.max(savedMs, last.endedMs + rules.forgetPauseMs));
}

/** @param forgotten how many snapshots were forgotten by themselves since the last prune */
export function pruneDueMs(
  rules: TidyRules,
  last: LastRun | undefined,
  forgotten: number,
  at: TidyTime,
): number {
  const { pruneEveryMs } = rules;
  const everyMs = forgotten > 0 ? pruneEveryMs : pruneEveryMs * IDLE_PRUNE_FACTOR;
  if (last !== undefined) return dueMs(everyMs, pruneEveryMs * JITTER_SHARE, last, at);
  return forgotten > 0 ? at.sinceMs : at.sinceMs + everyMs;
}

function dueMs(everyMs: number, jitterMs: number, last: LastRun, at: TidyTime): number {
  // What was missed is made up for at once: there is nothing that a whole site would begin together.
  return nextDueMs({ kind: "interval", everyMs, jitterMs, catchUp: true }, last, at) ?? at.nowMs;
}
