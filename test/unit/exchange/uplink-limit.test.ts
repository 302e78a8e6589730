import { beforeEach, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { HOUR_MS, MINUTE_MS, SECOND_MS } from "../../../src/base/units.ts";
import { UplinkLimit } from "../../../src/exchange/index.ts";

let clock: VirtualClock;
let uplink: UplinkLimit;
/** Bytes per second. */
let rate: number | undefined;

beforeEach(() => {
  clock = new VirtualClock(Date.UTC(2026, 10, 21, 12));
  uplink = new UplinkLimit(clock);
  rate = 1000;
  uplink.follow(() => rate);
});

const secondsFor = async (task: Promise<unknown>): Promise<number> => {
  const beganMs = clock.monotonicMs();
  await clock.until(task, HOUR_MS);
  return (clock.monotonicMs() - beganMs) / SECOND_MS;
};

it("what is sent at once goes one after the other, at the rate", async () => {
  const all = Promise.all(Array.from({ length: 5 }, () => uplink.room(10_000)));
  await clock.advance(5 * SECOND_MS);
  expect(uplink.waiting).toBe(4);
  expect(await secondsFor(all)).toBeCloseTo(35, 0);
  expect(uplink.waiting).toBe(0);
});

it("a rate that changes counts for whoever waits already", async () => {
  await uplink.room(3_600_000);
  const next = uplink.room(1);
  await clock.advance(MINUTE_MS);
  rate = 1_000_000;
  expect(await secondsFor(next)).toBeLessThan(11);
  await clock.until(uplink.room(3_600_000_000), MINUTE_MS);
  const last = uplink.room(1);
  await clock.advance(MINUTE_MS);
  rate = undefined;
  expect(await secondsFor(last)).toBeLessThan(11);
});

it("without a limit nobody waits, and nothing is owed when there is one later", async () => {
  rate = undefined;
  await uplink.room(1e12);
  rate = 1000;
  expect(uplink.leftMs()).toBe(0);
});

it("whoever is told to stop does so, and holds nobody up", async () => {
  await uplink.room(100_000);
  const stop = new AbortController();
  const stopped = expect(uplink.room(1_000_000, stop.signal)).rejects.toThrow("enough");
  const next = uplink.room(1);
  await clock.advance(SECOND_MS);
  stop.abort(new Error("enough"));
  await clock.until(stopped, MINUTE_MS);
  expect(await secondsFor(next)).toBeLessThan(101);
});
