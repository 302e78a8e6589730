import { assert } from "../../src/base/assert.ts";
import type { FaultPlan, Plan, Step } from "./plan.ts";

export interface ShrinkInit {
  readonly plan: Plan;
  /** Whether this plan still breaks the same rule. */
  readonly stillBreaks: (plan: Plan) => Promise<boolean>;
  /** Asked between two attempts. */
  readonly mayGoOn: () => boolean;
}

export interface Shrunk {
  readonly plan: Plan;
  readonly runs: number;
  /** Everything that could be left out was tried. */
  readonly isComplete: boolean;
}

/** A storm that ends so long after the violation still has it. */
const MARGIN_MS = 60_000;
/** Shorter spans of a fault are not tried. */
const SPAN_MIN_MS = 1000;

type Part =
  | { readonly of: "fault"; readonly fault: FaultPlan }
  | { readonly of: "step"; readonly step: Step };

/**
 * Leaves out of a plan what its violation does not need: faults and steps, by halves and quarters (delta debugging), then
 * the spans of what is left. A plan is data, so that every attempt is a run like any other.
 */
export async function shrinkPlan(init: ShrinkInit, violationAtMs: number): Promise<Shrunk> {
  let runs = 0;
  const breaks = async (plan: Plan): Promise<boolean> => {
    if (!init.mayGoOn()) return false;
    runs++;
    return init.stillBreaks(plan);
  };
  let plan = init.plan;
  const shorter = {
    ...plan,
    world: { ...plan.world, stormMs: Math.min(plan.world.stormMs, violationAtMs + MARGIN_MS) },
  };
  if (shorter.world.stormMs < plan.world.stormMs && (await breaks(shorter))) plan = shorter;
  const parts: Part[] = [
    ...plan.faults.map((fault) => ({ of: "fault" as const, fault })),
    ...plan.workload.map((step) => ({ of: "step" as const, step })),
  ];
  const least = await minimised(parts, (some) => breaks(withParts(plan, some)));
  plan = withParts(plan, least);
  for (let at = 0; at < plan.faults.length; at++) plan = await shortened(plan, at, breaks);
  return { plan, runs, isComplete: init.mayGoOn() };
}

function withParts(plan: Plan, parts: readonly Part[]): Plan {
  return {
    ...plan,
    faults: parts.flatMap((part) => (part.of === "fault" ? [part.fault] : [])),
    workload: parts.flatMap((part) => (part.of === "step" ? [part.step] : [])),
  };
}

/** Halves the time that a fault lasts as long as the rule is still broken. */
async function shortened(plan: Plan, at: number, breaks: (plan: Plan) => Promise<boolean>): Promise<Plan> {
  let best = plan;
  for (;;) {
    const fault = best.faults[at];
    if (fault === undefined || !("forMs" in fault) || fault.forMs / 2 < SPAN_MIN_MS) return best;
    const halved = { ...fault, forMs: Math.floor(fault.forMs / 2) };
    const tried = { ...best, faults: best.faults.map((one, index) => (index === at ? halved : one)) };
    if (!(await breaks(tried))) return best;
    best = tried;
  }
}

/**
 * Zeller's ddmin: a part of the items that still fails and of which no single one can be left out. The items keep their
 * order. `fails` must hold for all of them.
 */
export async function minimised<T>(
  items: readonly T[],
  fails: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let rest = items;
  let pieces = 2;
  while (rest.length >= 1) {
    const size = Math.ceil(rest.length / pieces);
    const without = await firstFailing(rest, size, fails);
    if (without !== undefined) {
      rest = without;
      pieces = Math.max(2, pieces - 1);
    } else if (size === 1) return rest;
    else pieces = Math.min(rest.length, pieces * 2);
  }
  assert(rest.length === 0, "nothing is needed at all");
  return rest;
}

async function firstFailing<T>(
  items: readonly T[],
  size: number,
  fails: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[] | undefined> {
  for (let from = 0; from < items.length; from += size) {
    const without = [...items.slice(0, from), ...items.slice(from + size)];
    if (await fails(without)) return without;
  }
  return undefined;
}
