import { z } from "zod";
import { isFault } from "../base/fault.ts";
import { compileGlobs } from "../base/glob.ts";
import { bytePathOf, displayPath, normalizePath } from "../base/paths.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, parseBitRate, parseDuration, SECOND_MS } from "../base/units.ts";
import { checkCron } from "./timing.ts";
import { minuteOf, WEEKDAYS } from "./uplink.ts";

/** Of one file: each is looked at several times a minute. */
export const SETS_MAX = 64;
/** The tag of a set's snapshots: what its retention goes by, whatever its paths were. */
export const setTag = (name: string): string => `set:${name}`;

/** As `wire/lock` has it. */
const LOCK_MAX_MS = 400 * DAY_MS;
const EVERY_MIN_MS = MINUTE_MS;
const EVERY_MAX_MS = 366 * DAY_MS;
const CONTINUOUS_MIN_MS = 30 * SECOND_MS;
const CONTINUOUS_MAX_MS = DAY_MS;
const HOOK_LIMIT_MAX_MS = 24 * HOUR_MS;

function duration(what: string, range: { readonly min: number; readonly max: number }) {
  return z.string(`${what} is a duration in words, such as 36h or 30d`).transform((text, context): number => {
    const ms = parseDuration(text);
    if (ms !== undefined && ms >= range.min && ms <= range.max) return ms;
    const why =
      ms === undefined
        ? `"${text}" is not a duration, such as 15min, 36h or 30d`
        : `${what} is from ${range.min / MINUTE_MS} min to ${range.max / DAY_MS} d`;
    context.addIssue({ code: "custom", message: why });
    return z.NEVER;
  });
}

/** Throws of `check` are what is wrong with a text. */
function checked(check: (text: string) => void, max = 4096) {
  return z
    .string()
    .min(1)
    .max(max)
    .superRefine((text, context) => {
      try {
        check(text);
      } catch (error) {
        const message = isFault(error) || error instanceof RangeError ? error.message : "not understood";
        context.addIssue({ code: "custom", message });
      }
    });
}

const glob = checked((text) => void compileGlobs([bytePathOf(text)], { coversBelow: true }));
const tag = z
  .string()
  .min(1)
  .max(255)
  .refine(
    (text) => !text.startsWith("set:") && !text.startsWith("cairn:"),
    'tags that begin with "set:" or "cairn:" are given by cairn itself',
  );
const argv = z
  .array(z.string().min(1).max(4096), "a command is a list of its words: [systemctl, stop, shop]")
  .min(1)
  .max(64);
const COUNT = 'a number from 0 to 100000, or "all"';
const count = z.union([z.int(COUNT).min(0, COUNT).max(100_000, COUNT), z.literal("all")], COUNT);

const schedule = z.union([
  z.literal("none"),
  z
    .object({
      every: duration("every", { min: EVERY_MIN_MS, max: EVERY_MAX_MS }).exactOptional(),
      cron: checked(checkCron, 256).exactOptional(),
      "time-zone": checked(checkZone, 64).exactOptional(),
      jitter: duration("jitter", { min: 0, max: 12 * HOUR_MS }).exactOptional(),
      "catch-up": z.boolean().exactOptional(),
    })
    .strict()
    .superRefine((given, context) => {
      const { every, cron, jitter = 0 } = given;
      if ((every === undefined) === (cron === undefined))
        context.addIssue({ code: "custom", message: 'a schedule has either "every" or "cron"' });
      if (every !== undefined && jitter * 2 > every)
        context.addIssue({ code: "custom", path: ["jitter"], message: "jitter is at most half of every" });
    }),
]);

const keep = z
  .object({
    last: count.exactOptional(),
    hourly: count.exactOptional(),
    daily: count.exactOptional(),
    weekly: count.exactOptional(),
    monthly: count.exactOptional(),
    yearly: count.exactOptional(),
    tags: z.array(tag).max(64).exactOptional(),
    "time-zone": checked(checkZone, 64).exactOptional(),
  })
  .strict();
export type Keep = z.output<typeof keep>;

const hooks = z
  .object({
    before: argv.exactOptional(),
    after: argv.exactOptional(),
    "time-limit": duration("time-limit", { min: 0, max: HOOK_LIMIT_MAX_MS }).exactOptional(),
  })
  .strict();
export type Hooks = z.output<typeof hooks>;

/** Who takes off the list what the rules do not keep: the daemon, or somebody with `cairn forget`. */
const FORGETS = ["by-itself", "when-told"] as const;
export type Forgets = (typeof FORGETS)[number];

