import { DAY_MS, HOUR_MS } from "../base/units.ts";

/** How long an absent node is waited for, by how many more shards may go. */
export interface GraceRules {
  /** From margin 0 (and below) up; the last one is for every larger margin. */
  readonly byMarginMs: readonly number[];
  /** The least for the first shard that goes, while the owner lives and can give it again, byte for byte. */
  readonly firstWithOwnerMs: number;
}

export const GRACE_RULES: GraceRules = {
  byMarginMs: [0, 4 * HOUR_MS, 24 * HOUR_MS, 72 * HOUR_MS, 7 * DAY_MS],
  firstWithOwnerMs: 4 * HOUR_MS,
};

export interface GraceInput {
  /** Distinct shards that are there, minus k. */
  readonly margin: number;
  /** Distinct shards that are not there. */
  readonly missing: number;
  /** The owner lives, and has the bytes. */
  readonly ownerHasBytes: boolean;
}

/** Never longer for a smaller margin. */
export function graceMs(
  { margin, missing, ownerHasBytes }: GraceInput,
  rules: GraceRules = GRACE_RULES,
): number {
  const { byMarginMs, firstWithOwnerMs } = rules;
  const step = Math.max(0, Math.min(margin, byMarginMs.length - 1));
  const byMargin = byMarginMs[step] ?? 0;
  return missing <= 1 && ownerHasBytes ? Math.max(byMargin, firstWithOwnerMs) : byMargin;
}

/** When the shards of a node that fell silent are due; an outage that it announced is waited out. */
export function graceEndsMs(
  silentSinceMs: number,
  plannedUntilMs: number | undefined,
  grace: number,
): number {
  return Math.max(silentSinceMs + grace, grace > 0 ? (plannedUntilMs ?? 0) : 0);
}
