import { describe, expect, it } from "vitest";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import { keptByBuckets } from "../../../src/policy/buckets.ts";
import { decideAsked, decideRetention, type RetentionCandidate } from "../../../src/policy/retention.ts";
import type { Keep } from "../../../src/policy/schema.ts";

// The dates of restic's own tests of its `forget` rules, and what they expect of them: users come from there.

const days = (month: string, list: string): string[] =>
  list.split(" ").map((day) => `${month}-${day}T10:20:30Z`);
const LATE_SUMMER = "01 02 05 06 08 09 10 11 20 22";
const HALF_MONTH = "08 10 12 13 15 18 20 21 22";
const DATES = [
  ...days("2014-08", HALF_MONTH),
  ...days("2014-09", LATE_SUMMER),
  ...days("2014-10", LATE_SUMMER),
  ...days("2014-11", HALF_MONTH),
  ...days("2015-08", HALF_MONTH),
  ...days("2015-09", LATE_SUMMER),
  ...days("2015-10", `${LATE_SUMMER} 22 22 22 22`),
  ...days("2015-11", HALF_MONTH),
  ...["2014-08", "2014-11", "2015-08", "2015-11"].map((month) => `${month}-13T10:20:30.100Z`),
  ...["01:02:03", "01:03:03", "07:08:03"].map((time) => `2016-01-01T${time}Z`),
  "2016-01-03T07:02:03Z",
  ...["10:23", "11:23", "12:23", "12:24", "12:28", "12:30", "16:23"].map((time) => `2016-01-04T${time}:03Z`),
  ...["05T09", "06T08", "07T10", "08T20", "09T21", "12T21"].map((time) => `2016-01-${time}:02:03Z`),
  ...["2016-01-12T21:08:03Z", "2016-01-18T12:02:03Z"],
].sort();
const SNAPSHOTS = DATES.map((date, sequence) => ({ timeMs: Date.parse(date), sequence }));

const kept = (keep: Keep): string[] =>
  [...keptByBuckets(SNAPSHOTS, keep)]
    .map(([{ timeMs }, hits]) => {
      const oldest = hits.some((hit) => hit.oldest) ? " (oldest)" : "";
      return `${new Date(timeMs).toISOString().slice(0, 16)}${oldest}`;
    })
    .sort()
    .reverse();

const NEWEST_DAYS = ["2016-01-18T12:02", "2016-01-12T21:08", "2016-01-09T21:02"];
const NEWEST_OF_MONTHS = ["2015-11-22T10:20", "2015-10-22T10:20", "2015-09-22T10:20", "2015-08-22T10:20"];

