import { messageOf } from "../../src/base/fault.ts";
import { segmentKey } from "../../src/base/ids.ts";
import { HOUR_MS, MIB, MINUTE_MS, SECOND_MS } from "../../src/base/units.ts";
import { pruneAt } from "./deleting.ts";
import type { SimMachine } from "./machine.ts";
import { checkFound } from "./oracles/found.ts";
import { checkRepairs } from "./oracles/repairs.ts";
import { checkListed, checkSpace } from "./oracles/space.ts";
import { checkSpread } from "./oracles/spread.ts";
import { checkState } from "./oracles/state.ts";
import { checkTrails } from "./oracles/trail.ts";
import type { TrueSnapshot } from "./truth.ts";
import type { Workload } from "./workload.ts";
import type { World } from "./world.ts";

/** A restore, a snapshot or a recovery in a calm swarm. */
const TASK_MS = 2 * HOUR_MS;
/** A person's next command: until its entry has gone around, members that have not heard of a newcomer turn it away. */
const KNOWN_MS = 10 * SECOND_MS;
/** Of one owner: the newest and the oldest, and one between. */
const RESTORES_MAX = 3;
/** Until everybody has a live set. */
const SPREAD_MS = 5 * MINUTE_MS;

/** After the storm: what may still fail, and what must work. */
export class Calm {
  readonly #world: World;
  readonly #workload: Workload;

  constructor(world: World, workload: Workload) {
    this.#world = world;
    this.#workload = workload;
  }

  async run(): Promise<void> {
    const world = this.#world;
    world.repairs.calm();
    for (const machine of world.living()) world.startAgain(machine);
    await world.scheduler.sleep(world.plan.world.settleMs);
    this.#checkNothingHangs();
    await this.#checkConverged();
    checkFound(world);
    for (const machine of world.living()) if (machine.isOn) await this.#restoreAll(machine);
    await this.#snapshotAll();
    checkRepairs(world);
    checkSpread(world);
    await this.#pruneAll();
    await checkTrails(world);
    await this.#recoverAll();
    await this.#stopAll();
  }

