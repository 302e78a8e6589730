import { describe, expect, it } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { forgetDueMs, pruneDueMs } from "../../../src/policy/tidying.ts";

const RULES = { forgetEveryMs: DAY_MS, forgetPauseMs: HOUR_MS, pruneEveryMs: DAY_MS };
const NOW_MS = Date.UTC(2026, 10, 21, 12);
const at = (sinceMs = NOW_MS - 30 * DAY_MS) => ({ nowMs: NOW_MS, sinceMs, seed: "node" });
const ran = (agoMs: number, failures = 0) => ({
  ...{ startedMs: NOW_MS - agoMs - MINUTE_MS, endedMs: NOW_MS - agoMs, failures },
});

describe("when to forget by itself", () => {
  it("the first time a pause after the start", () => {
    expect(forgetDueMs(RULES, undefined, NOW_MS, at(NOW_MS))).toBe(NOW_MS + HOUR_MS);
  });

  it("once a day, and after a snapshot, but not more often than the pause", () => {
    const last = ran(2 * HOUR_MS);
    expect(forgetDueMs(RULES, last, undefined, at())).toBe(last.startedMs + DAY_MS);
    expect(forgetDueMs(RULES, last, last.startedMs - 1, at())).toBe(last.startedMs + DAY_MS);
    expect(forgetDueMs(RULES, last, NOW_MS - MINUTE_MS, at())).toBe(NOW_MS - MINUTE_MS);
    const justNow = ran(5 * MINUTE_MS);
    expect(forgetDueMs(RULES, justNow, NOW_MS, at())).toBe(justNow.endedMs + HOUR_MS);
  });

  it("after a failure later and later, whatever is saved meanwhile", () => {
    expect(forgetDueMs(RULES, ran(0, 1), NOW_MS, at())).toBe(NOW_MS + 5 * MINUTE_MS);
    expect(forgetDueMs(RULES, ran(0, 9), NOW_MS, at())).toBe(NOW_MS + HOUR_MS);
  });

  it("a last time that lies in the future counts for nothing", () => {
    expect(forgetDueMs(RULES, ran(-9 * DAY_MS), undefined, at())).toBe(NOW_MS);
  });
});

describe("when to prune by itself", () => {
  it("daily where something was forgotten, else weekly; spread over an hour", () => {
    const last = ran(2 * DAY_MS);
    const due = pruneDueMs(RULES, last, 3, at());
    expect(due).toBeGreaterThanOrEqual(last.startedMs + DAY_MS);
    expect(due).toBeLessThan(last.startedMs + DAY_MS + HOUR_MS);
    expect(pruneDueMs(RULES, last, 0, at())).toBe(due + 6 * DAY_MS);
  });

  it("at once the first time, if something was forgotten", () => {
    expect(pruneDueMs(RULES, undefined, 1, at())).toBeLessThan(NOW_MS);
    expect(pruneDueMs(RULES, undefined, 0, at(NOW_MS))).toBe(NOW_MS + 7 * DAY_MS);
  });
});