describe("calendar rules keep what restic's documentation says", () => {
  it.each<[Keep, readonly string[]]>([
    [{ daily: 3 }, NEWEST_DAYS],
    [{ weekly: 2 }, NEWEST_DAYS.slice(0, 2)],
    [
      { daily: 2, weekly: 2, monthly: 6 },
      [...NEWEST_DAYS.slice(0, 2), ...NEWEST_OF_MONTHS, "2014-11-22T10:20"],
    ],
    [
      { yearly: 10 },
      ["2016-01-18T12:02", "2015-11-22T10:20", "2014-11-22T10:20", "2014-08-08T10:20 (oldest)"],
    ],
    [
      { daily: 3, weekly: 2, monthly: "all", yearly: "all" },
      [
        ...NEWEST_DAYS,
        ...NEWEST_OF_MONTHS,
        ...["2014-11-22T10:20", "2014-10-22T10:20", "2014-09-22T10:20", "2014-08-22T10:20"],
        "2014-08-08T10:20 (oldest)",
      ],
    ],
    [
      { hourly: 20 },
      [
        ...NEWEST_DAYS,
        ...[
          "2016-01-08T20:02",
          "2016-01-07T10:02",
          "2016-01-06T08:02",
          "2016-01-05T09:02",
          "2016-01-04T16:23",
        ],
        ...[
          "2016-01-04T12:30",
          "2016-01-04T11:23",
          "2016-01-04T10:23",
          "2016-01-03T07:02",
          "2016-01-01T07:08",
        ],
        ...[
          "2016-01-01T01:03",
          "2015-11-22T10:20",
          "2015-11-21T10:20",
          "2015-11-20T10:20",
          "2015-11-18T10:20",
        ],
        ...["2015-11-15T10:20", "2015-11-13T10:20"],
      ],
    ],
  ])("%j", (keep, expected) => {
    expect(kept(keep)).toEqual([...expected].sort().reverse());
  });

  it.each([
    [10, 10],
    [99, 99],
    [10_000, DATES.length],
  ])("last %i keeps %i", (last, expected) => {
    expect(keptByBuckets(SNAPSHOTS, { last }).size).toBe(expected);
    expect(keptByBuckets(SNAPSHOTS, { last: "all" }).size).toBe(DATES.length);
  });

  it("a snapshot on each of 12 Sundays and daily 4: the last four Sundays", () => {
    const sundays = Array.from({ length: 12 }, (_, i) => ({
      ...{ timeMs: Date.UTC(2019, 8, 1, 11) + i * 7 * DAY_MS, sequence: i },
    }));
    expect([...keptByBuckets(sundays, { daily: 4 }).keys()].map(({ sequence }) => sequence)).toEqual([
      11, 10, 9, 8,
    ]);
  });

  it("a snapshot a day for 100 years and 7 daily, 5 weekly, 12 monthly, 75 yearly", () => {
    const century = Array.from({ length: 36_525 }, (_, i) => ({
      timeMs: Date.UTC(1950, 0, 1, 3) + i * DAY_MS,
      sequence: i,
    }));
    const hits = [...keptByBuckets(century, { daily: 7, weekly: 5, monthly: 12, yearly: 75 }).values()];
    const of = (rule: string): number => hits.filter((each) => each.some((hit) => hit.rule === rule)).length;
    expect([of("daily"), of("weekly"), of("monthly"), of("yearly")]).toEqual([7, 5, 12, 75]);
    // The newest one is all four; 11 more months of which one ends with a week, 74 more years.
    expect(hits.length).toBe(7 + 4 + 11 - 1 + 74);
  });

  it("days are those of the time zone, weeks those of ISO 8601", () => {
    const at = (...times: string[]) =>
      times.map((time, sequence) => ({ timeMs: Date.parse(time), sequence }));
    const late = at("2026-01-10T22:30Z", "2026-01-10T23:30Z");
    expect(keptByBuckets(late, { daily: 2 }).size).toBe(2); // one of them as the oldest
    const three = at("2026-01-09T12:00Z", "2026-01-10T22:30Z", "2026-01-10T23:30Z");
    const sequences = (keep: Keep) => [...keptByBuckets(three, keep).keys()].map(({ sequence }) => sequence);
    expect(sequences({ daily: 2 })).toEqual([2, 0]);
    expect(sequences({ daily: 2, "time-zone": "Europe/Berlin" })).toEqual([2, 1]);
    // Sunday ends week 53 of 2026 although it is in 2027.
    const turn = at("2020-01-01T00:00Z", "2026-12-31T12:00Z", "2027-01-03T12:00Z", "2027-01-04T12:00Z");
    expect([...keptByBuckets(turn, { weekly: 2 }).keys()].map(({ sequence }) => sequence)).toEqual([3, 2]);
  });
});

const NOW_MS = Date.UTC(2026, 10, 21, 12);

/** One a day, the newest an hour old. */
function daily(
  count: number,
  changes: (ageDays: number) => Partial<RetentionCandidate> = () => ({}),
): RetentionCandidate[] {
  return Array.from({ length: count }, (_, i): RetentionCandidate => {
    const ageDays = count - 1 - i;
    return {
      ...{ id: `d${ageDays}`, sequence: 100 + i, timeMs: NOW_MS - HOUR_MS - ageDays * DAY_MS },
      ...{ tags: [], state: "safe", pinned: false },
      ...changes(ageDays),
    };
  });
}

const decided = (snapshots: readonly RetentionCandidate[], keep: Keep, clockAheadMs?: number) =>
  decideRetention(snapshots, keep, {
    nowMs: NOW_MS,
    ...(clockAheadMs === undefined ? {} : { clockAheadMs }),
  });
const forgotten = (...args: Parameters<typeof decided>): string[] =>
  decided(...args)
    .filter((verdict) => !verdict.keep)
    .map(({ id }) => id);
const rulesOf = (id: string, ...args: Parameters<typeof decided>): string[] =>
  decided(...args)
    .filter((verdict) => verdict.id === id)
    .flatMap(({ reasons }) => reasons.map(({ rule }) => rule));

