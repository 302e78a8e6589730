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
  /** There was time to try whether any single fault or step can be left out. */
  readonly isComplete: boolean;
}

/** A storm that ends so long after the violation still has it. */
const MARGIN_MS = 60_000;
/** Shorter spans of a fault are not tried. */
const SPAN_MIN_MS = 1000;
/** Nor a shorter time in which the swarm comes to rest. */
const SETTLE_MIN_MS = 5 * 60_000;
/** Fewer machines are no swarm worth looking at. */
const NODES_MIN = 3;

type Part =
  | { readonly of: "fault"; readonly fault: FaultPlan }
  | { readonly of: "step"; readonly step: Step };

type Breaks = (plan: Plan) => Promise<boolean>;

/**
 * Leaves out of a plan what its violation does not need. First what makes every further attempt cheaper: whole kinds of
 * faults and steps, time in which nothing happens, machines; then single faults and steps, by halves and quarters (delta
 * debugging), and the spans of what is left. A plan is data, so that every attempt is a run like any other.
 */
export async function shrinkPlan(init: ShrinkInit, violationAtMs: number): Promise<Shrunk> {
  let runs = 0;
  const tried = new Set<string>();
  const breaks: Breaks = async (plan) => {
    const key = JSON.stringify(plan);
    if (tried.has(key) || !init.mayGoOn()) return false;
    tried.add(key);
    runs++;
    return init.stillBreaks(plan);
  };
  let plan = init.plan;
  plan = await orAsItWas(plan, withStorm(plan, violationAtMs + MARGIN_MS), breaks);
  plan = await withoutKinds(plan, breaks);
  plan = await shorter(plan, breaks);
  plan = await withoutLastMachines(plan, breaks);
  plan = withParts(plan, await minimised(partsOf(plan), (some) => breaks(withParts(plan, some))));
  const isComplete = init.mayGoOn();
  plan = await shorter(plan, breaks);
  plan = await withoutLastMachines(plan, breaks);
  for (let at = 0; at < plan.faults.length; at++) plan = await shortened(plan, at, breaks);
  return { plan, runs, isComplete };
}

async function orAsItWas(plan: Plan, changed: Plan, breaks: Breaks): Promise<Plan> {
  if (JSON.stringify(changed) === JSON.stringify(plan)) return plan;
  return (await breaks(changed)) ? changed : plan;
}

function withStorm(plan: Plan, stormMs: number): Plan {
  return { ...plan, world: { ...plan.world, stormMs: Math.min(plan.world.stormMs, stormMs) } };
}

/** All faults of one kind, all steps of one kind or machine at a time. */
async function withoutKinds(plan: Plan, breaks: Breaks): Promise<Plan> {
  const kinds = new Set(partsOf(plan).flatMap(kindsOf));
  let least = plan;
  for (const kind of kinds) {
    const rest = partsOf(least).filter((part) => !kindsOf(part).includes(kind));
    least = await orAsItWas(least, withParts(least, rest), breaks);
  }
  return least;
}

function kindsOf(part: Part): string[] {
  if (part.of === "fault") return [part.fault.kind];
  const { step } = part;
  return step.do === "snapshot" ? [`snapshots of ${step.node}`] : [step.do];
}

/** The storm ends with its last event, and the calm begins sooner. */
async function shorter(plan: Plan, breaks: Breaks): Promise<Plan> {
  const last = Math.max(0, ...[...plan.faults, ...plan.workload].map(({ atMs }) => atMs));
  let least = await orAsItWas(plan, withStorm(plan, last + MARGIN_MS), breaks);
  for (;;) {
    const { world } = least;
    const settleMs = Math.floor(world.settleMs / 4);
    if (settleMs < SETTLE_MIN_MS) return least;
    const sooner = { ...least, world: { ...world, settleMs } };
    if (!(await breaks(sooner))) return least;
    least = sooner;
  }
}

/** From the last one on, so that the others keep their places and what is drawn for them. */
async function withoutLastMachines(plan: Plan, breaks: Breaks): Promise<Plan> {
  let least = plan;
  while (least.world.nodes.length > NODES_MIN) {
    const fewer = withMachines(least, least.world.nodes.length - 1);
    if (!(await breaks(fewer))) return least;
    least = fewer;
  }
  return least;
}

function withMachines(plan: Plan, count: number): Plan {
  const isThere = (node: number): boolean => node < count;
  const faults = plan.faults.flatMap((fault): FaultPlan[] => {
    if ("a" in fault) {
      const [a, b] = [fault.a.filter(isThere), fault.b.filter(isThere)];
      return a.length === 0 || b.length === 0 ? [] : [{ ...fault, a, b }];
    }
    if (fault.kind === "silence") {
      const [from, to] = [fault.from.filter(isThere), fault.to.filter(isThere)];
      return from.length === 0 || to.length === 0 ? [] : [{ ...fault, from, to }];
    }
    return "node" in fault && !isThere(fault.node) ? [] : [fault];
  });
  const workload = plan.workload.filter(
    (step) => isThere(step.node) && (step.do !== "recover" || isThere(step.via)),
  );
  return { ...plan, world: { ...plan.world, nodes: plan.world.nodes.slice(0, count) }, faults, workload };
}

function partsOf(plan: Plan): Part[] {
  return [
    ...plan.faults.map((fault) => ({ of: "fault" as const, fault })),
    ...plan.workload.map((step) => ({ of: "step" as const, step })),
  ];
}

function withParts(plan: Plan, parts: readonly Part[]): Plan {
  return {
    ...plan,
    faults: parts.flatMap((part) => (part.of === "fault" ? [part.fault] : [])),
    workload: parts.flatMap((part) => (part.of === "step" ? [part.step] : [])),
  };
}

/** Halves the time that a fault lasts as long as the rule is still broken. */
async function shortened(plan: Plan, at: number, breaks: Breaks): Promise<Plan> {
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
