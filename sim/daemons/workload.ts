import { rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/base/fault.ts";
import { restoreResult, snapshotResult, verifyResult } from "../../src/control/results.ts";
import type { Step } from "../full/plan.ts";
import type { DaemonMachine } from "./machine.ts";
import { checkSaid } from "./oracles.ts";
import { CommandFailed } from "./program.ts";
import type { SnapshotStep } from "./script.ts";
import { changeFiles, contentsOf, differenceOf } from "./tree.ts";
import type { TrueSnapshot } from "./truth.ts";
import type { DaemonWorld, Task } from "./world.ts";

/** What hangs does so for longer. */
const COMMAND_MS = 600_000;

/** Does the steps of a script through the command line, as people at those machines would. */
export class DaemonWorkload {
  readonly #world: DaemonWorld;
  #restores = 0;

  constructor(world: DaemonWorld) {
    this.#world = world;
  }

  /** In peace a snapshot has to be made, and to be as good as the swarm's shape allows. */
  async saveFirst(steps: readonly SnapshotStep[]): Promise<void> {
    const world = this.#world;
    for (const step of steps) {
      const machine = world.machines[step.node];
      const task = machine === undefined ? undefined : this.snapshot(machine, step);
      if (machine === undefined || task === undefined) continue;
      await world.eventually(COMMAND_MS, async () => task.state !== "under way");
      if (task.state === "failed")
        world.violate("can-save", `a snapshot before the storm: ${messageOf(task.error)}`, machine);
      if (task.state === "under way")
        world.violate("nothing-hangs", "a snapshot before the storm hangs", machine);
    }
  }

  do(step: Step): void {
    const machine = this.#world.machines[step.node];
    if (machine === undefined) return;
    if (step.do === "recover") this.#recover(machine, step.via);
    else if (!machine.isUsable) this.#world.label(`${step.do}: machine is off`);
    else if (step.do === "snapshot") this.snapshot(machine, step);
    else if (step.do === "restore") this.#restore(machine, step.back);
    else if (step.do === "verify")
      this.#world.begin(machine, "verify", () => this.#verify(machine, step.readData));
  }

  /** Changes files, then saves them. While one snapshot reads them, they stay as they are. */
  snapshot(machine: DaemonMachine, step: { changes: number; wait: "safe" | "queued" }): Task | undefined {
    if (this.#world.underWay(machine, "snapshot")) {
      this.#world.label("snapshot: another one is under way");
      return undefined;
    }
    changeFiles(machine.source, `${this.#world.script.seed}/${machine.index}/${step.changes}`);
    return this.#world.begin(machine, "snapshot", () => this.#save(machine, step.wait));
  }

  async #save(machine: DaemonMachine, wait: "safe" | "queued"): Promise<void> {
    const world = this.#world;
    const contents = contentsOf(machine.source);
    const made = await machine.daemon.ask(snapshotResult, ["snapshot", machine.source, "--wait", wait], {
      withinMs: COMMAND_MS,
      accepted: [0, 4],
    });
    world.label(`snapshot ${made.state}`);
    if (made.unreadableCount > 0 || made.changedCount > 0)
      world.violate("identical", "files that nobody touched were unreadable or changed", machine);
    const { snapshotId: id, state, survives } = made;
    const look = world.truth.look(world.machines, machine.ownerId);
    world.truth.acknowledged({ machine, id, contents, state, survives, look });
  }

  #restore(machine: DaemonMachine, back: number): void {
    const mine = this.#world.truth.snapshotsOf(machine);
    const snapshot = mine.at(-1 - back) ?? mine[0];
    if (snapshot !== undefined)
      this.#world.begin(machine, "restore", () => this.restoreThis(machine, snapshot));
  }

  /** Restores one snapshot and compares every byte. Throws where the command says that it could not. */
  async restoreThis(machine: DaemonMachine, snapshot: TrueSnapshot): Promise<void> {
    const world = this.#world;
    const target = join(world.lab.directory, `restored-${this.#restores++}`);
    const short = snapshot.id.slice(0, 12);
    try {
      await machine.daemon.ask(restoreResult, ["restore", snapshot.id, "--target", target], {
        withinMs: COMMAND_MS,
        accepted: [0],
      });
      const restored = contentsOf(join(target, snapshot.machine.source));
      const wrong = differenceOf(snapshot.contents, restored);
      if (wrong !== undefined) world.violate("identical", `${wrong}, restored from ${short}`, machine);
    } catch (error) {
      if (error instanceof CommandFailed && error.code === "SNAPSHOT_UNKNOWN")
        world.violate("snapshot-listed", `the acknowledged ${short} is not listed`, machine);
      throw error;
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  }

  async #verify(machine: DaemonMachine, readData: boolean): Promise<void> {
    const mine = this.#world.truth.snapshotsOf(machine);
    const newest = mine.at(-1);
    if (newest === undefined) return;
    const args = ["verify", newest.id, ...(readData ? ["--read-data"] : [])];
    const accepted = [0, 4, 11];
    const said = await machine.daemon.ask(verifyResult, args, { withinMs: COMMAND_MS, accepted });
    checkSaid(this.#world, newest, said);
  }

  #recover(lost: DaemonMachine, viaIndex: number): void {
    const via = this.#world.machines[viaIndex];
    if (!lost.isDead || lost.isReplaced || via?.isUsable !== true) this.#world.label("recover: left out");
    else
      this.#world.begin(lost, "recover", async () => {
        await this.recover(lost, via);
      });
  }

  /** On a new machine at the same site. */
  async recover(lost: DaemonMachine, via: DaemonMachine): Promise<DaemonMachine> {
    lost.isReplaced = true;
    try {
      return await this.#world.addMachine(lost.plan, {
        how: "recover",
        keyFile: lost.daemon.recoveryKeyFile,
        via: this.#world.lab.listenAddress(via.daemon.host),
      });
    } catch (error) {
      lost.isReplaced = false;
      throw error;
    }
  }
}
