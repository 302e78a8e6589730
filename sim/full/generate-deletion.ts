import { DAY_MS, HOUR_MS, MIB, MINUTE_MS } from "../../src/base/units.ts";
import type { SeededRng } from "../rng.ts";
import type { FaultPlan, Plan, Step, Theft } from "./plan.ts";

export const THEFTS: readonly Theft[] = ["wipe", "empty-live-set", "replay", "leap", "fork", "of-another"];
/** Long enough for two lives of a segment: live, left out, in the trash, gone. */
const STORM_LEAST_MS = 3 * HOUR_MS;
const ROOM_BYTES = 64 * MIB;

/** The same plan, with somebody who forgets, prunes and locks, and sometimes somebody who would have everything gone. */
export function withDeletion(plan: Plan, rng: SeededRng): Plan {
  const stormMs = Math.max(plan.world.stormMs, STORM_LEAST_MS);
  const { nodes } = plan.world;
  const owners = rng.shuffled(nodes.map((_, node) => node)).slice(0, rng.pick([1, 1, 2]));
  const steps = owners.flatMap((node) => stepsOf(node, rng.fork(`steps ${node}`), stormMs));
  const [owner = 0] = owners;
  const faults = faultsOf(owner, nodes.length, rng.fork("faults"), stormMs);
  const lives = rng.fork("lives");
  if (lives.chance(0.3)) {
    // Burnt down, and back from 24 words before what was left out of the last live set is gone.
    const atMs = Math.floor(stormMs * (0.3 + 0.6 * lives.float()));
    faults.push({ kind: "die", atMs, node: owner });
    const via = lives.below(nodes.length);
    steps.push({ atMs: atMs + MINUTE_MS + lives.below(10 * MINUTE_MS), do: "recover", node: owner, via });
  }
  const byTime = (a: { readonly atMs: number }, b: { readonly atMs: number }): number => a.atMs - b.atMs;
  return {
    ...plan,
    world: {
      ...plan.world,
      // More is saved here than the smallest disks of a plan can take, and this is not about those.
      nodes: nodes.map((node) => ({ ...node, capacityBytes: Math.max(node.capacityBytes, ROOM_BYTES) })),
      stormMs,
      collection: {
        everyMs: 2 * MINUTE_MS,
        delayMs: rng.pick([8, 15]) * MINUTE_MS,
        trashMs: rng.pick([15, 30]) * MINUTE_MS,
        brakeWindowMs: rng.pick([1, 4]) * HOUR_MS,
        brakeShare: rng.pick([0.2, 0.5, 1]),
      },
    },
    workload: [...plan.workload, ...steps].sort(byTime),
    faults: [...plan.faults, ...faults].sort(byTime),
  };
}

/** The newest three are never forgotten: it takes some to have more. */
function stepsOf(node: number, rng: SeededRng, stormMs: number): Step[] {
  const steps: Step[] = [];
  const hasLocks = rng.chance(0.5);
  for (let left = 5 + rng.below(5); left > 0; left--) {
    const lock = hasLocks && rng.chance(0.4) ? { lockMs: rng.pick([20, 60, 240]) * MINUTE_MS } : {};
    const atMs = rng.below(stormMs * 0.8);
    steps.push({ atMs, do: "snapshot", node, changes: rng.below(1e6), wait: "safe", ...lock });
  }
  for (let left = 2 + rng.below(4); left > 0; left--) {
    const atMs = Math.floor(stormMs * (0.2 + 0.8 * rng.float()));
    if (rng.chance(0.5)) steps.push({ atMs, do: "forget", node, count: 1 + rng.below(4) });
    else steps.push({ atMs, do: "keep", node, last: 1 + rng.below(3) });
    if (rng.chance(0.8)) steps.push({ atMs: atMs + rng.below(10 * MINUTE_MS), do: "prune", node });
  }
  if (rng.chance(0.3))
    steps.push({ atMs: rng.below(stormMs / 2), do: "pin", node, back: rng.below(4), pinned: true });
  if (rng.chance(0.3)) steps.push({ atMs: rng.below(stormMs), do: "release", node });
  return steps;
}

/** What deletion is afraid of: a thief, a wrong clock, an old disk, and somebody who was away all the time. */
function faultsOf(owner: number, nodes: number, rng: SeededRng, stormMs: number): FaultPlan[] {
  const faults: FaultPlan[] = [];
  const atMs = (): number => Math.floor(stormMs * (0.1 + 0.8 * rng.float()));
  if (rng.chance(0.5)) faults.push({ kind: "thief", atMs: atMs(), node: owner, how: rng.pick(THEFTS) });
  if (rng.chance(0.2)) {
    const byMs = rng.pick([-3 * HOUR_MS, 3 * HOUR_MS, 20 * DAY_MS]);
    faults.push({ kind: "clock-step", atMs: atMs(), node: rng.below(nodes), byMs });
  }
  if (rng.chance(0.15))
    faults.push({ kind: "roll-back", atMs: atMs(), node: owner, byMs: rng.below(2 * HOUR_MS) });
  if (rng.chance(0.3)) {
    const from = Math.floor(stormMs * rng.float() * 0.4);
    faults.push({ kind: "restart", atMs: from, forMs: Math.floor(stormMs * 0.6), node: rng.below(nodes) });
  }
  return faults;
}
