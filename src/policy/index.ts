/**
 * What an operator wants backed up, when, and how long it is kept: a file people write, and decisions that follow from it.
 *
 * Invariant: pure. Text, times and lists go in, decisions with their reasons come out; nothing here reads a clock or a
 * file, makes a snapshot or forgets one.
 */

export {
  ANOMALY_RULES,
  type AnomalyRules,
  anomaliesOf,
  CAPTURES_MAX,
  type Capture,
} from "./anomaly.ts";
export { continuousDueMs, UNNOTICED_MAX_MS, type Unsaved } from "./continuous.ts";
export { type ParsedPolicy, POLICY_BYTES_MAX, type PolicyIssue, parsePolicy } from "./document.ts";
export {
  type EffectiveSet,
  effectiveSets,
  effectiveUplink,
  forgetsByItself,
  type Origin,
  type Sourced,
  type Whereabouts,
} from "./effective.ts";
export {
  CLOCK_OFF_MAX_MS,
  decideAsked,
  decideRetention,
  NEWEST_SAFE_KEPT,
  type RetentionCandidate,
  type RetentionContext,
  type RetentionVerdict,
  rulesText,
} from "./retention.ts";
export type { Forgets, Hooks, Keep, PolicyDocument } from "./schema.ts";
export { SETS_MAX, setTag } from "./schema.ts";
export { forgetDueMs, pruneDueMs, type TidyRules, type TidyTime } from "./tidying.ts";
export {
  CLOCK_TOLERANCE_MS,
  ClockWatch,
  checkCron,
  chooseRun,
  type LastRun,
  nextDueMs,
  type PlannedSet,
  retryAfterMs,
  type Timing,
} from "./timing.ts";
export { type UplinkNow, type UplinkRule, type UplinkWindow, uplinkAt, type Weekday } from "./uplink.ts";
