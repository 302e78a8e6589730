import { expect, it } from "vitest";
import { HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { wrongClock } from "../../../src/node/anomalies.ts";
import { whyClockHolds } from "../../../src/node/tidying.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const at = (sequence: number, timeMs: number) => ({ sequence, timeMs });
const seen = (aheadMs: number, peers = 3, asOfMs = NOW_MS) => ({ aheadMs, asOfMs, peers });

it("a clock is wrong that is an hour off what two peers say, or before an earlier snapshot", () => {
  const now = at(5, NOW_MS);
  expect(wrongClock(now, [], seen(59 * MINUTE_MS))).toBeUndefined();
  expect(wrongClock(now, [], seen(61 * MINUTE_MS))).toContain("ahead of its peers'");
  expect(wrongClock(now, [], seen(-61 * MINUTE_MS))).toContain("behind its peers'");
  expect(wrongClock(now, [], seen(10 * HOUR_MS, 1))).toBeUndefined();
  expect(wrongClock(now, [at(4, NOW_MS), at(5, NOW_MS + HOUR_MS)], undefined)).toBeUndefined();
  expect(wrongClock(now, [at(4, NOW_MS + HOUR_MS)], undefined)).toContain("before an earlier snapshot");
});

it("with nobody asking a clock decides only what a peer has confirmed within 26 hours", () => {
  expect(whyClockHolds(undefined, NOW_MS)).toBeDefined();
  expect(whyClockHolds(seen(0, 1), NOW_MS)).toBeUndefined();
  expect(whyClockHolds(seen(-2 * HOUR_MS, 1), NOW_MS)).toContain("behind its peers'");
  expect(whyClockHolds(seen(0), NOW_MS + 25 * HOUR_MS)).toBeUndefined();
  expect(whyClockHolds(seen(0), NOW_MS + 27 * HOUR_MS)).toContain("may have been set");
  expect(whyClockHolds(seen(0), NOW_MS - 2 * MINUTE_MS)).toContain("may have been set");
});
