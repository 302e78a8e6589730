import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import {
  bytesPerSecondAt,
  bytesWithin,
  parseShare,
  parseUplink,
  type Schedule,
  transferMs,
} from "../../../src/upkeep/index.ts";

const branch: Schedule = {
  uplinkBitsPerSecond: parseUplink("10Mbit/s"),
  dayShare: parseShare("20%"),
  nightShare: parseShare("80%"),
  nightFromHour: 22,
  nightToHour: 6,
};

describe("--uplink, --budget, --night", () => {
  test.each([
    ["10Mbit/s", 10e6],
    ["512 kbit/s", 512e3],
    ["1.5Mbit", 1.5e6],
    ["1Gbit/s", 1e9],
    ["50mbitps", 50e6],
  ])("%s", (text, bits) => {
    expect(parseUplink(text)).toBe(bits);
  });

  test.each(["", "10", "10MB/s", "-1Mbit/s", "0Mbit/s", "Mbit/s", "1e9bit/s"])(
    "refuses the uplink %j",
    (text) => {
      expect(() => parseUplink(text)).toThrow(
        expect.objectContaining({ detail: { code: "USAGE", reason: expect.any(String) } }),
      );
    },
  );

  test("shares are 0% to 100%", () => {
    expect(parseShare("0%")).toBe(0);
    expect(parseShare("12.5 %")).toBe(0.125);
    expect(parseShare("100%")).toBe(1);
    for (const text of ["101%", "20", "-5%", "%", ""]) expect(() => parseShare(text)).toThrow();
  });
});

describe("the schedule", () => {
  test("by day, by night and at its ends", () => {
    const at = (hour: number) => bytesPerSecondAt(branch, hour * HOUR_MS);
    expect(at(12)).toBe(250_000);
    expect(at(21.99)).toBe(250_000);
    expect(at(22)).toBe(1_000_000);
    expect(at(0)).toBe(1_000_000);
    expect(at(5.99)).toBe(1_000_000);
    expect(at(6)).toBe(250_000);
  });

  test("a day of it", () => {
    expect(bytesWithin(branch, 3 * HOUR_MS, DAY_MS)).toBeCloseTo(3600 * (16 * 250_000 + 8 * 1_000_000), 0);
    expect(transferMs(branch, 12 * HOUR_MS, 0)).toBe(0);
    expect(transferMs({ ...branch, dayShare: 0, nightShare: 0 }, 0, 1)).toBe(Number.POSITIVE_INFINITY);
  });

  const schedules = fc.record({
    uplinkBitsPerSecond: fc.integer({ min: 8, max: 1e6 }),
    dayShare: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
    nightShare: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
    nightFromHour: fc.nat({ max: 23 }),
    nightToHour: fc.nat({ max: 23 }),
  });
  const minutes = fc.nat({ max: 24 * 60 - 1 });

  test("lets through what adding up minute by minute gives", () => {
    fc.assert(
      fc.property(schedules, minutes, fc.nat({ max: 5000 }), (schedule, start, count) => {
        let bytes = 0;
        for (let minute = start; minute < start + count; minute++) {
          bytes += bytesPerSecondAt(schedule, (minute * MINUTE_MS) % DAY_MS) * 60;
        }
        const found = bytesWithin(schedule, start * MINUTE_MS, count * MINUTE_MS);
        expect(Math.abs(found - bytes)).toBeLessThanOrEqual(1e-6 * (bytes + 1));
      }),
    );
  });

  test("the time that bytes take is the time in which they are let through", () => {
    fc.assert(
      fc.property(schedules, minutes, fc.integer({ min: 1, max: 1e12 }), (schedule, start, bytes) => {
        const ms = transferMs(schedule, start * MINUTE_MS, bytes);
        if (!Number.isFinite(ms)) {
          expect(bytesWithin(schedule, 0, DAY_MS)).toBe(0);
          return;
        }
        const through = bytesWithin(schedule, start * MINUTE_MS, ms);
        expect(Math.abs(through - bytes)).toBeLessThanOrEqual(1e-6 * bytes + 1);
      }),
    );
  });
});
