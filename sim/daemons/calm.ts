import { must } from "../../src/base/assert.ts";
import { messageOf } from "../../src/base/fault.ts";
import { verifyResult } from "../../src/control/results.ts";
import { scrubResult } from "../../src/control/scrub-api.ts";
import { startAgain } from "./faults.ts";
import type { DaemonMachine } from "./machine.ts";
import { checkBlame, checkDisks, checkSaid, checkScrubbed } from "./oracles.ts";
import { CommandFailed } from "./program.ts";
import type { TrueSnapshot } from "./truth.ts";
import type { DaemonWorkload } from "./workload.ts";
import type { DaemonWorld } from "./world.ts";

/** What could not be placed in the storm is tried again after five minutes at the latest, and then takes what it takes. */
const CONVERGE_MS = 600_000;
const TASKS_MS = 600_000;
const COMMAND_MS = 600_000;
/** What a swarm may rightly say to somebody who saves. */
const EXCUSES: readonly (string | undefined)[] = ["QUOTA_EXCEEDED", "SPOOL_FULL", "NO_ROOM"];

/** After the storm: everything that can heal has healed, and everything must come right. */
export class DaemonCalm {
  readonly #world: DaemonWorld;
  readonly #workload: DaemonWorkload;

  constructor(world: DaemonWorld, workload: DaemonWorkload) {
    this.#world = world;
    this.#workload = workload;
  }

  async run(): Promise<void> {
    const world = this.#world;
    for (const machine of world.living) if (!machine.daemon.isRunning) await startAgain(world, machine);
    const unmet = await world.meet();
    if (unmet !== undefined) return world.violate("converges", `the links are back, and ${unmet}`);
    await this.#checkNothingHangs();
    await this.#scrubAll();
    await this.#checkConverged();
    checkDisks(world);
    await this.#checkBlame();
    for (const machine of this.#usable()) await this.#restoreAll(machine);
    await this.#believeStatus();
    await this.#snapshotAll();
    await this.#recoverAll();
    checkDisks(world);
    await this.#stopAll();
  }

  #usable(): DaemonMachine[] {
    return this.#world.living.filter(({ isUsable }) => isUsable);
  }

