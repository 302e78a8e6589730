import { DAY_MS, HOUR_MS, MIB, MINUTE_MS } from "../../src/base/units.ts";
import { type MachineWishes, UPKEEP } from "../full/machine.ts";
import type { FaultPlan, NodePlan, Plan, Step } from "../full/plan.ts";
import { SeededRng } from "../rng.ts";

export interface CoarseShape {
  readonly nodes: number;
  readonly sites: number;
  readonly hours: number;
  /** Of membership: as in the field, or all of them slower by the same factor. */
  readonly clocks: "field" | "coarse";
}

/** Beats each hour instead of every five minutes, and everything that is counted in beats with them. */
const COARSE_FACTOR = 12;

export function factorOf(clocks: CoarseShape["clocks"]): number {
  return clocks === "coarse" ? COARSE_FACTOR : 1;
}

/** What makes the clocks of a machine coarse. */
export function coarseWishes(
  clocks: CoarseShape["clocks"],
): Pick<MachineWishes, "upkeep" | "tickExchangeMs"> {
  const factor = factorOf(clocks);
  const { liveness } = UPKEEP;
  return {
    upkeep: {
      ...UPKEEP,
      liveness: {
        ...liveness,
        unreachableAfterMs: liveness.unreachableAfterMs * factor,
        beatSlackMs: liveness.beatSlackMs * factor,
        reportValidMs: liveness.reportValidMs * factor,
        returnStableMs: liveness.returnStableMs * factor,
      },
      beatEveryMs: UPKEEP.beatEveryMs * factor,
      checkMaxMs: MINUTE_MS * factor,
      assessEveryMs: UPKEEP.assessEveryMs * factor,
    },
    tickExchangeMs: (MINUTE_MS / 2) * factor,
  };
}

/** Who saves something: an owner's pool is 64 nodes at most, whatever the size of the swarm. */
const OWNERS_MAX = 20;
const UPLINK_BYTES_PER_SECOND = 1.25e6;
const CAPACITY_BYTES = 256 * MIB;

/**
 * A large swarm through its hours, as a fleet of branch servers has them: a few restart, crash or die, one site is cut off,
 * bytes rot, a disk fills up. Sizes are at 1/256, as in the full tier.
 */
export function coarsePlanOf(seed: string, shape: CoarseShape): Plan {
  const rng = new SeededRng(`coarse/${seed}`);
  const stormMs = shape.hours * HOUR_MS;
  return {
    v: 1,
    seed,
    world: {
      nodes: nodesOf(rng.fork("nodes"), shape),
      ...{ latencyMs: 20, stormMs, settleMs: HOUR_MS },
      ...{ scrubPeriodMs: DAY_MS, syncEveryMs: (MINUTE_MS / 2) * factorOf(shape.clocks), beyond: false },
    },
    workload: workloadOf(rng.fork("workload"), shape, stormMs),
    faults: faultsOf(rng.fork("faults"), shape, stormMs),
  };
}

function nodesOf(rng: SeededRng, { nodes, sites }: CoarseShape): NodePlan[] {
  return Array.from({ length: nodes }, (_, index) => ({
    site: `s${Math.floor((index * sites) / nodes)}`,
    ...{ capacityBytes: CAPACITY_BYTES, bytesPerSecond: UPLINK_BYTES_PER_SECOND, syncMs: 2 },
    skewMs: rng.below(4000) - 2000,
    rate: 1,
  }));
}

function workloadOf(rng: SeededRng, { nodes }: CoarseShape, stormMs: number): Step[] {
  const all = Array.from({ length: nodes }, (_, node) => node);
  const steps = rng
    .shuffled(all)
    .slice(0, OWNERS_MAX)
    .flatMap((node): Step[] => [
      {
        atMs: rng.below(stormMs / 4),
        do: "snapshot",
        node,
        changes: rng.below(1e6),
        wait: "safe",
      },
      {
        atMs: stormMs / 4 + rng.below(stormMs / 2),
        do: "snapshot",
        node,
        changes: rng.below(1e6),
        wait: "safe",
      },
      { atMs: stormMs / 2 + rng.below(stormMs / 2), do: "restore", node, back: rng.below(2) },
    ]);
  return steps.sort((a, b) => a.atMs - b.atMs);
}

function faultsOf(rng: SeededRng, { nodes, sites }: CoarseShape, stormMs: number): FaultPlan[] {
  const atMs = (): number => rng.below(stormMs);
  const forMs = (mostMs: number): number => MINUTE_MS + rng.below(Math.min(stormMs, mostMs));
  const node = (): number => rng.below(nodes);
  const times = (count: number, make: () => FaultPlan): FaultPlan[] => Array.from({ length: count }, make);
  // One in a hundred, and one at least.
  const some = Math.max(1, Math.round(nodes / 100));
  const cutOff = rng.below(sites);
  const isInside = (index: number): boolean => Math.floor((index * sites) / nodes) === cutOff;
  const all = Array.from({ length: nodes }, (_, index) => index);
  const [a, b] = [all.filter(isInside), all.filter((index) => !isInside(index))];
  return [
    ...(sites < 2 ? [] : [{ kind: "cut", atMs: stormMs / 3, forMs: forMs(2 * HOUR_MS), a, b } as const]),
    ...times(some, () => ({ kind: "restart", atMs: atMs(), forMs: forMs(HOUR_MS / 4), node: node() })),
    ...times(some, () => ({ kind: "crash", atMs: atMs(), forMs: forMs(6 * HOUR_MS), node: node() })),
    ...times(Math.ceil(some / 4), () => ({ kind: "die", atMs: atMs(), node: node() })),
    ...times(some, () => ({ kind: "rot", atMs: atMs(), node: node(), shards: 2 })),
    ...times(Math.ceil(some / 2), () => ({
      kind: "full-disk",
      atMs: atMs(),
      forMs: forMs(HOUR_MS),
      node: node(),
    })),
    ...times(Math.ceil(some / 2), () => ({
      kind: "hang",
      atMs: atMs(),
      forMs: forMs(HOUR_MS),
      node: node(),
    })),
  ].sort((one, other) => one.atMs - other.atMs);
}
