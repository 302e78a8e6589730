import type { Plan } from "../full/plan.ts";
import { DaemonCalm } from "./calm.ts";
import { DaemonFaults } from "./faults.ts";
import { Lab } from "./lab.ts";
import type { Environment } from "./program.ts";
import type { Script } from "./script.ts";
import { DaemonWorkload } from "./workload.ts";
import { DaemonWorld, type Violation } from "./world.ts";

export interface DaemonRun {
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  readonly labels: ReadonlyMap<string, number>;
  /** What was done to the swarm, and what its daemons complained about. */
  readonly lines: readonly string[];
  readonly durationMs: number;
}

export interface DaemonRunInit {
  readonly plan: Plan;
  readonly script: Script;
  /** Of all daemons. */
  readonly environment: Environment;
  /** Told of the lab as soon as there is one, so that it can be taken down however this ends. */
  readonly onLab: (lab: Lab) => void;
  readonly say: (text: string) => void;
}

/** One swarm of real daemons: founded, put through the storm of its script, and looked at in the calm after it. */
export async function runDaemons({
  plan,
  script,
  environment,
  onLab,
  say,
}: DaemonRunInit): Promise<DaemonRun> {
  const startedMs = performance.now();
  const lab = new Lab();
  onLab(lab);
  const world = new DaemonWorld({
    ...{ script, lab, environment },
    onViolation: ({ oracle, message, node }) => say(`VIOLATED ${oracle}: ${message} (${node ?? "world"})`),
  });
  try {
    say(`${script.nodes.length} daemons at ${new Set(script.nodes.map(({ site }) => site)).size} sites`);
    await world.setUp();
    const workload = new DaemonWorkload(world);
    say(`${script.first.length} owners save before the storm`);
    await workload.saveFirst(script.first);
    say(`storm: ${script.steps.length} steps, ${script.faults.length} faults`);
    await storm(world, workload);
    say("calm");
    await new DaemonCalm(world, workload).run();
  } finally {
    lab.dispose();
  }
  const { violations, labels, lines } = world;
  return { plan, violations, labels, lines, durationMs: performance.now() - startedMs };
}

async function storm(world: DaemonWorld, workload: DaemonWorkload): Promise<void> {
  const { script } = world;
  const faults = new DaemonFaults(world);
  const due = [
    ...script.faults.map((fault, index) => ({ atMs: fault.atMs, begin: () => faults.begin(fault, index) })),
    ...script.steps.map((step) => ({ atMs: step.atMs, begin: async () => workload.do(step) })),
  ].sort((a, b) => a.atMs - b.atMs);
  const begun: Promise<void>[] = [];
  world.beginStorm();
  for (const { atMs, begin } of due) {
    await world.until(atMs);
    begun.push(begin());
  }
  await world.until(script.stormMs);
  await Promise.all(begun);
  world.note("world", "the storm is over");
  await faults.heal();
}
