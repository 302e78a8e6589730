import fc from "fast-check";
import { expect, it } from "vitest";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import {
  decideRetention,
  GRACE_MS,
  NEWEST_SAFE_KEPT,
  type RetentionCandidate,
} from "../../src/policy/retention.ts";
import type { Keep } from "../../src/policy/schema.ts";

const NOW_MS = Date.UTC(2026, 10, 21, 12);

const count = fc.option(fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constant("all" as const)), {
  nil: undefined,
});
const keep: fc.Arbitrary<Keep> = fc
  .record({ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count })
  .map((drawn) => {
    const given: Record<string, number | "all"> = {};
    for (const [name, value] of Object.entries(drawn)) if (value !== undefined) given[name] = value;
    return given;
  });

const state = fc.constantFrom(
  "safe" as const,
  "full" as const,
  "placed" as const,
  "pending" as const,
  "partial" as const,
);

/** An honest history: times rise with sequences. */
const history = fc
  .array(
    fc.record({
      gapMs: fc.integer({ min: 1000, max: 20 * DAY_MS }),
      state,
      pinned: fc.nat(20).map((n) => n === 0),
    }),
    {
      maxLength: 60,
    },
  )
  .map((steps) => {
    let timeMs = NOW_MS;
    return steps
      .map(({ gapMs, state: given, pinned }, i): RetentionCandidate => {
        timeMs -= gapMs;
        return { id: `h${i}`, sequence: 1000 - i, timeMs, tags: [], state: given, pinned };
      })
      .reverse();
  });

/** What somebody with the owner's keys can add: any number, any time, well placed. */
const recent = fc.integer({ min: 0, max: GRACE_MS }).map((ageMs) => NOW_MS - ageMs);
const backdated = fc.integer({ min: 0, max: 30 * 24 }).map((hours) => NOW_MS - GRACE_MS - hours * HOUR_MS);
const future = fc.integer({ min: 1, max: 3000 }).map((days) => NOW_MS + days * DAY_MS);
const junk = fc.oneof(
  // One that is in the future holds everything: mostly without.
  { weight: 3, arbitrary: fc.array(recent, { maxLength: 60 }).map((times) => times.sort((a, b) => a - b)) },
  { weight: 3, arbitrary: fc.array(backdated, { maxLength: 5 }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(recent, backdated, future), { maxLength: 10 }) },
);

const kept = (snapshots: readonly RetentionCandidate[], rules: Keep): Set<string> =>
  new Set(
    decideRetention(snapshots, rules, { nowMs: NOW_MS }).flatMap(({ id, keep: is }) => (is ? [id] : [])),
  );

const isGood = ({ state: given }: RetentionCandidate): boolean => given !== "partial" && given !== "pending";

it("never below the newest safe ones, never one that is pinned, and every verdict says why", () => {
  fc.assert(
    fc.property(history, keep, (snapshots, rules) => {
      const verdicts = decideRetention(snapshots, rules, { nowMs: NOW_MS });
      expect(verdicts.map(({ id }) => id)).toEqual(snapshots.map(({ id }) => id));
      for (const { reasons } of verdicts) expect(reasons.length).toBeGreaterThan(0);
      const keeps = kept(snapshots, rules);
      for (const one of snapshots.filter(isGood).slice(-NEWEST_SAFE_KEPT))
        expect(keeps.has(one.id)).toBe(true);
      for (const one of snapshots) if (one.pinned || !isGood(one)) expect(keeps.has(one.id)).toBe(true);
    }),
  );
});

it("the order in which they are given does not matter, and forgetting what was forgotten changes nothing", () => {
  fc.assert(
    fc.property(history, keep, (snapshots, rules) => {
      const keeps = kept(snapshots, rules);
      expect(kept([...snapshots].reverse(), rules)).toEqual(keeps);
      const left = snapshots.filter(({ id }) => keeps.has(id));
      expect(kept(left, rules)).toEqual(keeps);
    }),
  );
});

it("what was added within the last week evicts no good snapshot that was kept a week ago, whatever time it claims", () => {
  fc.assert(
    fc.property(history, junk, keep, (snapshots, times, rules) => {
      const before = snapshots.filter(({ timeMs }) => timeMs <= NOW_MS - GRACE_MS);
      const added = times.map((timeMs, i): RetentionCandidate => {
        return { id: `j${i}`, sequence: 2000 + i, timeMs, tags: [], state: "full", pinned: false };
      });
      const now = kept([...snapshots, ...added], rules);
      // So late nothing is recent: the rules alone, over what was there a week ago.
      const byRules = decideRetention(before, rules, { nowMs: NOW_MS + 100 * 365 * DAY_MS });
      for (const { id, keep: is } of byRules) if (is) expect(now.has(id)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

it("a clock that jumps about forgets nothing that it would not have forgotten anyhow", () => {
  fc.assert(
    fc.property(history, keep, fc.integer({ min: -3650, max: 3650 }), (snapshots, rules, days) => {
      const aheadMs = days * DAY_MS;
      const verdicts = decideRetention(snapshots, rules, {
        ...{ nowMs: NOW_MS + aheadMs, clockAheadMs: aheadMs },
      });
      if (Math.abs(aheadMs) > HOUR_MS) expect(verdicts.every(({ keep: is }) => is)).toBe(true);
    }),
  );
});
