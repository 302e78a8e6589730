import { DAY_MS, HOUR_MS } from "../base/units.ts";
import { BUCKET_RULES, type BucketHit, keptByBuckets } from "./buckets.ts";
import type { Keep } from "./schema.ts";
import { CLOCK_TOLERANCE_MS } from "./timing.ts";

/** A snapshot, as far as it matters for whether it is kept. */
export interface RetentionCandidate {
  readonly id: string;
  /** Rises with every snapshot of the owner, whatever its clock said. */
  readonly sequence: number;
  readonly timeMs: number;
  readonly tags: readonly string[];
  readonly state: "safe" | "full" | "placed" | "pending" | "partial";
  readonly pinned: boolean;
  /** Promised to be kept until then. */
  readonly lockedUntilMs?: number;
  /** Why somebody should look at it: what ransomware looks like, a clock that was wrong. */
  readonly mark?: string;
  /** Whether it may be the first that is not worth keeping: then nothing before it is forgotten. @default as `mark` is there */
  readonly holdsEarlier?: boolean;
  /** Known to have its time from a wrong clock. @default false */
  readonly misdated?: boolean;
}

export interface RetentionContext {
  readonly nowMs: number;
  /** What this machine's clock is ahead of its peers'; absent where nobody can tell. */
  readonly clockAheadMs?: number;
  /** The latest of the owner's snapshots, of whatever set, that no wrong clock made. */
  readonly newestMs?: number;
  /** Why the clock decides nothing just now, whatever else is known of it. */
  readonly clockHold?: string;
}

export type RetentionRule =
  | BucketHit["rule"]
  | "tag"
  | "pinned"
  | "locked"
  | "newest-safe"
  | "partial"
  | "pending"
  | "marked"
  | "before-marked"
  | "out-of-order"
  | "clock"
  | "no-rule"
  | "next-time"
  /** The reasons to forget. */
  | "not-kept"
  | "asked-for";

export interface RetentionReason {
  readonly rule: RetentionRule;
  readonly text: string;
}

export interface RetentionVerdict {
  readonly id: string;
  readonly keep: boolean;
  /** At least one. */
  readonly reasons: readonly RetentionReason[];
}

/** So many safe ones, the newest, are kept whatever the rules say. */
export const NEWEST_SAFE_KEPT = 3;
/** So far off its peers a clock decides nothing. */
export const CLOCK_OFF_MAX_MS = HOUR_MS;
/** What was added within so long evicts nothing yet: somebody has time to notice that it is junk. */
export const GRACE_MS = 7 * DAY_MS;

/**
 * What of one set's snapshots its rules keep, and why; in the order given. Beside the rules:
 *
 * - A clock that is more than an hour off its peers', or that is before the newest snapshot, forgets nothing.
 * - Only whole snapshots that are placed, not marked, and whose times rise with their sequence fill the places that rules
 *   have. All others are kept and take no place: nobody can push good ones out with broken or misdated ones.
 * - The rules are applied twice, as of now and as of a week ago; what either keeps is kept.
 */
export function decideRetention(
  snapshots: readonly RetentionCandidate[],
  keep: Keep,
  context: RetentionContext,
): RetentionVerdict[] {
  const dated = snapshots.filter(isDated);
  const hold = clockReason(dated, context);
  if (hold !== undefined) return snapshots.map(({ id }) => ({ id, keep: true, reasons: [hold] }));
  const rules = rulesText(keep);
  if (rules === "")
    return snapshots.map(({ id }) => ({
      ...{ id, keep: true },
      reasons: [{ rule: "no-rule", text: "its policy names no rule: everything is kept" }],
    }));
  const reasons = new Map(snapshots.map((one) => [one, ownReasons(one, keep, context)]));
  const disordered = outOfOrder(dated);
  const marked = newestHold(snapshots);
  for (const one of snapshots) {
    const more = reasons.get(one);
    if (disordered.has(one)) more?.push(OUT_OF_ORDER);
    if (one.sequence < marked) more?.push(BEFORE_MARKED);
  }
  const counted = snapshots.filter((one) => counts(one) && !disordered.has(one));
  applyRules(counted, keep, "", reasons);
  const earlier = counted.filter(({ timeMs }) => timeMs <= context.nowMs - GRACE_MS);
  applyRules(earlier, keep, " as of a week ago", reasons);
  return snapshots.map((one) => {
    const why = reasons.get(one) ?? [];
    if (why.length > 0) return { id: one.id, keep: true, reasons: why };
    return { id: one.id, keep: false, reasons: [{ rule: "not-kept", text: `no rule keeps it (${rules})` }] };
  });
}

/**
 * What of one set's snapshots may be forgotten because somebody asked for it by name: rules do not count, but no clock that is
 * off, no pin, no lock and no mark is overridden, and the newest that are safe stay. One that is marked may go: somebody has looked.
 */
export function decideAsked(
  snapshots: readonly RetentionCandidate[],
  asked: ReadonlySet<string>,
  context: RetentionContext,
): RetentionVerdict[] {
  // One with a time from a wrong clock must not keep itself on the list.
  const others = snapshots.filter((one) => isDated(one) && !asked.has(one.id));
  const hold = clockReason(others, context);
  const marked = newestHold(snapshots);
  const newest = newestOf(snapshots.filter(counts));
  return snapshots.flatMap((one): RetentionVerdict[] => {
    if (!asked.has(one.id)) return [];
    const binding = ownReasons(one, {}, context).filter(({ rule }) => rule === "pinned" || rule === "locked");
    const reasons = hold === undefined ? binding : [hold];
    if (one.sequence < marked) reasons.push(BEFORE_MARKED);
    if (newest.includes(one))
      reasons.push({
        rule: "newest-safe",
        text: `one of the newest ${NEWEST_SAFE_KEPT} of its set that are safe`,
      });
    if (reasons.length > 0) return [{ id: one.id, keep: true, reasons }];
    return [{ id: one.id, keep: false, reasons: [{ rule: "asked-for", text: "it was asked for" }] }];
  });
}

