import fc from "fast-check";
import { expect, it } from "vitest";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { Died, liveSpans, PaperHolder, signLive } from "../support/collecting.ts";
import { LIFE } from "../support/repairs.ts";

const SHARDS = 30;
const ALL = Array.from({ length: SHARDS }, (_, number) => number);

type Step =
  | { readonly t: "set"; readonly omitted: number[] }
  | { readonly t: "pass"; readonly hours: number }
  | { readonly t: "die"; readonly after: number }
  | { readonly t: "lock"; readonly number: number }
  | { readonly t: "stale" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ t: fc.constant("set" as const), omitted: fc.array(fc.nat(SHARDS - 1), { maxLength: 6 }) }),
  fc.record({ t: fc.constant("pass" as const), hours: fc.integer({ min: 6, max: 400 }) }),
  fc.record({ t: fc.constant("die" as const), after: fc.nat(12) }),
  fc.record({ t: fc.constant("lock" as const), number: fc.nat(SHARDS - 1) }),
  fc.record({ t: fc.constant("stale" as const) }),
);

/** Since when, in hours of running, each number has been omitted without a break and without a lock; a model of the rule. */
class Model {
  readonly since = new Map<number, number>();
  nowMs = 0;

  omitted(numbers: ReadonlySet<number>, locked: ReadonlySet<number>): void {
    for (const number of ALL) {
      if (!numbers.has(number) || locked.has(number)) this.since.delete(number);
      else if (!this.since.has(number)) this.since.set(number, this.nowMs);
    }
  }
}

/** Its owner hands it over again where the holder died of it. */
async function takeUntilKept(holder: PaperHolder, liveSet: ReturnType<typeof signLive>): Promise<void> {
  try {
    await holder.take(liveSet);
  } catch (error) {
    if (!(error instanceof Died)) throw error;
    holder.disk.leftWrites = Number.POSITIVE_INFINITY;
    holder.restart();
    await holder.take(liveSet);
  }
}

it("nothing goes but what was omitted for 16 days without a break, wherever the holder dies; and that goes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const holder = new PaperHolder({ brakeShare: 1 });
      holder.hold(ALL);
      await holder.round();
      const model = new Model();
      let omitted: ReadonlySet<number> = new Set();
      let epoch = 0;
      const lives = (numbers: ReadonlySet<number>) => [liveSpans(LIFE, SHARDS, numbers)];
      const older = signLive(lives(new Set(ALL)), 1);
      await holder.take(signLive(lives(omitted), (epoch = 2)));
      const check = (): void => {
        for (const number of ALL) {
          if (holder.has(number)) continue;
          const since = model.since.get(number);
          expect(since, `shard ${number} is gone and was wanted`).toBeDefined();
          expect(model.nowMs - (since ?? 0)).toBeGreaterThanOrEqual(16 * DAY_MS);
        }
      };
      for (const one of steps) {
        if (one.t === "set") {
          // What is gone cannot be wanted again.
          omitted = new Set([...one.omitted, ...ALL.filter((number) => !holder.has(number))]);
          await takeUntilKept(holder, signLive(lives(omitted), ++epoch));
        }
        if (one.t === "stale") await expect(holder.take(older)).rejects.toThrow();
        if (one.t === "lock" && holder.has(one.number)) holder.locked.add(one.number);
        model.omitted(omitted, holder.locked);
        if (one.t === "die") holder.disk.leftWrites = one.after;
        if (one.t === "pass") {
          try {
            for (let left = one.hours; left > 0; left -= 6) {
              await holder.clock.advance(6 * HOUR_MS);
              model.nowMs += 6 * HOUR_MS;
              await holder.round();
            }
          } catch (error) {
            if (!(error instanceof Died)) throw error;
            holder.disk.leftWrites = Number.POSITIVE_INFINITY;
            holder.restart();
          }
        }
        check();
      }
      holder.disk.leftWrites = Number.POSITIVE_INFINITY;
      holder.restart();
      for (let day = 0; day < 40; day++) {
        await holder.clock.advance(6 * HOUR_MS);
        model.nowMs += 6 * HOUR_MS;
        await holder.round();
      }
      for (let round = 0; round < 40; round++) {
        await holder.pass(DAY_MS);
        model.nowMs += DAY_MS;
      }
      check();
      expect(ALL.filter((number) => !holder.has(number))).toEqual(
        [...model.since.keys()].sort((a, b) => a - b),
      );
    }),
    { numRuns: 20 },
  );
});
