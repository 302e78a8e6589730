import { z } from "zod";
import { snapshotSelector } from "./requests.ts";

const count = z.int().nonnegative();
const isoTime = z.string();

/** Where a value was said, and on which line of the file. */
const origin = z.object({ level: z.string(), line: count.optional() });
const sourced = <T extends z.ZodType>(value: T) => z.object({ value, from: origin });

export const policyIssue = z.object({ line: count, column: count, message: z.string() });
export type PolicyIssueInfo = z.infer<typeof policyIssue>;

const keepCount = z.union([count, z.literal("all")]);
export const keepRules = z.object({
  last: keepCount.optional(),
  hourly: keepCount.optional(),
  daily: keepCount.optional(),
  weekly: keepCount.optional(),
  monthly: keepCount.optional(),
  yearly: keepCount.optional(),
  tags: z.array(z.string()).optional(),
  timeZone: z.string().optional(),
});
export type KeepRules = z.infer<typeof keepRules>;

/** The newest try of a set. */
export const setRun = z.object({
  started: isoTime,
  ended: isoTime,
  outcome: z.enum(["done", "failed"]),
  snapshotId: z.string().optional(),
  /** In a row. */
  failures: count,
  unreadable: count,
  reason: z.string().optional(),
});

/** How changes of a continuous set are noticed. */
export const continuousStanding = z.object({
  /** How soon after a change there should be a snapshot. */
  everyMs: count,
  /** `opening`: directories are being taken in. `rescanning`: watching is impossible, `why` says what keeps it from that. */
  mode: z.enum(["opening", "watching", "rescanning"]),
  why: z.string().optional(),
  directories: count.optional(),
  /** The oldest change that is in no snapshot that was made; absent: none is known. */
  unsavedSince: isoTime.optional(),
});
export type ContinuousStanding = z.infer<typeof continuousStanding>;

/** How a set stands: what `status` says of it. */
export const setStanding = z.object({
  set: z.string(),
  running: z.boolean(),
  /** Absent: only when told. In the past: waiting for another set. */
  next: isoTime.optional(),
  last: setRun.optional(),
  /** Of the newest snapshot. */
  newest: z.object({ snapshotId: z.string(), time: isoTime }).optional(),
  /**
   * What would be lost now: the age of the newest snapshot that is as safe as this swarm can make it; of a continuous set,
   * where that is its newest one, the age of the oldest change since.
   */
  rpoMs: count.optional(),
  continuous: continuousStanding.optional(),
});
export type SetStandingInfo = z.infer<typeof setStanding>;

export const policyState = z.enum(["none", "valid", "invalid"]);

const tidyRun = {
  started: isoTime,
  ended: isoTime,
  outcome: z.enum(["done", "failed"]),
  reason: z.string().optional(),
};

/** Forgetting by the rules and pruning, as far as the daemon does it by itself. */
export const tidyStanding = z.object({
  /** Sets whose rules are acted on. */
  sets: z.array(z.string()),
  forget: z.object({
    next: isoTime,
    last: z
      .object({
        ...tidyRun,
        kept: count,
        forgotten: count,
        /** Why nothing may be forgotten just now. */
        held: z.string().optional(),
      })
      .optional(),
  }),
  prune: z.object({
    next: isoTime,
    last: z.object({ ...tidyRun, segments: count, freedBytes: count }).optional(),
  }),
});
export type TidyStandingInfo = z.infer<typeof tidyStanding>;

/** What the policy lets this node send now. */
export const uplinkStanding = z.object({
  /** Absent: as much as the line takes. */
  bitsPerSecond: count.optional(),
  /** `18:00`, in the policy's time zone: the end of the window that holds now. */
  until: z.string().optional(),
  /** Shards of snapshots that wait for it. */
  waiting: count,
  from: origin,
});
export type UplinkStanding = z.infer<typeof uplinkStanding>;

/** Part of `status`. */
export const scheduleStanding = z.object({
  policy: policyState,
  issues: z.array(policyIssue),
  /** Absent: the policy says nothing of it. */
  uplink: uplinkStanding.optional(),
  sets: z.array(setStanding),
  /** Absent where nothing is forgotten by itself. */
  tidying: tidyStanding.optional(),
});
export type ScheduleStanding = z.infer<typeof scheduleStanding>;

