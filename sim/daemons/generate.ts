import { HOUR_MS, MIB } from "../../src/base/units.ts";
import { planOf } from "../full/generate.ts";
import type { FaultKind, Plan } from "../full/plan.ts";
import { SeededRng } from "../rng.ts";
import { DAEMON_FAULT_KINDS } from "./script.ts";

export interface DaemonWishes {
  /** @default 9 */
  readonly nodes?: number | undefined;
  /** @default 2 to 4 */
  readonly sites?: number | undefined;
  readonly kinds?: readonly FaultKind[] | undefined;
  readonly beyond?: boolean | undefined;
}

const NODES = 9;
/** A plan has sizes at 1/256: this is a megabit a second of the field. */
const MBIT_BYTES = 1_000_000 / 8 / 256;

/**
 * The plan of a seed, with nothing in it that daemons cannot do; the simulator runs it as well. Uplinks are those of
 * branches: from 10 Mbit/s on.
 */
export function daemonPlanOf(seed: string, wishes: DaemonWishes = {}): Plan {
  const rng = new SeededRng(`daemons/${seed}`);
  const nodes = wishes.nodes ?? NODES;
  const kinds = wishes.kinds ?? rng.shuffled(DAEMON_FAULT_KINDS).slice(0, 2 + rng.below(4));
  const sites = Math.min(nodes, wishes.sites ?? 2 + rng.below(3));
  const beyond = wishes.beyond ?? false;
  const { world, ...rest } = planOf(seed, { nodes, sites, kinds, beyond, deletion: false });
  const { quotaBytes: _, auditEveryMs: __, ...kept } = world;
  const shrink = HOUR_MS / world.stormMs;
  const when = <T extends { atMs: number }>(item: T): T => {
    const moved = { ...item, atMs: item.atMs * shrink };
    if ("forMs" in moved && typeof moved.forMs === "number") moved.forMs *= shrink;
    return moved;
  };
  return {
    ...rest,
    world: {
      ...kept,
      stormMs: HOUR_MS,
      settleMs: HOUR_MS,
      nodes: world.nodes.map(({ host: ___, ...node }) => ({
        ...node,
        capacityBytes: 4 * MIB,
        bytesPerSecond: MBIT_BYTES * rng.pick([10, 10, 20, 50, 100]),
        skewMs: 0,
        rate: 1,
      })),
    },
    workload: rest.workload.map(when),
    faults: rest.faults.map(when),
  };
}
