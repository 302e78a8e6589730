import { must } from "../../src/base/assert.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import type { ErasureCodec } from "../../src/erasure/index.ts";
import { type Guard, raiseGuard } from "../guard.ts";
import { Scheduler } from "../scheduler.ts";
import { Calm } from "./calm.ts";
import { Faults } from "./faults.ts";
import { checkState } from "./oracles/state.ts";
import type { Plan } from "./plan.ts";
import { Workload } from "./workload.ts";
import { type Violation, World, type WorldInit } from "./world.ts";

export interface RunInit {
  readonly plan: Plan;
  readonly codec: ErasureCodec;
  readonly prefer?: "at-once" | "by-turns";
}

export interface RunResult {
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  /** Fingerprint of everything that happened. */
  readonly hash: string;
  readonly checkpoints: readonly string[];
  readonly events: number;
  readonly virtualMs: number;
  readonly labels: ReadonlyMap<string, number>;
  /** The last lines that the nodes logged, and the faults between them. */
  readonly lines: readonly string[];
}

const LOOK_EVERY_MS = HOUR_MS;
/** What was begun in a storm has come to an end so long after it. */
const CALM_MS = 2 * DAY_MS;

/**
 * One world from its plan: a storm of faults in which nothing wrong may happen, then a calm in which everything must
 * come right.
 */
export function runPlan(init: RunInit): Promise<RunResult> {
  return runWorld(init, live);
}

/** The world of a plan as `live` lets it go by; what is thrown there is a broken rule, too. */
export async function runWorld(
  { plan, codec, prefer, wishes }: RunInit & Pick<WorldInit, "wishes">,
  live: (world: World) => Promise<void>,
): Promise<RunResult> {
  const scheduler = await Scheduler.create(prefer === undefined ? {} : { prefer });
  const world = new World({ plan, scheduler, codec, wishes });
  const guard = raiseGuard(() => scheduler.isRunning);
  const onRejection = (error: unknown): void => world.broken(error);
  process.on("unhandledRejection", onRejection);
  try {
    await live(world);
  } catch (error) {
    // A broken rule of the core's own that was thrown where nothing catches it, or a world that stands still.
    if (world.violations.length === 0) world.broken(error);
  } finally {
    process.off("unhandledRejection", onRejection);
    guard.release();
  }
  reportStrays(world, guard);
  return {
    plan,
    violations: world.violations,
    hash: scheduler.trace.hex(),
    checkpoints: scheduler.trace.checkpoints,
    events: scheduler.events,
    virtualMs: scheduler.nowMs,
    labels: world.labels,
    lines: world.lines,
  };
}

async function live(world: World): Promise<void> {
  const { scheduler, plan } = world;
  await world.setUp();
  const originMs = scheduler.nowMs;
  const faults = new Faults(world);
  const workload = new Workload(world);
  faults.schedule(originMs);
  workload.schedule(originMs);
  lookAgain(world);
  const storm = scheduler.sleep(plan.world.stormMs);
  await world.until(storm, plan.world.stormMs + MINUTE_MS);
  world.note(undefined, "the storm is over");
  faults.heal();
  const calm = new Calm(world, workload);
  await world.until(
    world.begin(() => calm.run()),
    CALM_MS * 2,
  );
}

function lookAgain(world: World): void {
  checkState(world);
  world.scheduler.after(LOOK_EVERY_MS, () => lookAgain(world));
}

function reportStrays(world: World, guard: Guard): void {
  const [first] = guard.stray;
  if (first !== undefined) world.violate("determinism", first);
}

/** The first violation as one line. */
export function summaryOf(result: RunResult): string {
  const first = must(result.violations[0], "violation");
  return `${first.oracle}: ${first.message}`;
}
