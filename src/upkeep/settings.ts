import { z } from "zod";
import { Fault } from "../base/fault.ts";
import { DAY_MS, GIB, HOUR_MS, MIB, MINUTE_MS, parseDuration, parseSize } from "../base/units.ts";
import { NIGHT_FROM_HOUR, NIGHT_TO_HOUR, parseShare, parseUplink, type Schedule } from "./budget.ts";
import { GC_RULES, type GcRules } from "./deletion.ts";
import { BACK_OFF, type BackOff } from "./election.ts";
import { GRACE_RULES, type GraceRules } from "./grace.ts";
import { LIVENESS_RULES, type LivenessRules } from "./liveness.ts";
import { STORM_RULES, type StormRules } from "./storm.ts";
import { SURPLUS_RULES, type SurplusRules } from "./surplus.ts";

/** Every clock and bound of policy that an operator may set. */
export interface UpkeepSettings {
  readonly liveness: LivenessRules;
  readonly grace: GraceRules;
  readonly storm: StormRules;
  readonly backOff: BackOff;
  /** What repair may send. */
  readonly schedule: Schedule;
  /** How often a node says that it is up. */
  readonly beatEveryMs: number;
  /** Who is up is judged anew after so long at the latest. @default a minute */
  readonly checkMaxMs?: number;
  /** How often segments are assessed when nothing has changed. */
  readonly assessEveryMs: number;
  /** How often each holder is audited. */
  readonly auditEveryMs: number;
  /** How often, and after how long, copies that are one too many are looked at. */
  readonly sweep: {
    readonly everyMs: number;
    readonly rules: SurplusRules;
    /** So many a day, by this node; and so many are proven and promised a day to each other one. */
    readonly copiesADay: number;
  };
  /** How often, and by which rules, shards that their owners do not want any more are looked at. */
  readonly collection: {
    readonly everyMs: number;
    readonly rules: GcRules;
    /** What an owner fetches and sends in a day to copy what is left of its own segments into new ones. */
    readonly compactADayBytes: number;
  };
  /** How often an owner forgets by its policy, at least so long after the last time, and gives back what that freed. */
  readonly tidying: {
    readonly forgetEveryMs: number;
    readonly forgetPauseMs: number;
    readonly pruneEveryMs: number;
    /** A snapshot with less that is new is never marked for what is new in it. */
    readonly anomalyBytes: number;
  };
}

export const UPKEEP_SETTINGS: UpkeepSettings = {
  liveness: LIVENESS_RULES,
  grace: GRACE_RULES,
  storm: STORM_RULES,
  backOff: BACK_OFF,
  schedule: {
    uplinkBitsPerSecond: 10_000_000,
    dayShare: 0.2,
    nightShare: 0.8,
    nightFromHour: NIGHT_FROM_HOUR,
    nightToHour: NIGHT_TO_HOUR,
  },
  beatEveryMs: 5 * MINUTE_MS,
  assessEveryMs: 10 * MINUTE_MS,
  auditEveryMs: DAY_MS,
  // A terabyte of shards of 2.7 MiB in a month and a half. For each copy n shards are read by others: 8,192 a day are
  // 23 GB a day of each holder of a small swarm, a third of what it reads when it scrubs a terabyte in a fortnight.
  sweep: { everyMs: HOUR_MS, rules: SURPLUS_RULES, copiesADay: 8192 },
  // A tenth of what the default share of the default uplink sends in a day.
  collection: { everyMs: 6 * HOUR_MS, rules: GC_RULES, compactADayBytes: 2 * GIB },
  tidying: { forgetEveryMs: DAY_MS, forgetPauseMs: HOUR_MS, pruneEveryMs: DAY_MS, anomalyBytes: 16 * MIB },
};

/** A beat may be lost and the next one late before anybody calls the node unreachable. */
const BEATS_UNTIL_UNREACHABLE = 3;
const DURATION_MAX_MS = 3650 * DAY_MS;

