import { expect, it } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { askedMax, followedMax } from "../../../src/sweep/index.ts";
import { parseUpkeep, UPKEEP_SETTINGS } from "../../../src/upkeep/index.ts";

// How long it takes until what a returned node has too much is gone.

/** Of 16 MiB segments at 6+3, in a terabyte. */
const COPIES_OF_A_TERABYTE = 1e12 / ((16 * 2 ** 20) / 6);

/** As the sweeper goes: so many a round, and no more than are followed for as long as one has to be. */
function copiesADay({ everyMs, rules, copiesADay }: typeof UPKEEP_SETTINGS.sweep): number {
  const byRounds = (askedMax({ everyMs, copiesADay }) * DAY_MS) / everyMs;
  const byFollowing = (followedMax({ rules, everyMs, copiesADay }) * DAY_MS) / (rules.settledMs + everyMs);
  return Math.min(byRounds, byFollowing);
}

it("is a month and a half for a terabyte, and less where it is set so", () => {
  const days = COPIES_OF_A_TERABYTE / copiesADay(UPKEEP_SETTINGS.sweep);
  expect(days).toBeGreaterThan(30);
  expect(days).toBeLessThan(45);
  const faster = parseUpkeep({ sweep: { copiesADay: 32_768 } }).sweep;
  expect(COPIES_OF_A_TERABYTE / copiesADay(faster)).toBeLessThan(12);
});

it("is what the settings say, whatever the time between rounds and the wait", () => {
  for (const everyMs of [10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS])
    for (const settledMs of [HOUR_MS, 48 * HOUR_MS, 7 * DAY_MS])
      for (const wanted of [5000, 8192, 100_000]) {
        const rules = { ...UPKEEP_SETTINGS.sweep.rules, settledMs };
        const rate = copiesADay({ everyMs, rules, copiesADay: wanted });
        expect(rate / wanted).toBeGreaterThan(0.99);
        expect(followedMax({ rules, everyMs, copiesADay: wanted })).toBeLessThan(Math.max(5000, 10 * wanted));
      }
});

it("a round that nobody set asks about a few at least", () => {
  expect(askedMax({ everyMs: MINUTE_MS, copiesADay: 32 })).toBe(32);
});