const OUT_OF_ORDER: RetentionReason = {
  rule: "out-of-order",
  text: "its time does not fit those of the snapshots before and after it: kept, and takes no place",
};
const BEFORE_MARKED: RetentionReason = {
  rule: "before-marked",
  text: "a later snapshot is marked: nothing before it is forgotten until somebody has looked, and said so with cairn unmark",
};

/** Whether its time says anything: one that a wrong clock made is known for it, and decides nothing about the others. */
const isDated = ({ misdated = false }: RetentionCandidate): boolean => !misdated;

/** Of the newest that may be the first that is not worth keeping; -1 where there is none. */
function newestHold(snapshots: readonly RetentionCandidate[]): number {
  return snapshots.reduce(
    (newest, { mark, holdsEarlier = true, sequence }) =>
      mark !== undefined && holdsEarlier ? Math.max(newest, sequence) : newest,
    -1,
  );
}

function clockReason(
  snapshots: readonly RetentionCandidate[],
  { nowMs, clockAheadMs, clockHold, newestMs: newestOfAllMs = Number.NEGATIVE_INFINITY }: RetentionContext,
): RetentionReason | undefined {
  if (clockAheadMs !== undefined && Math.abs(clockAheadMs) > CLOCK_OFF_MAX_MS)
    return {
      rule: "clock",
      text: `this machine's clock is ${clockAheadMs > 0 ? "ahead of" : "behind"} its peers' by more than an hour: nothing is forgotten`,
    };
  const newestMs = snapshots.reduce((newest, { timeMs }) => Math.max(newest, timeMs), newestOfAllMs);
  if (newestMs > nowMs + CLOCK_TOLERANCE_MS)
    return {
      rule: "clock",
      text: "this machine's clock is before a snapshot of its own: nothing is forgotten",
    };
  return clockHold === undefined ? undefined : { rule: "clock", text: clockHold };
}

/** What holds for a snapshot by itself. */
function ownReasons(one: RetentionCandidate, keep: Keep, { nowMs }: RetentionContext): RetentionReason[] {
  const reasons: RetentionReason[] = [];
  if (one.pinned) reasons.push({ rule: "pinned", text: "it is pinned" });
  if (one.lockedUntilMs !== undefined && one.lockedUntilMs > nowMs)
    reasons.push({ rule: "locked", text: `it is locked until ${new Date(one.lockedUntilMs).toISOString()}` });
  const tag = keep.tags?.find((wanted) => one.tags.includes(wanted));
  if (tag !== undefined) reasons.push({ rule: "tag", text: `it has the tag ${tag}` });
  if (one.mark !== undefined) reasons.push({ rule: "marked", text: `it is marked: ${one.mark}` });
  if (one.state === "partial")
    reasons.push({
      rule: "partial",
      text: "it is a checkpoint: the next whole one of its paths replaces it",
    });
  if (one.state === "pending")
    reasons.push({ rule: "pending", text: "it is not safe yet: kept, and takes no place" });
  return reasons;
}

const counts = ({ state, mark }: RetentionCandidate): boolean =>
  mark === undefined && state !== "partial" && state !== "pending";

function applyRules(
  snapshots: readonly RetentionCandidate[],
  keep: Keep,
  when: string,
  reasons: ReadonlyMap<RetentionCandidate, RetentionReason[]>,
): void {
  for (const [one, hits] of keptByBuckets(snapshots, keep)) {
    for (const { rule, oldest } of hits)
      add(reasons.get(one), rule, `${oldest ? "oldest " : ""}${rule}${when}`);
  }
  for (const one of newestOf(snapshots))
    add(reasons.get(one), "newest-safe", `one of the newest ${NEWEST_SAFE_KEPT} that are safe${when}`);
}

const newestOf = (snapshots: readonly RetentionCandidate[]): RetentionCandidate[] =>
  [...snapshots].sort((a, b) => b.sequence - a.sequence).slice(0, NEWEST_SAFE_KEPT);

/** What holds as of now needs not be said again as of a week ago. */
function add(reasons: RetentionReason[] | undefined, rule: RetentionRule, text: string): void {
  if (reasons?.some((known) => known.rule === rule) === false) reasons.push({ rule, text });
}

/** Those for which an earlier one is later, or a later one earlier: which of them is wrong cannot be told. */
function outOfOrder(snapshots: readonly RetentionCandidate[]): ReadonlySet<RetentionCandidate> {
  const bySequence = [...snapshots].sort((a, b) => a.sequence - b.sequence);
  const found = new Set<RetentionCandidate>();
  let latestMs = Number.NEGATIVE_INFINITY;
  for (const one of bySequence) {
    if (latestMs > one.timeMs + CLOCK_TOLERANCE_MS) found.add(one);
    latestMs = Math.max(latestMs, one.timeMs);
  }
  let earliestMs = Number.POSITIVE_INFINITY;
  for (const one of bySequence.reverse()) {
    if (earliestMs < one.timeMs - CLOCK_TOLERANCE_MS) found.add(one);
    earliestMs = Math.min(earliestMs, one.timeMs);
  }
  return found;
}

/** `last 3, daily 7`; empty where nothing would be kept by it, which is no policy but a mistake. */
export function rulesText(keep: Keep): string {
  const counted = BUCKET_RULES.flatMap((rule) => {
    const count = keep[rule] ?? 0;
    return count === 0 ? [] : [`${rule} ${count}`];
  });
  return [...counted, ...(keep.tags ?? []).map((tag) => `tag ${tag}`)].join(", ");
}
