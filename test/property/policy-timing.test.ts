import fc from "fast-check";
import { expect, it } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import {
  CLOCK_TOLERANCE_MS,
  ClockWatch,
  chooseRun,
  type LastRun,
  nextDueMs,
  type Timing,
} from "../../src/policy/index.ts";

// Goal: whatever is done to the clock and however long the daemon is down, a set goes on being saved about as often as
// its schedule says, and each such event costs at most one snapshot more. Method: a scheduler of the same decisions on
// a drawn world of looks, steps of the clock, and times of being down.

const LOOK_MS = 30_000;

const timing = fc.oneof(
  fc.record({
    kind: fc.constant("interval" as const),
    everyMs: fc.integer({ min: 10, max: 48 * 60 }).map((minutes) => minutes * MINUTE_MS),
    jitterShare: fc.double({ min: 0, max: 0.5, noNaN: true }),
    catchUp: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("cron" as const),
    expression: fc.constantFrom("0 3 * * *", "*/30 * * * *", "15 */6 * * *", "30 2 * * 1-5"),
    catchUp: fc.boolean(),
  }),
);

const happening = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      ms: fc.integer({ min: LOOK_MS, max: 12 * HOUR_MS }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("step" as const),
      ms: fc.integer({ min: -400 * DAY_MS, max: 400 * DAY_MS }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("down" as const), ms: fc.integer({ min: 1, max: 5 * DAY_MS }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("slew" as const),
      ms: fc.integer({ min: -50_000, max: 50_000 }),
    }),
  },
);

it("no step of a clock and no time of being down starves a set or floods the swarm", () => {
  fc.assert(
    fc.property(
      timing,
      fc.array(happening, { maxLength: 25 }),
      fc.integer({ min: 1000, max: 20 * MINUTE_MS }),
      (drawn, happenings, tookMs) => {
        const set = settled(drawn);
        const world = new World(set.timing, tookMs);
        let events = 1;
        for (const { kind, ms } of happenings) {
          if (kind === "pass") world.pass(ms);
          else {
            events++;
            if (kind === "down") world.down(ms);
            else world.offsetMs += ms;
          }
        }
        // The world is quiet again: within one period of real time it must come round.
        const before = world.runs;
        world.pass(set.longestMs + tookMs + 2 * CLOCK_TOLERANCE_MS + 2 * LOOK_MS);
        expect(world.runs).toBeGreaterThan(before);
        const atMost = world.upMs / set.shortestMs + 2 * events + 1;
        expect(world.runs).toBeLessThanOrEqual(Math.ceil(atMost));
      },
    ),
    { numRuns: 300 },
  );
});

/** A schedule, and the shortest and longest time between two snapshots that it allows. */
function settled(drawn: typeof timing extends fc.Arbitrary<infer T> ? T : never): {
  timing: Timing;
  shortestMs: number;
  longestMs: number;
} {
  if (drawn.kind === "interval") {
    const { everyMs, jitterShare, ...rest } = drawn;
    const jitterMs = Math.floor(everyMs * jitterShare);
    return { timing: { ...rest, everyMs, jitterMs }, shortestMs: everyMs, longestMs: everyMs + jitterMs };
  }
  const spans: Record<string, [number, number]> = {
    "0 3 * * *": [24, 24],
    "*/30 * * * *": [0.5, 0.5],
    "15 */6 * * *": [6, 6],
    "30 2 * * 1-5": [24, 72],
  };
  const [shortest, longest] = spans[drawn.expression] ?? [1, 1];
  return {
    timing: { ...drawn, timeZone: "UTC", jitterMs: 0 },
    shortestMs: shortest * HOUR_MS,
    longestMs: longest * HOUR_MS,
  };
}

class World {
  readonly #timing: Timing;
  readonly #tookMs: number;
  #realMs = 0;
  offsetMs = Date.UTC(2026, 0, 5);
  #last: LastRun | undefined;
  #sinceMs: number;
  #watch: ClockWatch;
  runs = 0;
  upMs = 0;

  constructor(given: Timing, tookMs: number) {
    this.#timing = given;
    this.#tookMs = tookMs;
    this.#sinceMs = this.#wallMs;
    this.#watch = new ClockWatch(this.#wallMs, 0);
  }

  get #wallMs(): number {
    return this.offsetMs + this.#realMs;
  }

  /** The daemon looks twice a minute, or when it is due; between two looks nothing can happen here. */
  pass(ms: number): void {
    const endMs = this.#realMs + ms;
    while (this.#realMs < endMs) {
      const nowMs = this.#wallMs;
      if (this.#watch.look(nowMs, this.#realMs) !== undefined) this.#sinceMs = nowMs;
      const dueMs = nextDueMs(this.#timing, this.#last, { nowMs, sinceMs: this.#sinceMs, seed: "x" });
      if (chooseRun([{ name: "x", priority: 0, dueMs }], nowMs) !== undefined) {
        this.#go(this.#tookMs);
        this.#last = { startedMs: nowMs, endedMs: this.#wallMs, failures: 0 };
        this.runs++;
      } else {
        // A clock that nobody touches brings nothing before it is due.
        const waitMs = dueMs === undefined ? endMs - this.#realMs : dueMs - nowMs;
        this.#go(Math.max(1, Math.min(waitMs, endMs - this.#realMs)));
      }
    }
  }

  #go(ms: number): void {
    this.#realMs += ms;
    this.upMs += ms;
  }

  down(ms: number): void {
    this.#realMs += ms;
    this.#sinceMs = this.#wallMs;
    this.#watch = new ClockWatch(this.#wallMs, this.#realMs);
  }
}