export const effectiveSet = z.object({
  set: z.string(),
  paths: sourced(z.array(z.string())),
  exclude: z.array(sourced(z.string())),
  oneFileSystem: sourced(z.boolean()),
  profile: sourced(z.string()),
  tags: sourced(z.array(z.string())),
  /** `null`: only when told. */
  schedule: sourced(
    z
      .object({
        everyMs: count.optional(),
        cron: z.string().optional(),
        timeZone: z.string().optional(),
        jitterMs: count,
        catchUp: z.boolean(),
      })
      .nullable(),
  ),
  /** `null`: changes begin no snapshot. */
  continuousMs: sourced(count.nullable()),
  keep: sourced(keepRules),
  forget: sourced(z.enum(["by-itself", "when-told"])),
  lockMs: sourced(count),
  hooks: sourced(
    z.object({
      before: z.array(z.string()).optional(),
      after: z.array(z.string()).optional(),
      timeLimitMs: count.optional(),
    }),
  ),
  priority: sourced(z.int()),
});
export type EffectiveSetInfo = z.infer<typeof effectiveSet>;

export const policySetRequest = z.object({ text: z.string().max(1024 * 1024) }).strict();
export type PolicySetRequest = z.infer<typeof policySetRequest>;

export const policyResult = z.object({
  state: policyState,
  /** What is wrong with the file; what is in force is then the last valid one since the daemon's start. */
  issues: z.array(policyIssue),
  uplink: uplinkStanding.optional(),
  /** In force on this node, in the order of the file. */
  sets: z.array(effectiveSet),
});
export type PolicyResult = z.infer<typeof policyResult>;

export const snapshotSetRequest = z.object({ set: z.string().min(1).max(64) }).strict();
export type SnapshotSetRequest = z.infer<typeof snapshotSetRequest>;

/** By name; else by `keep`, else by the rules of each set. */
export const forgetRequest = z
  .object({
    dryRun: z.boolean(),
    snapshots: z.array(z.string().max(255)).max(1000).optional(),
    set: z.string().max(64).optional(),
    keep: keepRules.strict().optional(),
  })
  .strict();
export type ForgetRequest = z.infer<typeof forgetRequest>;

export const retentionVerdict = z.object({
  snapshotId: z.string(),
  time: isoTime,
  /** Absent: of no set of the policy. */
  set: z.string().optional(),
  tags: z.array(z.string()),
  pinned: z.boolean(),
  keep: z.boolean(),
  /** At least one. `rule` is a stable word for scripts. */
  reasons: z.array(z.object({ rule: z.string(), text: z.string() })),
});
export type RetentionVerdictInfo = z.infer<typeof retentionVerdict>;

export const forgetResult = z.object({
  dryRun: z.boolean(),
  /** By the times in receipts for the newest segments; absent where nobody can tell. */
  clockAheadMs: z.int().optional(),
  sets: z.array(z.object({ set: z.string(), rules: z.string(), kept: count, forgotten: count })),
  /** In the order of sets, then of their making. */
  snapshots: z.array(retentionVerdict),
});
export type ForgetResult = z.infer<typeof forgetResult>;

export const pinRequest = z.object({ ...snapshotSelector.shape, pinned: z.boolean() }).strict();
export type PinRequest = z.infer<typeof pinRequest>;

/** Why somebody should look at a snapshot. */
export const snapshotMark = z.object({ kind: z.enum(["anomaly", "clock"]), text: z.string() });

export const unmarkRequest = z.object({ ...snapshotSelector.shape }).strict();
export type UnmarkRequest = z.infer<typeof unmarkRequest>;

export const unmarkResult = z.object({
  snapshotId: z.string(),
  time: isoTime,
  /** Those that it had. */
  marks: z.array(snapshotMark),
});
export type UnmarkResult = z.infer<typeof unmarkResult>;

export const pinResult = z.object({ snapshotId: z.string(), time: isoTime, pinned: z.boolean() });
export type PinResult = z.infer<typeof pinResult>;