/** Below it a shard of 2.7 MiB takes longer than a minute and a half, and what has to be repaired at once waits behind it. */
const RATE_MIN_BITS = 256_000;
const bitRate = z.string("a rate in words, such as 2Mbit/s").transform((text, context): number => {
  const bits = parseBitRate(text);
  if (bits !== undefined && bits >= RATE_MIN_BITS) return bits;
  const why =
    bits === undefined
      ? `"${text}" is not a rate, such as 2Mbit/s`
      : "at least 256kbit/s; when snapshots begin is said by their schedule";
  context.addIssue({ code: "custom", message: why });
  return z.NEVER;
});
const timeOfDay = z.string('a time of day in quotes, such as "18:00"').transform((text, context): number => {
  const minute = minuteOf(text);
  if (minute !== undefined) return minute;
  context.addIssue({ code: "custom", message: `"${text}" is not a time of day, such as 18:00` });
  return z.NEVER;
});

const WINDOWS_MAX = 32;
const uplink = z
  .object({
    "at-most": bitRate.exactOptional(),
    "time-zone": checked(checkZone, 64).exactOptional(),
    windows: z
      .array(
        z
          .object({
            from: timeOfDay,
            to: timeOfDay,
            days: z.array(z.enum(WEEKDAYS)).min(1).max(7).exactOptional(),
            "at-most": bitRate,
          })
          .strict(),
      )
      .max(WINDOWS_MAX)
      .exactOptional(),
  })
  .strict();
export type Uplink = z.output<typeof uplink>;

/** What may be said on every level; the nearest one counts. */
const level = {
  exclude: z.array(glob).max(1000).exactOptional(),
  "one-file-system": z.boolean().exactOptional(),
  profile: checked(checkProfile, 8).exactOptional(),
  tags: z.array(tag).max(64).exactOptional(),
  schedule: schedule.exactOptional(),
  continuous: z
    .union([z.literal("none"), duration("continuous", { min: CONTINUOUS_MIN_MS, max: CONTINUOUS_MAX_MS })])
    .exactOptional(),
  keep: keep.exactOptional(),
  forget: z.enum(FORGETS, 'forget is "by-itself" or "when-told"').exactOptional(),
  lock: duration("lock", { min: 0, max: LOCK_MAX_MS }).exactOptional(),
  hooks: hooks.exactOptional(),
  priority: z.int().min(-100).max(100).exactOptional(),
};
export const LEVEL_KEYS = Object.keys(level);
export type PolicyLevel = z.output<z.ZodObject<typeof level>>;
/** What is said of a node and not of a set. */
const nodeLevel = z.object({ ...level, uplink: uplink.exactOptional() }).strict();

const name = z
  .string()
  .regex(/^[\w.-]{1,64}$/, "a name is up to 64 letters, digits, dots, hyphens and underscores");
const named = <T extends z.ZodType>(what: T, max: number) =>
  z.record(name, what).refine((given) => Object.keys(given).length <= max, `at most ${max}`);

const path = checked((text) => {
  if (!text.startsWith("/")) throw new RangeError(`"${text}" is not an absolute path`);
  if (displayPath(normalizePath(bytePathOf(text), bytePathOf("/"))) !== text)
    throw new RangeError(`"${text}" is not a plain path: no "..", no double or last slash`);
});

const set = z
  .object({
    ...level,
    paths: z.array(path, "a list of absolute paths").min(1).max(1000),
    /** Only there; everywhere where neither is given. */
    sites: z.array(z.string().min(1).max(64)).max(1000).exactOptional(),
    nodes: z.array(z.string().min(1).max(255)).max(5000).exactOptional(),
  })
  .strict();
export type PolicySet = z.output<typeof set>;

export const policyDocument = z
  .object({
    version: z.literal(1, "this program reads version 1 of the policy file"),
    defaults: nodeLevel.exactOptional(),
    sites: named(nodeLevel, 1000).exactOptional(),
    nodes: named(nodeLevel, 5000).exactOptional(),
    sets: named(set, SETS_MAX).exactOptional(),
  })
  .strict();
export type PolicyDocument = z.output<typeof policyDocument>;

function checkZone(zone: string): void {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
  } catch {
    throw new RangeError(`"${zone}" is no time zone, such as Europe/Berlin or UTC`);
  }
}

function checkProfile(text: string): void {
  if (text === "auto") return;
  const [, k = 0, m = 0] = /^(\d{1,2})\+(\d{1,2})$/.exec(text)?.map(Number) ?? [];
  if (k < 1 || k + m > 64) throw new RangeError(`"${text}" is not a profile, such as 6+3 or auto`);
}