const durationFrom = (leastMs: number) =>
  z
    .string()
    .max(20)
    .refine((text) => {
      const ms = parseDuration(text);
      return ms !== undefined && ms >= leastMs && ms <= DURATION_MAX_MS;
    }, `must be a time such as 30m, 24h or 7d, at least ${leastMs} ms`)
    .transform((text) => parseDuration(text) ?? leastMs);
const optional = (leastMs: number) => durationFrom(leastMs).exactOptional();
const readable = <T>(parse: (text: string) => T) =>
  z
    .string()
    .max(40)
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        context.addIssue({ code: "custom", message: error.message });
        return z.NEVER;
      }
    });

const schema = z
  .object({
    beatEvery: optional(100),
    unreachableAfter: optional(300),
    beatSlack: optional(1),
    reportValid: optional(300),
    returnStable: optional(0),
    lostAfter: optional(1),
    outageMax: optional(1),
    /** For margin 0 and below, 1, 2, ...; the last one for all larger margins. */
    grace: z
      .array(durationFrom(0))
      .min(1)
      .max(16)
      .refine((table) => table.every((ms, at) => ms >= (table[at - 1] ?? 0)), "must not fall as margins rise")
      .exactOptional(),
    firstGraceWithOwner: optional(0),
    storm: z
      .object({
        window: optional(1),
        frozen: optional(0),
        share: readable(parseShare).exactOptional(),
        nodes: z.int().min(1).exactOptional(),
      })
      .strict()
      .exactOptional(),
    backOff: z
      .object({ step: optional(1), urgentStep: optional(1), steps: z.int().min(1).max(1000).exactOptional() })
      .strict()
      .exactOptional(),
    assessEvery: optional(100),
    auditEvery: optional(100),
    sweep: z
      .object({
        every: optional(100),
        settled: optional(1000),
        copiesADay: z.int().min(32).max(100_000).exactOptional(),
      })
      .strict()
      .exactOptional(),
    collection: z
      .object({
        every: optional(100),
        delay: optional(1000),
        trash: optional(1000),
        brakeWindow: optional(1000),
        brake: readable(parseShare).exactOptional(),
        compactADay: z
          .string()
          .max(20)
          .refine((text) => parseSize(text) !== undefined, "must be a size such as 2GiB")
          .transform((text) => parseSize(text) ?? 0)
          .exactOptional(),
      })
      .strict()
      .exactOptional(),
    tidying: z
      .object({
        forgetEvery: optional(1000),
        forgetPause: optional(100),
        pruneEvery: optional(1000),
        anomalyBytes: readable(parseBytes).exactOptional(),
      })
      .strict()
      .exactOptional(),
    uplink: readable(parseUplink).exactOptional(),
    budget: readable(parseShare).exactOptional(),
    night: readable(parseShare).exactOptional(),
  })
  .strict();

/** `upkeep` of `settings.json`, as it is written there: what is missing has its default. */
export type UpkeepText = z.input<typeof schema>;

