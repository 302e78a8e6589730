import fc from "fast-check";
import { expect, it } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../../src/base/units.ts";
import { continuousDueMs, type LastRun, type Unsaved } from "../../src/policy/index.ts";

const START_MS = Date.UTC(2026, 10, 21, 12);
const everyMs = fc.integer({ min: 30 * SECOND_MS, max: DAY_MS });

it("however often something changes and however long snapshots take, they fill at most half of the time", () => {
  fc.assert(
    fc.property(
      everyMs,
      fc.array(fc.integer({ min: 0, max: 2 * HOUR_MS }), { minLength: 2, maxLength: 30 }),
      (every, tookMs) => {
        let nowMs = START_MS;
        let last: LastRun | undefined;
        for (const took of tookMs) {
          // Something changes all the time, since the last one began.
          const unsaved: Unsaved = { firstMs: last?.startedMs ?? nowMs, lastMs: Number.POSITIVE_INFINITY };
          const dueMs = Math.max(nowMs, continuousDueMs(every, last, unsaved, nowMs));
          if (last !== undefined) {
            const before = last.endedMs - last.startedMs;
            expect(dueMs - last.startedMs).toBeGreaterThanOrEqual(2 * before);
            expect(dueMs - last.startedMs).toBeGreaterThanOrEqual(every / 2);
            // Begun early enough to have ended in time, if it takes as long as the one before and that is not too long.
            if (before <= every / 3) expect(dueMs + before).toBeLessThanOrEqual(last.startedMs + every);
          }
          last = { startedMs: dueMs, endedMs: dueMs + took, failures: 0 };
          nowMs = last.endedMs;
        }
      },
    ),
  );
});

it("a single change is saved in time: when it has been quiet for ten seconds, and no later than it should be", () => {
  const last = { startedMs: START_MS - HOUR_MS, endedMs: START_MS - HOUR_MS + SECOND_MS, failures: 0 };
  const due = (unsaved: Unsaved | undefined) => continuousDueMs(5 * MINUTE_MS, last, unsaved, START_MS);
  expect(due({ firstMs: START_MS, lastMs: START_MS })).toBe(START_MS + 10 * SECOND_MS);
  const busy = { firstMs: START_MS, lastMs: START_MS + 5 * MINUTE_MS };
  expect(due(busy)).toBe(START_MS + 5 * MINUTE_MS - SECOND_MS);
  expect(due(undefined)).toBe(last.startedMs + DAY_MS);
});

it("one that fails is not tried again at once, whatever changes", () => {
  const last = { startedMs: START_MS, endedMs: START_MS + SECOND_MS, failures: 3 };
  const unsaved = { firstMs: START_MS, lastMs: START_MS };
  expect(continuousDueMs(30 * SECOND_MS, last, unsaved, START_MS)).toBe(last.endedMs + 20 * MINUTE_MS);
});

it("a last run from a clock that was wrong holds nothing up", () => {
  const last = { startedMs: START_MS + 400 * DAY_MS, endedMs: START_MS + 400 * DAY_MS, failures: 0 };
  expect(continuousDueMs(HOUR_MS, last, undefined, START_MS)).toBe(START_MS);
});
