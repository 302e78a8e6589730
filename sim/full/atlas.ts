import { segmentKey } from "../../src/base/ids.ts";
import type { SimMachine } from "./machine.ts";
import type { World } from "./world.ts";

/**
 * Where damage may be done: within what the profile promises to survive, so that whatever is lost then is a bug. It knows
 * all disks. After the damage every acknowledged segment must have one intact shard more than it needs on honest machines
 * that are still there, and every owner's newest head a keeper that may be lost besides.
 */
export class Atlas {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Whether these machines may be lost, or cheat, with everything that they keep. */
  mayLose(lost: readonly SimMachine[]): boolean {
    if (this.#world.plan.world.beyond) return true;
    const rest = this.#honest().filter((machine) => !lost.includes(machine));
    return this.#isEnough(rest, new Map()) && this.#keepsAdministration(lost);
  }

  /** How many of its shards a machine may lose one by one: those of which enough are left without it. */
  mayLoseShards(machine: SimMachine, wanted: number): number {
    if (this.#world.plan.world.beyond) return wanted;
    return this.mayLose([machine]) ? wanted : 0;
  }

  #honest(): SimMachine[] {
    return this.#world.living().filter((machine) => machine.isHonest);
  }

  #isEnough(machines: readonly SimMachine[], memo: Map<string, number>): boolean {
    const { truth } = this.#world;
    for (const id of truth.needed()) {
      const key = segmentKey(id);
      const margin = memo.get(key) ?? truth.margin(id, machines);
      memo.set(key, margin);
      if (margin < 1) return false;
    }
    return true;
  }

  /** Half of the machines at least stay: fewer have no majority, and a recovery would rightly be for reading only. */
  #keepsAdministration(lost: readonly SimMachine[]): boolean {
    const { machines } = this.#world;
    const left = this.#honest().filter((machine) => !lost.includes(machine)).length;
    return left * 2 > machines.length && left >= 2;
  }
}
