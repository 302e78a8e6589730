import { expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { DAY_MS, HOUR_MS, SECOND_MS } from "../../../src/base/units.ts";
import { UplinkLimit } from "../../../src/exchange/index.ts";
import { Pace } from "../../../src/repair/index.ts";

const schedule = {
  uplinkBitsPerSecond: 8_000_000,
  dayShare: 0.1,
  nightShare: 0.5,
  nightFromHour: 22,
  nightToHour: 6,
};

function paceAt(hour: number, shares: Partial<typeof schedule> = {}): { pace: Pace; clock: VirtualClock } {
  const clock = new VirtualClock(100 * DAY_MS + hour * HOUR_MS);
  return { clock, pace: new Pace({ clock, schedule: { ...schedule, ...shares }, localOffsetMs: () => 0 }) };
}

it("lets nothing more out until what was sent is within its share of the uplink", () => {
  const { pace } = paceAt(12);
  expect(pace.leftMs()).toBe(0);
  pace.sent(1_000_000);
  // A tenth of a megabyte a second.
  expect(pace.leftMs()).toBeCloseTo(10 * SECOND_MS, -1);
  pace.sent(500_000);
  expect(pace.leftMs()).toBeCloseTo(15 * SECOND_MS, -1);
});

it("is faster by night", () => {
  const { pace } = paceAt(23);
  pace.sent(1_000_000);
  expect(pace.leftMs()).toBeCloseTo(2 * SECOND_MS, -1);
});

it("goes by the local time of day", () => {
  const clock = new VirtualClock(100 * DAY_MS + 12 * HOUR_MS);
  const pace = new Pace({ clock, schedule, localOffsetMs: () => 11 * HOUR_MS });
  expect(pace.forecastMs(1_000_000)).toBeCloseTo(2 * SECOND_MS, -1);
});

it("never says a time where nothing may be sent at all, and waits a day at most", () => {
  const { pace } = paceAt(12, { dayShare: 0, nightShare: 0 });
  expect(pace.forecastMs(1)).toBe(Number.POSITIVE_INFINITY);
  pace.sent(1);
  expect(pace.leftMs()).toBe(DAY_MS);
});

it("pays into what everything that is sent shares, and waits for it", () => {
  const clock = new VirtualClock(100 * DAY_MS + 23 * HOUR_MS);
  const uplink = new UplinkLimit(clock);
  uplink.follow(() => 100_000);
  const pace = new Pace({ clock, schedule, localOffsetMs: () => 0, uplink });
  pace.sent(1_000_000);
  expect(pace.leftMs()).toBeCloseTo(10 * SECOND_MS, -1);
  expect(uplink.leftMs()).toBeCloseTo(10 * SECOND_MS, -1);
});
