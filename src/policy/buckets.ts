import type { Keep } from "./schema.ts";

/** What of a snapshot the calendar rules look at. */
export interface Dated {
  readonly timeMs: number;
  readonly sequence: number;
}

export const BUCKET_RULES = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;
export type BucketRule = (typeof BUCKET_RULES)[number];

/** A rule that keeps a snapshot; `oldest`: there are not as many as the rule would keep, so it keeps the oldest too. */
export interface BucketHit {
  readonly rule: BucketRule;
  readonly oldest: boolean;
}

/**
 * Which snapshots the calendar rules keep: the newest one of each of the newest `n` hours, days, weeks, months or years
 * in which there are any. The rules are independent of each other, and one that keeps it is enough. Times are those of
 * `timeZone`; weeks begin on Monday.
 */
export function keptByBuckets<T extends Dated>(snapshots: readonly T[], keep: Keep): Map<T, BucketHit[]> {
  const newestFirst = [...snapshots].sort((a, b) => b.timeMs - a.timeMs || b.sequence - a.sequence);
  const calendar = calendarOf(keep["time-zone"] ?? "UTC");
  const days = newestFirst.map(({ timeMs }) => calendar(timeMs));
  const kept = new Map<T, BucketHit[]>();
  for (const rule of BUCKET_RULES) {
    let left = keep[rule] ?? 0;
    let before: string | undefined;
    for (const [position, snapshot] of newestFirst.entries()) {
      if (left === 0) break;
      const day = days[position];
      const bucket = day === undefined || rule === "last" ? String(position) : bucketOf(rule, day);
      const isOldest = position === newestFirst.length - 1;
      if (bucket === before && !isOldest) continue;
      kept.set(snapshot, [...(kept.get(snapshot) ?? []), { rule, oldest: bucket === before }]);
      before = bucket;
      if (left !== "all") left--;
    }
  }
  return kept;
}

interface CalendarDay {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
}

function bucketOf(rule: Exclude<BucketRule, "last">, { year, month, day, hour }: CalendarDay): string {
  switch (rule) {
    case "hourly":
      return `${year}-${month}-${day} ${hour}`;
    case "daily":
      return `${year}-${month}-${day}`;
    case "weekly":
      return weekOf(year, month, day);
    case "monthly":
      return `${year}-${month}`;
    case "yearly":
      return String(year);
  }
}

const DAY_MS = 86_400_000;

/** By its Thursday: the week belongs to the year that most of its days are in (ISO 8601). */
function weekOf(year: number, month: number, day: number): string {
  const midnightMs = Date.UTC(year, month - 1, day);
  const weekday = (new Date(midnightMs).getUTCDay() + 6) % 7;
  const thursday = new Date(midnightMs + (3 - weekday) * DAY_MS);
  const firstMs = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  return `${thursday.getUTCFullYear()}-W${Math.floor((thursday.getTime() - firstMs) / DAY_MS / 7) + 1}`;
}

function calendarOf(timeZone: string): (timeMs: number) => CalendarDay {
  const format = new Intl.DateTimeFormat("en-US", {
    ...{ timeZone, hourCycle: "h23", calendar: "gregory", numberingSystem: "latn" },
    ...{ year: "numeric", month: "numeric", day: "numeric", hour: "numeric" },
  });
  return (timeMs) => {
    const fields = { year: 0, month: 0, day: 0, hour: 0 };
    for (const { type, value } of format.formatToParts(timeMs))
      if (type === "year" || type === "month" || type === "day" || type === "hour")
        fields[type] = Number(value);
    return fields;
  };
}
