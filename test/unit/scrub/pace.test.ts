import { describe, expect, it } from "vitest";
import { DAY_MS, GIB, HOUR_MS, MINUTE_MS, TIB } from "../../../src/base/units.ts";
import { isDiskFailing, nextStep, restMs } from "../../../src/scrub/pace.ts";

// When the next shard is due: even over the round, at once when late, never beyond the disk's share.

const periodMs = 30 * DAY_MS;
const plan = (changes: {
  nowMs: number;
  bytes?: number;
  complete?: boolean;
  oldestAgeMs?: number;
  bytesTotal?: number;
}) =>
  nextStep({
    nowMs: changes.nowMs,
    periodMs,
    round: { startedMs: 0, bytes: changes.bytes ?? 0, complete: changes.complete ?? false },
    bytesTotal: changes.bytesTotal ?? TIB,
    oldestAgeMs: changes.oldestAgeMs ?? 0,
  });

describe("the pace", () => {
  it("reads a terabyte in three quarters of the period, at an even rate", () => {
    let nowMs = 0;
    let bytes = 0;
    while (bytes < TIB) {
      const step = plan({ nowMs, bytes });
      if (step.do === "wait") nowMs += step.ms;
      else bytes += GIB;
      expect(bytes / TIB).toBeLessThanOrEqual(nowMs / (0.75 * periodMs) + GIB / TIB);
    }
    expect(nowMs).toBeLessThan(0.75 * periodMs);
    expect(nowMs).toBeGreaterThan(0.74 * periodMs);
  });

  it("is behind after an outage, and reads at once until it is not", () => {
    expect(plan({ nowMs: 10 * DAY_MS, bytes: TIB / 10 })).toEqual({ do: "read" });
    expect(plan({ nowMs: 10 * DAY_MS, bytes: TIB / 2 })).toEqual({ do: "wait", ms: MINUTE_MS });
  });

  it("waits for nothing while bytes are nearly too old", () => {
    expect(plan({ nowMs: HOUR_MS, bytes: TIB / 2, oldestAgeMs: 28 * DAY_MS })).toEqual({ do: "read" });
    expect(plan({ nowMs: HOUR_MS, complete: true, oldestAgeMs: 28 * DAY_MS })).toEqual({ do: "begin" });
  });

  it("begins the next round when the plan of this one ends, and never asks for a sleep beyond a minute", () => {
    expect(plan({ nowMs: DAY_MS, complete: true })).toEqual({ do: "wait", ms: MINUTE_MS });
    expect(plan({ nowMs: 22.5 * DAY_MS, complete: true })).toEqual({ do: "begin" });
  });

  it("does not come to a stop when shards went, or everything did", () => {
    expect(plan({ nowMs: 22.5 * DAY_MS, bytes: 10 * GIB, bytesTotal: GIB })).toEqual({ do: "read" });
    expect(plan({ nowMs: 0, bytesTotal: 0 })).toEqual({ do: "read" });
  });

  it("leaves the disk alone for nine times as long as it was used", () => {
    expect(restMs(100, 0.1)).toBe(900);
    expect(restMs(100, 1)).toBe(0);
  });
});

describe("a disk", () => {
  it("is called failing when most of several shards cannot be read, not when one or two cannot", () => {
    expect(isDiskFailing({ readable: 0, unreadable: 2 })).toBe(false);
    expect(isDiskFailing({ readable: 0, unreadable: 3 })).toBe(true);
    expect(isDiskFailing({ readable: 4, unreadable: 4 })).toBe(false);
    expect(isDiskFailing({ readable: 4, unreadable: 5 })).toBe(true);
  });
});
