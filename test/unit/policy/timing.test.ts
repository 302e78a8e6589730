import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { ClockWatch, chooseRun, type LastRun, nextDueMs, type Timing } from "../../../src/policy/index.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const every = (everyMs: number, more: { jitterMs?: number; catchUp?: boolean } = {}): Timing => ({
  ...{ kind: "interval", everyMs, jitterMs: 0, catchUp: true },
  ...more,
});
const cron = (expression: string, timeZone = "UTC", catchUp = true): Timing => ({
  ...{ kind: "cron", expression, timeZone, jitterMs: 0, catchUp },
});
const ran = (startedMs: number, failures = 0, tookMs = MINUTE_MS): LastRun => ({
  ...{ startedMs, endedMs: startedMs + tookMs, failures },
});
const due = (timing: Timing, last?: LastRun, at: { nowMs?: number; sinceMs?: number; seed?: string } = {}) =>
  nextDueMs(timing, last, { nowMs: NOW_MS, sinceMs: NOW_MS - DAY_MS, seed: "n/s", ...at });
const iso = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();

describe("when a set is due", () => {
  it("a first snapshot at once, or at the next time of its schedule", () => {
    expect(due(every(HOUR_MS), undefined, { sinceMs: NOW_MS })).toBe(NOW_MS);
    expect(iso(due(cron("30 3 * * *"), undefined, { sinceMs: NOW_MS }))).toBe("2026-11-22T03:30:00.000Z");
  });

  it("then an interval after the last one began", () => {
    expect(due(every(HOUR_MS), ran(NOW_MS - 20 * MINUTE_MS))).toBe(NOW_MS + 40 * MINUTE_MS);
  });

  it("what was missed while the daemon was down is caught up, or waits for its next time", () => {
    const last = ran(NOW_MS - 50 * HOUR_MS);
    const at = { sinceMs: NOW_MS - 1000 };
    expect(due(every(24 * HOUR_MS), last, at)).toBe(NOW_MS - 1000);
    expect(due(every(24 * HOUR_MS, { catchUp: false }), last, at)).toBe(NOW_MS + 22 * HOUR_MS);
    expect(due(cron("0 3 * * *"), last, at)).toBe(NOW_MS - 1000);
    expect(iso(due(cron("0 3 * * *", "UTC", false), last, at))).toBe("2026-11-22T03:00:00.000Z");
    // One that comes late only because another one ran is not missed.
    expect(due(every(24 * HOUR_MS, { catchUp: false }), ran(NOW_MS - 25 * HOUR_MS))).toBe(NOW_MS - HOUR_MS);
  });

  it("jitter spreads, is the same each time, and never more than asked for", () => {
    const timing = every(24 * HOUR_MS, { jitterMs: HOUR_MS });
    const last = ran(NOW_MS - DAY_MS);
    const delays = Array.from(
      { length: 200 },
      (_, i) => (due(timing, last, { seed: `node${i}/shop` }) ?? 0) - NOW_MS,
    );
    expect(due(timing, last, { seed: "node7/shop" })).toBe(NOW_MS + (delays[7] ?? 0));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...delays)).toBeLessThan(HOUR_MS);
    // In every tenth of the hour there are some of two hundred.
    const tenths = new Set(delays.map((delay) => Math.floor((delay * 10) / HOUR_MS)));
    expect(tenths.size).toBe(10);
    // After a power cut, too.
    const after = due(timing, ran(NOW_MS - 9 * DAY_MS), { sinceMs: NOW_MS, seed: "node7/shop" }) ?? 0;
    expect(after).toBeGreaterThan(NOW_MS);
    expect(after).toBeLessThan(NOW_MS + HOUR_MS);
  });

  it("a failure is tried again, later each time, and never later than the schedule says", () => {
    const failed = (failures: number) => due(every(24 * HOUR_MS), ran(NOW_MS, failures, 0));
    expect([1, 2, 3, 4, 5, 50].map((failures) => ((failed(failures) ?? 0) - NOW_MS) / MINUTE_MS)).toEqual([
      5, 10, 20, 40, 60, 60,
    ]);
    expect(due(every(2 * MINUTE_MS), ran(NOW_MS, 3, 0))).toBe(NOW_MS + 2 * MINUTE_MS);
  });

  it("a last run in the future was made by a wrong clock: due now; a small step back is none", () => {
    expect(due(every(24 * HOUR_MS), ran(NOW_MS + 10 * 365 * DAY_MS))).toBe(NOW_MS);
    expect(due(cron("0 3 * * *"), ran(NOW_MS + 2 * MINUTE_MS))).toBe(NOW_MS);
    expect(due(every(24 * HOUR_MS), ran(NOW_MS + 30_000, 0, 0))).toBe(NOW_MS + DAY_MS + 30_000);
  });

  it("times of day keep to the time zone when clocks are set", () => {
    const berlin = cron("30 2 * * *", "Europe/Berlin");
    const next = (day: string) => iso(due(berlin, ran(Date.parse(day)), { sinceMs: 0 }));
    // Skipped that night: made when the clocks have been set, not left out.
    expect(next("2026-03-28T12:00:00Z")).toBe("2026-03-29T01:00:00.000Z");
    // Shown twice that night: made once.
    expect(next("2026-10-24T12:00:00Z")).toBe("2026-10-25T00:30:00.000Z");
    expect(next("2026-10-25T00:30:00Z")).toBe("2026-10-26T01:30:00.000Z");
  });
});

describe("without a time zone a schedule is in that of the process", () => {
  let zone: string | undefined;
  beforeAll(() => {
    zone = process.env["TZ"];
    process.env["TZ"] = "Asia/Tokyo";
  });
  afterAll(() => {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  });
  it("three in the morning in Tokyo", () => {
    const timing: Timing = { kind: "cron", expression: "0 3 * * *", jitterMs: 0, catchUp: true };
    expect(iso(due(timing, ran(NOW_MS)))).toBe("2026-11-21T18:00:00.000Z");
  });
});

describe("whose turn it is", () => {
  const set = (name: string, dueAgoMs: number, priority = 0) => ({
    name,
    priority,
    dueMs: NOW_MS - dueAgoMs,
  });

  it("the more important, then the one that waits longer, then by name; nobody before its time", () => {
    expect(chooseRun([set("a", -1), { name: "b", priority: 9, dueMs: undefined }], NOW_MS)).toBeUndefined();
    expect(chooseRun([set("a", 5), set("b", 4, 1)], NOW_MS)).toBe("b");
    expect(chooseRun([set("a", 4), set("b", 5)], NOW_MS)).toBe("b");
    expect(chooseRun([set("b", 4), set("a", 4)], NOW_MS)).toBe("a");
  });

  it("a busy set starves nobody", () => {
    expect(chooseRun([set("low", HOUR_MS + 1, -5), set("busy", 0, 100)], NOW_MS)).toBe("low");
  });
});

it("a clock that was set is noticed, once, however slowly it went", () => {
  const watch = new ClockWatch(1_000_000, 0);
  expect(watch.look(1_030_000, 30_000)).toBeUndefined();
  expect(watch.look(1_030_000 + HOUR_MS, 30_000)).toBe(HOUR_MS);
  expect(watch.look(1_060_000 + HOUR_MS, 60_000)).toBeUndefined();
  expect(watch.look(1_060_000, 60_000)).toBe(-HOUR_MS);
  const drift = Array.from({ length: 10 }, (_, i) => watch.look(1_060_000 + (i + 1) * 10_000, 60_000));
  expect(drift.filter((step) => step !== undefined)).toEqual([70_000]);
});