  async #checkNothingHangs(): Promise<void> {
    const world = this.#world;
    await world.eventually(TASKS_MS, async () => world.tasks.every(({ state }) => state !== "under way"));
    for (const { what, machine, begunMs, state } of world.tasks)
      if (state === "under way")
        world.violate(
          "nothing-hangs",
          `${what} of ${(begunMs / 1000).toFixed(0)} s is still under way`,
          machine,
        );
    for (const { what, machine, error } of world.tasks)
      if (error instanceof CommandFailed && error.ran.isLate)
        world.violate("nothing-hangs", `${what}: ${error.message}`, machine);
  }

  /** After everybody was audited by everybody whose shards it has. */
  async #checkBlame(): Promise<void> {
    const world = this.#world;
    for (const machine of this.#usable()) {
      if (world.truth.snapshotsOf(machine).length > 0)
        await machine.daemon.control(
          (handlers, context) => handlers.audit({ now: true }, context),
          COMMAND_MS,
        );
      const { peers } = await machine.daemon.control(
        (handlers, context) => handlers.peers({}, context),
        COMMAND_MS,
      );
      checkBlame(world, machine, peers);
    }
  }

  async #scrubAll(): Promise<void> {
    const world = this.#world;
    for (const machine of this.#usable()) {
      if (!machine.wasHit) continue;
      try {
        const asked = { withinMs: COMMAND_MS, accepted: [0, 4] };
        const { corrupt } = await machine.daemon.ask(scrubResult, ["scrub", "--now"], asked);
        world.label(`scrub: ${corrupt > 0 ? "found something" : "found nothing"}`);
        checkScrubbed(world, machine);
      } catch (error) {
        world.violate("scrub-finds", messageOf(error), machine);
      }
    }
  }

  /** What waited to be placed is placed, where nothing was lost. */
  async #checkConverged(): Promise<void> {
    const world = this.#world;
    if (world.machines.some(({ isDead, wasHit }) => isDead || wasHit)) return;
    let waiting = "";
    const isThrough = await world.eventually(CONVERGE_MS, async () => {
      for (const machine of this.#usable()) {
        const { spool, repository } = await machine.daemon.control(
          (handlers, context) => handlers.status({}, context),
          COMMAND_MS,
        );
        waiting = `${machine.name}: ${spool.segments} segments wait, the newest is ${repository.newest?.state}`;
        if (spool.segments > 0 || repository.newest?.state === "pending") return false;
      }
      return true;
    });
    if (!isThrough) world.violate("converges", waiting);
  }

  async #restoreAll(machine: DaemonMachine): Promise<void> {
    const mine = this.#world.truth.snapshotsOf(machine);
    for (const snapshot of new Set([mine.at(-1), mine[0], mine[mine.length >> 1]])) {
      if (snapshot === undefined) continue;
      await this.#mustRestore(machine, snapshot, "a restore after the storm");
      const asked = { withinMs: COMMAND_MS, accepted: [0, 4, 11] };
      const said = await machine.daemon.ask(verifyResult, ["verify", snapshot.id], asked);
      checkSaid(this.#world, snapshot, said);
    }
  }

  async #mustRestore(machine: DaemonMachine, snapshot: TrueSnapshot, what: string): Promise<boolean> {
    const world = this.#world;
    try {
      await this.#workload.restoreThis(machine, snapshot);
      world.label(what);
      return true;
    } catch (error) {
      if (world.script.beyond) world.label(`${what}: failed beyond the profile`);
      else
        world.violate("restorable", `${what} of ${snapshot.id.slice(0, 12)}: ${messageOf(error)}`, machine);
      return false;
    }
  }

  /** What an owner says that its newest snapshot survives is brought about, and the snapshot has to come back. */
  async #believeStatus(): Promise<void> {
    const world = this.#world;
    const rng = world.rng.fork("believe");
    const owners = this.#usable().filter((one) => world.truth.snapshotsOf(one).length > 0);
    if (owners.length === 0) return;
    const owner = rng.pick(owners);
    const { snapshots } = await owner.daemon.control(
      (handlers, context) => handlers.snapshots({ tags: [], paths: [] }, context),
      COMMAND_MS,
    );
    const mine = world.truth.snapshotsOf(owner);
    const known = mine.findLast(({ id }) => snapshots.some(({ snapshotId }) => snapshotId === id));
    const said = snapshots.find(({ snapshotId }) => snapshotId === known?.id);
    if (known === undefined || said === undefined) return;
    const others = this.#usable().filter((one) => one !== owner);
    const sites = rng.shuffled([...new Set(others.map(({ site }) => site))]).slice(0, said.survives.sites);
    const off =
      said.survives.sites > 0
        ? others.filter(({ site }) => sites.includes(site))
        : rng.shuffled(others).slice(0, said.survives.nodes);
    if (off.length === 0) return world.label("nothing is said to survive anything");
    world.note(
      "world",
      `off, as ${owner.name} says that it survives it: ${off.map(({ name }) => name).join(" ")}`,
    );
    await Promise.all(off.map((machine) => machine.daemon.kill()));
    const violations = world.violations.length;
    const isBack = await this.#mustRestore(owner, known, "a restore without what it is said to survive");
    if (!isBack && world.violations.length > violations)
      world.violate(
        "honest-status",
        `${known.id.slice(0, 12)} is said to survive ${JSON.stringify(said.survives)}`,
        owner,
      );
    for (const machine of off) await startAgain(world, machine);
    const unmet = await world.meet();
    if (unmet !== undefined) world.violate("converges", `all are on again, and ${unmet}`);
  }

  async #snapshotAll(): Promise<void> {
    const world = this.#world;
    for (const machine of this.#usable()) {
      const task = this.#workload.snapshot(machine, { changes: 1e6 + machine.index, wait: "queued" });
      if (task === undefined) continue;
      await world.eventually(COMMAND_MS, async () => task.state !== "under way");
      const { state, error } = task;
      const isExcused = error instanceof CommandFailed && EXCUSES.includes(error.code);
      if (state === "failed" && !isExcused)
        world.violate("can-save", `a snapshot after the storm failed: ${messageOf(error)}`, machine);
      if (state === "under way") world.violate("nothing-hangs", "a snapshot after the storm hangs", machine);
    }
  }

  /** Whoever burnt down comes back from 24 words, and with it what was acknowledged. */
  async #recoverAll(): Promise<void> {
    const world = this.#world;
    for (const lost of world.machines.filter(({ isDead, isReplaced }) => isDead && !isReplaced)) {
      const newest = world.truth.snapshotsOf(lost).at(-1);
      const via = this.#usable()[0];
      if (newest === undefined || via === undefined) continue;
      try {
        const onto = await this.#workload.recover(lost, via);
        const unmet = await world.meet();
        if (unmet !== undefined) world.violate("converges", `after a recovery ${unmet}`);
        world.label("recover: done");
        await this.#mustRestore(onto, must(newest, "newest snapshot"), "a restore after a recovery");
      } catch (error) {
        if (world.script.beyond) world.label("recover: failed beyond the profile");
        else world.violate("recoverable", `${lost.name} does not come back: ${messageOf(error)}`, via);
      }
    }
  }

  async #stopAll(): Promise<void> {
    await Promise.all(
      this.#usable().map(async (machine) => {
        const how = await machine.daemon.stop();
        if (how === "hangs") this.#world.violate("nothing-hangs", "it does not stop", machine);
        else if (how !== 0)
          this.#world.violate("nothing-broken", `told to stop it ended with ${how}`, machine);
      }),
    );
  }
}
