import fc from "fast-check";
import { expect, it } from "vitest";
import {
  type CompactionCandidate,
  type CompactionLimits,
  planCompaction,
  turnsOf,
} from "../../src/node/compaction-plan.ts";

const FULL = 16_384;

const candidates = fc
  .array(
    fc.record({
      segmentBytes: fc.integer({ min: 16, max: FULL }),
      alive: fc.double({ min: 0.001, max: 1, noNaN: true }),
      copies: fc.integer({ min: 1, max: 4 }),
      frames: fc.integer({ min: 1, max: 50 }),
    }),
    { maxLength: 60 },
  )
  .map((list) =>
    list.map(
      ({ segmentBytes, alive, copies, frames }, number): CompactionCandidate => ({
        ref: { incarnation: 0, number },
        segmentBytes,
        storedBytes: segmentBytes * copies,
        aliveBytes: Math.ceil(segmentBytes * alive),
        frames,
      }),
    ),
  );

const limits = fc.record({
  fullBytes: fc.constant(FULL),
  overhead: fc.constantFrom(1, 1.5, 2, 4),
  movedBytesMax: fc.integer({ min: 0, max: 40 * FULL }),
  freedBytesMax: fc.integer({ min: 0, max: 40 * FULL }),
  framesMax: fc.integer({ min: 0, max: 2000 }),
  freedBytesMin: fc.integer({ min: 0, max: 4 * FULL }),
});

const sumOf = (list: readonly CompactionCandidate[], of: (one: CompactionCandidate) => number): number =>
  list.reduce((sum, one) => sum + of(one), 0);

it("stays within every bound, gives back more than it writes, and picks each segment once", () => {
  fc.assert(
    fc.property(candidates, limits, (of: CompactionCandidate[], within: CompactionLimits) => {
      const { victims, aliveBytes, freedBytes } = planCompaction(of, within);
      if (victims.length === 0) return;
      expect(new Set(victims).size).toBe(victims.length);
      expect(aliveBytes).toBe(sumOf(victims, (one) => one.aliveBytes));
      expect(aliveBytes * (1 + within.overhead)).toBeLessThanOrEqual(within.movedBytesMax);
      const stored = sumOf(victims, (one) => one.storedBytes);
      expect(stored).toBeLessThanOrEqual(within.freedBytesMax);
      expect(sumOf(victims, (one) => one.frames)).toBeLessThanOrEqual(within.framesMax);
      expect(freedBytes).toBe(stored - aliveBytes * within.overhead);
      expect(freedBytes).toBeGreaterThanOrEqual(Math.max(1, within.freedBytesMin));
      const turns = turnsOf(victims, FULL);
      expect(turns.flat()).toEqual(victims);
      for (const turn of turns)
        if (turn.length > 1) expect(sumOf(turn, (one) => one.aliveBytes)).toBeLessThanOrEqual(FULL);
    }),
  );
});

const NO_LIMITS: CompactionLimits = {
  ...{
    fullBytes: FULL,
    overhead: 1.5,
    movedBytesMax: 1e9,
    freedBytesMax: 1e9,
    framesMax: 1e6,
    freedBytesMin: 0,
  },
};

it("a segment that is mostly alive stays, and so do small ones until as much as a full one of them has gathered", () => {
  const one = (segmentBytes: number, aliveBytes: number, number: number): CompactionCandidate => ({
    ...{
      ref: { incarnation: 0, number },
      segmentBytes,
      storedBytes: 3 * segmentBytes,
      aliveBytes,
      frames: 4,
    },
  });
  const large = [one(FULL, 0.9 * FULL, 1), one(FULL, 0.2 * FULL, 2), one(FULL, 0.1 * FULL, 3)];
  expect(planCompaction(large, NO_LIMITS).victims.map(({ ref }) => ref.number)).toEqual([3, 2]);
  const small = Array.from({ length: 15 }, (_, at) => one(1024, 1000, at));
  expect(planCompaction(small, NO_LIMITS).victims).toEqual([]);
  const enough = [one(1024, 1000, 20), ...small];
  expect(planCompaction(enough, NO_LIMITS).victims.map(({ ref }) => ref.number)).toEqual([
    ...small.keys(),
    20,
  ]);
});
