import { KIB, MINUTE_MS, SECOND_MS } from "../../src/base/units.ts";
import type { FaultKind, FaultPlan, Plan, Step } from "../full/plan.ts";

/**
 * What real daemons are made to do: a plan of the simulator in real time and real sizes. Pure, and complete: each step of
 * the plan is in the script, or among what is refused with the reason.
 */

/** Faults that can be brought about from outside a program, without changing it. */
const DOABLE = [
  "cut",
  "flap",
  "silence",
  "slow-links",
  "hang",
  "pause",
  "crash",
  "restart",
  "rot",
  "lose-files",
  "truncate",
  "misdirect",
  "full-disk",
  "pulled-disk",
  "lose-shards",
  "die",
  "site-dies",
] as const satisfies readonly FaultKind[];
export type DaemonFaultKind = (typeof DOABLE)[number];
export type DaemonFault = Extract<FaultPlan, { kind: DaemonFaultKind }>;
export const DAEMON_FAULT_KINDS: readonly DaemonFaultKind[] = DOABLE;

const WHY_NOT: Readonly<Record<Exclude<FaultKind, DaemonFaultKind>, string>> = {
  "lose-requests": "what is on the wire is encrypted: one request cannot be told from another",
  "lose-answers": "what is on the wire is encrypted: one answer cannot be told from another",
  "slow-disk": "there is no device that one could slow down",
  "clock-step": "the clock of this machine is everybody's",
  "read-only-disk": "a file system with open files does not become read-only",
  "unreadable-disk": "there is no device that one could make fail",
  "roll-back": "an image of a running home would have to be taken",
  cheat: "the program would have to be another one",
  "lie-to-recoveries": "the program would have to be another one",
  thief: "the program would have to be another one",
};

/** What this machine can do besides. */
export interface LinkAbilities {
  /** Packets can be delayed (netem). */
  readonly delay: boolean;
}

export type SnapshotStep = Extract<Step, { do: "snapshot" }>;

export interface ScriptNode {
  readonly site: string;
  readonly capacityBytes: number;
  readonly uplinkBitsPerSecond: number;
}

export interface Script {
  readonly seed: string;
  readonly nodes: readonly ScriptNode[];
  readonly delayMs: number;
  readonly stormMs: number;
  readonly beyond: boolean;
  /** The first snapshot of each owner: made before the storm, so that there is something to lose when it begins. */
  readonly first: readonly SnapshotStep[];
  /** In order of time, as all times real milliseconds from the storm's beginning. */
  readonly steps: readonly Step[];
  readonly faults: readonly DaemonFault[];
  /** Steps and properties of the plan that cannot be had, each with why. */
  readonly refused: readonly string[];
  /** What is otherwise than in the simulator, and changes no rule. */
  readonly notes: readonly string[];
}

/** A plan's sizes are those of a format at 1/256: daemons have the real one. */
const SIZE_FACTOR = 256;
const STORM_MS = MINUTE_MS;
/** Shorter, a fault is over before a program of a busy machine has noticed. */
const FOR_MS_MIN = 2 * SECOND_MS;
const TURN_MS_MIN = SECOND_MS;
/** Of what a kernel can shape well. */
const UPLINK_BITS_MIN = 64 * KIB * 8;
const CAPACITY_BYTES_MAX = 4 * 1024 * 1024 * KIB;

/** The storm of a plan takes a minute here, however long it takes there. */
export function scriptOf(plan: Plan, { delay }: LinkAbilities): Script {
  const { world } = plan;
  const scale = Math.min(1, STORM_MS / Math.max(1, world.stormMs));
  const refused = [...refusedOfWorld(plan)];
  const faults: DaemonFault[] = [];
  for (const fault of plan.faults) {
    if (isDoable(fault)) faults.push(inRealTime(fault, scale));
    else refused.push(`${fault.kind} at ${fault.atMs} ms: ${whyNot(fault.kind)}`);
  }
  const steps = plan.workload
    .map((step) => ({ ...step, atMs: step.atMs * scale }))
    .sort((a, b) => a.atMs - b.atMs);
  const first = firstOf(steps);
  return {
    seed: plan.seed,
    nodes: world.nodes.map(({ site, capacityBytes, bytesPerSecond }) => ({
      site,
      capacityBytes: Math.min(CAPACITY_BYTES_MAX, Math.round(capacityBytes * SIZE_FACTOR)),
      uplinkBitsPerSecond: Math.max(UPLINK_BITS_MIN, Math.round(bytesPerSecond * SIZE_FACTOR * 8)),
    })),
    delayMs: delay ? world.latencyMs : 0,
    stormMs: world.stormMs * scale,
    beyond: world.beyond,
    first,
    steps: steps.filter((step) => !first.some((one) => one === step)),
    faults: faults.sort((a, b) => a.atMs - b.atMs),
    refused,
    notes: notesOf(plan, scale, delay),
  };
}

export function isDoable(fault: FaultPlan): fault is DaemonFault {
  return DAEMON_FAULT_KINDS.some((kind) => kind === fault.kind);
}

function whyNot(kind: Exclude<FaultKind, DaemonFaultKind>): string {
  return WHY_NOT[kind];
}

function firstOf(steps: readonly Step[]): SnapshotStep[] {
  const first = new Map<number, SnapshotStep>();
  for (const step of steps) if (step.do === "snapshot" && !first.has(step.node)) first.set(step.node, step);
  return [...first.values()];
}

function inRealTime(fault: DaemonFault, scale: number): DaemonFault {
  const moved = { ...fault, atMs: fault.atMs * scale };
  if ("forMs" in moved) moved.forMs = Math.max(FOR_MS_MIN, moved.forMs * scale);
  if (moved.kind === "flap") moved.everyMs = Math.max(TURN_MS_MIN, moved.everyMs * scale);
  return moved;
}

function* refusedOfWorld({ world }: Plan): Generator<string> {
  for (const [index, { skewMs, rate }] of world.nodes.entries())
    if (skewMs !== 0 || rate !== 1) yield `clock of node ${index}: ${WHY_NOT["clock-step"]}`;
  if (world.quotaBytes !== undefined) yield "quotaBytes: what members may store is not checked here";
  if (world.spoolMaxBytes !== undefined) yield "spoolMaxBytes: the spool is bounded by the disk here";
  if (world.auditEveryMs !== undefined) yield "auditEveryMs: audits are not checked here";
}

function notesOf({ world, faults }: Plan, scale: number, delay: boolean): string[] {
  const kinds = new Set(faults.map(({ kind }) => kind));
  return [
    "every owner saves once before the storm",
    ...(scale < 1 ? [`times are ${(1 / scale).toFixed(0)} times as short as in the plan`] : []),
    ...(delay || world.latencyMs === 0
      ? []
      : [`links have no delay of ${world.latencyMs} ms: this kernel has no netem`]),
    ...(world.nodes.some(({ host }) => host !== undefined) ? ["all nodes are on this host"] : []),
    ...(kinds.has("crash") ? ["a crash is a kill -9: what was not synced is not lost"] : []),
    ...(kinds.has("hang") || kinds.has("pause") ? ["hanging and paused programs are stopped (SIGSTOP)"] : []),
  ];
}

/** Why daemons cannot have a fault that the simulator has; `undefined` for others. */
export function refusalOf(kind: string): string | undefined {
  return Object.entries(WHY_NOT).find(([name]) => name === kind)?.[1];
}