describe("what is kept beside the rules", () => {
  it("every verdict has its reason, and what is forgotten says which rules do not keep it", () => {
    const verdicts = decided(daily(30), { daily: 3 });
    // As of now d0 to d2, as of a week ago d7 to d9.
    expect(verdicts.filter(({ keep }) => keep).map(({ id }) => id)).toEqual([
      "d9",
      "d8",
      "d7",
      "d2",
      "d1",
      "d0",
    ]);
    expect(verdicts.find(({ id }) => id === "d0")?.reasons).toEqual([
      { rule: "daily", text: "daily" },
      { rule: "newest-safe", text: "one of the newest 3 that are safe" },
    ]);
    expect(verdicts.find(({ id }) => id === "d8")?.reasons[0]?.text).toBe("daily as of a week ago");
    expect(verdicts.find(({ id }) => id === "d20")?.reasons).toEqual([
      { rule: "not-kept", text: "no rule keeps it (daily 3)" },
    ]);
  });

  it("without a rule everything", () => {
    for (const keep of [{}, { last: 0 }, { tags: [] }]) expect(forgotten(daily(30), keep)).toEqual([]);
    expect(rulesOf("d20", daily(30), {})).toEqual(["no-rule"]);
  });

  it("what is pinned, tagged, locked, partial, pending or marked", () => {
    const odd = daily(30, (age) => ({
      pinned: age === 11,
      ...(age === 12 ? { tags: ["before-upgrade"] } : {}),
      ...(age === 13 ? { lockedUntilMs: NOW_MS + 1 } : {}),
      ...(age === 14 ? { lockedUntilMs: NOW_MS } : {}),
      ...(age === 15 ? { state: "partial" as const } : {}),
      ...(age === 16 ? { state: "pending" as const } : {}),
    }));
    const keep = { daily: 1, tags: ["before-upgrade"] };
    expect(forgotten(odd, keep)).toContain("d14");
    for (const id of ["d11", "d12", "d13", "d15", "d16"]) expect(forgotten(odd, keep)).not.toContain(id);
    expect(rulesOf("d13", odd, keep)).toEqual(["locked"]);
  });

  it("the newest three that are safe, however the newer ones are", () => {
    const bad = daily(30, (age) => (age < 20 ? { state: "pending" as const } : {}));
    expect(rulesOf("d20", bad, { yearly: 1 })).toContain("newest-safe");
    expect(rulesOf("d22", bad, { yearly: 1 })).toContain("newest-safe");
    expect(forgotten(bad, { yearly: 1 })).toEqual(["d29", "d28", "d27", "d26", "d25", "d24", "d23"]);
  });

  it("nothing besides itself for one that a wrong clock made, and is known for it", () => {
    const wrong = { mark: "a clock that was wrong", holdsEarlier: false, misdated: true };
    const years = 3650;
    const snapshots = daily(30, (age) => (age === 10 ? { ...wrong, timeMs: NOW_MS + years * DAY_MS } : {}));
    expect(rulesOf("d10", snapshots, { daily: 1 })).toEqual(["marked"]);
    expect(forgotten(snapshots, { daily: 1 })).toContain("d29");
    expect(forgotten(snapshots, { daily: 1 })).toContain("d5");
    const unknown = daily(30, (age) => (age === 10 ? { timeMs: NOW_MS + years * DAY_MS } : {}));
    expect(forgotten(unknown, { daily: 1 })).toEqual([]);
    const asked = decideAsked(unknown, new Set(["d10", "d29"]), { nowMs: NOW_MS });
    expect(
      asked
        .filter(({ keep }) => !keep)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(["d10", "d29"]);
  });

  it("everything before one that is marked", () => {
    const marked = daily(30, (age) => (age === 10 ? { mark: "9 of 10 files changed" } : {}));
    expect(rulesOf("d10", marked, { daily: 1 })).toEqual(["marked"]);
    expect(rulesOf("d29", marked, { daily: 1 })).toEqual(["before-marked"]);
    expect(forgotten(marked, { daily: 1 })).toEqual(["d6", "d5", "d4", "d3"]);
  });
});

describe("a clock that is wrong forgets nothing", () => {
  it.each([[HOUR_MS + 1], [-HOUR_MS - 1], [10 * 365 * DAY_MS]])("off its peers by %i ms", (aheadMs) => {
    expect(forgotten(daily(30), { daily: 1 }, aheadMs)).toEqual([]);
    expect(rulesOf("d20", daily(30), { daily: 1 }, aheadMs)).toEqual(["clock"]);
  });
  it("up to an hour is nothing", () => {
    expect(forgotten(daily(30), { daily: 1 }, HOUR_MS)).not.toEqual([]);
  });
  it("before a snapshot of its own", () => {
    const future = [
      ...daily(30),
      ...daily(1).map((one) => ({ ...one, id: "f", sequence: 200, timeMs: NOW_MS + DAY_MS })),
    ];
    expect(forgotten(future, { daily: 1 })).toEqual([]);
  });
});

it("times that do not rise with the sequence take nobody's place", () => {
  // One of them was made by a clock that was a month behind; which cannot be told.
  const snapshots = daily(60).map((one) =>
    one.id === "d20" ? { ...one, timeMs: one.timeMs - 30 * DAY_MS } : one,
  );
  const keep = { daily: 1 };
  expect(rulesOf("d20", snapshots, keep)).toEqual(["out-of-order"]);
  expect(rulesOf("d40", snapshots, keep)).toEqual(["out-of-order"]);
  expect(rulesOf("d55", snapshots, keep)).toEqual(["not-kept"]);
  expect(rulesOf("d15", snapshots, keep)).toEqual(["not-kept"]);
});