  #checkNothingHangs(): void {
    const world = this.#world;
    for (const { what, machine, begunMs, state } of world.tasks)
      if (state === "under way")
        world.violate(
          "nothing-hangs",
          `${what} of ${Math.round(begunMs / 1000)} s is still under way`,
          machine,
        );
    for (const machine of world.living())
      if (!machine.isOn) world.violate("nothing-hangs", "it is not running though nothing keeps it", machine);
  }

  /** Where nothing was lost and there is room, what waited to be placed is placed by now. */
  async #checkConverged(): Promise<void> {
    const world = this.#world;
    const isWhole = world.truth.damaged.size === 0 && world.machines.every(isUntouched);
    if (!isWhole || world.plan.world.quotaBytes !== undefined) return;
    for (const machine of world.machines) {
      const { repository } = machine.node;
      if (repository.spool.segments > 0)
        world.violate("converges", `${repository.spool.segments} segments wait to be placed`, machine);
      const newest = (await repository.snapshots()).at(-1);
      if (newest === undefined || world.isRobbed(machine)) continue;
      const { state } = await repository.protectionOf(newest);
      world.label(`after the storm: ${state}`);
      if (state === "pending") world.violate("converges", "its newest snapshot is still pending", machine);
    }
  }

  async #restoreAll(machine: SimMachine): Promise<void> {
    const mine = this.#ofOwner(machine);
    const chosen = new Set([mine.at(-1), mine[0], mine[mine.length >> 1]].slice(0, RESTORES_MAX));
    for (const snapshot of chosen)
      if (snapshot !== undefined) await this.#mustRestore(machine, snapshot, "a restore after the storm");
  }

  async #mustRestore(machine: SimMachine, snapshot: TrueSnapshot, what: string): Promise<void> {
    const world = this.#world;
    if (!(await this.#isRestorable(machine, snapshot))) {
      world.label("restore: too little is left");
      if (!world.plan.world.beyond)
        world.violate(
          "restorable",
          `${what}: too few shards of ${snapshot.id.slice(0, 12)} are left`,
          machine,
        );
      return;
    }
    try {
      await withinTime(world, this.#workload.restoreThis(machine, snapshot));
      world.label("restore after the storm");
    } catch (error) {
      if (world.plan.world.beyond && this.#hasDead())
        return world.label("restore: failed beyond the profile");
      world.violate(
        "restorable",
        `${what} of ${snapshot.id.slice(0, 12)} failed: ${messageOf(error)}`,
        machine,
      );
    }
  }

  #hasDead(): boolean {
    return this.#world.machines.some((machine) => machine.isDead);
  }

  /** Whether honest machines that are there have enough of every segment, or it waits in the owner's spool. */
  async #isRestorable(machine: SimMachine, snapshot: TrueSnapshot): Promise<boolean> {
    const { truth } = this.#world;
    const there = this.#world.living().filter((one) => one.isHonest);
    const waiting = new Set<string>();
    const { catalog } = machine.node.repository;
    for await (const [ref, { spooled }] of catalog.segments.all())
      if (spooled) waiting.add(segmentKey(catalog.segmentId(ref)));
    return snapshot.segments.every((id) => {
      const key = segmentKey(id);
      return waiting.has(key) || (truth.segments.has(key) && truth.margin(id, there) >= 0);
    });
  }

  /** Everybody can still save, and what is saved is worth what it can be. */
  async #snapshotAll(): Promise<void> {
    const world = this.#world;
    for (const machine of world.living()) {
      if (!machine.isOn || machine.node.isFenced || machine.wasRolledBack) continue;
      const before = world.tasks.length;
      this.#workload.snapshot(machine, { changes: before, wait: "queued" });
      const task = world.tasks.at(-1);
      if (task === undefined || world.tasks.length === before) continue;
      await waitFor(world, () => task.state !== "under way");
      if (task.state === "failed" && !isExcused(task.error))
        world.violate("can-save", `a snapshot after the storm failed: ${messageOf(task.error)}`, machine);
      if (task.state === "under way")
        world.violate("nothing-hangs", "a snapshot after the storm hangs", machine);
    }
  }

  /** Everybody gives up what nothing needs, and a life of a segment later it is gone. */
  async #pruneAll(): Promise<void> {
    const world = this.#world;
    const { collection } = world.plan.world;
    if (collection === undefined) return;
    for (const machine of world.living()) {
      if (!machine.isOn || machine.node.isFenced || machine.wasRolledBack) continue;
      world.run(machine, "prune", () => pruneAt(world, machine));
      const task = world.tasks.at(-1);
      await waitFor(world, () => task?.state !== "under way");
      if (task?.state === "under way")
        world.violate("nothing-hangs", "a prune after the storm hangs", machine);
    }
    const { delayMs, trashMs, everyMs } = collection;
    world.braked.clear();
    await world.scheduler.sleep((delayMs + trashMs + 4 * everyMs) * 1.05 + SPREAD_MS);
    checkState(world);
    checkSpace(world);
    await checkListed(world);
    for (const machine of world.living()) if (machine.isOn) await this.#restoreAll(machine);
  }

  /** Whoever burnt down comes back from 24 words, and with it what was acknowledged. */
  async #recoverAll(): Promise<void> {
    const world = this.#world;
    for (const lost of world.machines.filter((machine) => machine.isDead && !machine.isReplaced)) {
      const mine = this.#ofOwner(lost);
      const newest = mine.at(-1);
      const via = world.living().find((machine) => machine.isOn && machine.isHonest);
      if (newest === undefined || via === undefined) continue;
      try {
        const onto = await withinTime(world, this.#workload.recover(lost, via));
        await world.scheduler.sleep(KNOWN_MS);
        await this.#mustRestore(onto, newest, "a restore after a recovery");
      } catch (error) {
        if (world.plan.world.beyond) world.label("recover: failed beyond the profile");
        else world.violate("recoverable", `${lost.name} does not come back: ${messageOf(error)}`, via);
      }
    }
  }

  async #stopAll(): Promise<void> {
    const world = this.#world;
    for (const machine of world.living()) {
      if (!machine.isOn) continue;
      try {
        await withinTime(world, machine.stop());
      } catch (error) {
        world.violate("nothing-hangs", `its program does not stop: ${messageOf(error)}`, machine);
      }
      const { sleeping } = machine;
      if (sleeping > 0) world.violate("nothing-leaked", `${sleeping} timers are left after a stop`, machine);
    }
  }

  #ofOwner(machine: SimMachine): TrueSnapshot[] {
    const { owner } = machine.identity.keys;
    return this.#world.truth.kept(owner);
  }
}

const ROOM_BYTES = 64 * MIB;

function isUntouched(machine: SimMachine): boolean {
  return (
    machine.isOn &&
    machine.isHonest &&
    !machine.wasRolledBack &&
    machine.init.plan.capacityBytes >= ROOM_BYTES
  );
}

/** What a swarm that lost machines for good may rightly say. */
function isExcused(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "QUOTA_EXCEEDED" || code === "SPOOL_FULL" || code === "HOME_BEHIND";
}

async function withinTime<T>(world: World, task: Promise<T>): Promise<T> {
  const late = world.scheduler.sleep(TASK_MS).then((): never => {
    throw new Error("it takes for ever");
  });
  return Promise.race([task, late]);
}

async function waitFor(world: World, holds: () => boolean): Promise<void> {
  const endMs = world.scheduler.nowMs + TASK_MS;
  while (!holds() && world.scheduler.nowMs < endMs) await world.scheduler.sleep(1000);
}