/** Throws `USAGE` for what is no such object, and where times do not go together. */
export function parseUpkeep(text: unknown): UpkeepSettings {
  const read = schema.safeParse(text);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw unusable(`${issue?.path.join(".") ?? ""}: ${(issue?.message ?? "unknown").replace(/\.$/, "")}`);
  }
  const { storm = {}, backOff = {}, sweep = {}, collection = {}, tidying = {}, ...one } = read.data;
  const base = UPKEEP_SETTINGS;
  const settings: UpkeepSettings = {
    liveness: {
      unreachableAfterMs: one.unreachableAfter ?? base.liveness.unreachableAfterMs,
      beatSlackMs: one.beatSlack ?? base.liveness.beatSlackMs,
      outageMaxMs: one.outageMax ?? base.liveness.outageMaxMs,
      reportValidMs: one.reportValid ?? base.liveness.reportValidMs,
      returnStableMs: one.returnStable ?? base.liveness.returnStableMs,
      lostAfterMs: one.lostAfter ?? base.liveness.lostAfterMs,
    },
    grace: {
      byMarginMs: one.grace ?? base.grace.byMarginMs,
      firstWithOwnerMs: one.firstGraceWithOwner ?? base.grace.firstWithOwnerMs,
    },
    storm: {
      windowMs: storm.window ?? base.storm.windowMs,
      frozenMs: storm.frozen ?? base.storm.frozenMs,
      shareMax: storm.share ?? base.storm.shareMax,
      nodesMin: storm.nodes ?? base.storm.nodesMin,
    },
    backOff: {
      stepMs: backOff.step ?? base.backOff.stepMs,
      urgentStepMs: backOff.urgentStep ?? base.backOff.urgentStepMs,
      stepsMax: backOff.steps ?? base.backOff.stepsMax,
    },
    schedule: {
      ...base.schedule,
      uplinkBitsPerSecond: one.uplink ?? base.schedule.uplinkBitsPerSecond,
      dayShare: one.budget ?? base.schedule.dayShare,
      nightShare: one.night ?? base.schedule.nightShare,
    },
    beatEveryMs: one.beatEvery ?? base.beatEveryMs,
    assessEveryMs: one.assessEvery ?? base.assessEveryMs,
    auditEveryMs: one.auditEvery ?? base.auditEveryMs,
    sweep: {
      everyMs: sweep.every ?? base.sweep.everyMs,
      rules: { ...base.sweep.rules, settledMs: sweep.settled ?? base.sweep.rules.settledMs },
      copiesADay: sweep.copiesADay ?? base.sweep.copiesADay,
    },
    collection: {
      everyMs: collection.every ?? base.collection.everyMs,
      rules: {
        delayMs: collection.delay ?? base.collection.rules.delayMs,
        trashMs: collection.trash ?? base.collection.rules.trashMs,
        brakeWindowMs: collection.brakeWindow ?? base.collection.rules.brakeWindowMs,
        brakeShare: collection.brake ?? base.collection.rules.brakeShare,
      },
      compactADayBytes: collection.compactADay ?? base.collection.compactADayBytes,
    },
    tidying: {
      forgetEveryMs: tidying.forgetEvery ?? base.tidying.forgetEveryMs,
      forgetPauseMs: tidying.forgetPause ?? base.tidying.forgetPauseMs,
      pruneEveryMs: tidying.pruneEvery ?? base.tidying.pruneEveryMs,
      anomalyBytes: tidying.anomalyBytes ?? base.tidying.anomalyBytes,
    },
  };
  checkTimes(settings);
  return settings;
}

function parseBytes(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined)
    throw new Fault({ code: "USAGE", reason: `"${text}" is not a size, such as 16MiB` });
  return bytes;
}

function checkTimes({ liveness, beatEveryMs }: UpkeepSettings): void {
  const { unreachableAfterMs, lostAfterMs, reportValidMs } = liveness;
  if (unreachableAfterMs < BEATS_UNTIL_UNREACHABLE * beatEveryMs) {
    throw unusable(`unreachableAfter has to be at least ${BEATS_UNTIL_UNREACHABLE} times beatEvery`);
  }
  if (lostAfterMs <= unreachableAfterMs) throw unusable("lostAfter has to be more than unreachableAfter");
  if (reportValidMs < unreachableAfterMs / 2)
    throw unusable("reportValid has to be at least half of unreachableAfter");
}

function unusable(reason: string): Fault {
  return new Fault({ code: "USAGE", reason: `settings.json, upkeep: ${reason}.` });
}

/** Between two looks at who is up: often enough that no threshold is late by more than a thirtieth, and at most a minute in the field. */
export function checkEveryMs({ liveness, checkMaxMs = MINUTE_MS }: UpkeepSettings): number {
  return Math.max(100, Math.min(checkMaxMs, liveness.unreachableAfterMs / 30));
}

/** How long a node that has just begun to listen waits before it says of itself that it is cut off. */
export function settlingMs({ liveness, beatEveryMs }: UpkeepSettings): number {
  return Math.min(liveness.unreachableAfterMs, 2 * beatEveryMs, HOUR_MS);
}
