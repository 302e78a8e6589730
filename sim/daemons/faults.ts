import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { unreachable } from "../../src/base/assert.ts";
import { messageOf } from "../../src/base/fault.ts";
import type { SeededRng } from "../rng.ts";
import type { DaemonMachine } from "./machine.ts";
import type { DaemonFault } from "./script.ts";
import { cutShort, exchange, type FoundShard, flipBit, listShards, removeFile } from "./shard-files.ts";
import type { DaemonWorld } from "./world.ts";

type Undo = () => Promise<void> | void;
type Applied = Undo | "done" | "left out";
type OnMachine = Exclude<DaemonFault, { kind: "cut" | "flap" | "silence" | "site-dies" }>;
type Damage = Extract<DaemonFault, { kind: "rot" | "lose-files" | "truncate" | "misdirect" | "lose-shards" }>;

const ASK_MS = 30_000;

/** Brings the faults of a script about, and heals them. What would take more than the profile promises is left out, aloud. */
export class DaemonFaults {
  readonly #world: DaemonWorld;
  readonly #lasting = new Map<Undo, { readonly kind: string; readonly timer: NodeJS.Timeout }>();
  readonly #ending = new Set<Promise<void>>();
  readonly #failures: unknown[] = [];
  #isHealed = false;

  constructor(world: DaemonWorld) {
    this.#world = world;
  }

  async begin(fault: DaemonFault, index: number): Promise<void> {
    if (this.#isHealed) return;
    const world = this.#world;
    let applied: Applied;
    try {
      applied = await this.#apply(fault, world.rng.fork(`${fault.kind} ${index}`));
    } catch (error) {
      world.note("world", `${fault.kind} could not be done: ${messageOf(error)}`);
      applied = "left out";
    }
    world.label(`${applied === "left out" ? "left out" : "fault"} ${fault.kind}`);
    world.note("world", `${applied === "left out" ? "left out" : "fault"} ${JSON.stringify(fault)}`);
    if (typeof applied !== "function" || !("forMs" in fault)) return;
    const timer = setTimeout(() => this.#end(applied), fault.forMs);
    this.#lasting.set(applied, { kind: fault.kind, timer });
  }

  /** Ends everything that can end. What is gone for good stays gone. Throws what went wrong with ending faults, now or before. */
  async heal(): Promise<void> {
    this.#isHealed = true;
    for (const undo of [...this.#lasting.keys()]) this.#end(undo);
    await Promise.all(this.#ending);
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  #end(undo: Undo): void {
    const lasting = this.#lasting.get(undo);
    if (lasting === undefined) return;
    this.#lasting.delete(undo);
    clearTimeout(lasting.timer);
    this.#world.note("world", `ended ${lasting.kind}`);
    const ended = (async () => undo())().catch((error: unknown) => void this.#failures.push(error));
    this.#ending.add(ended);
    void ended.then(() => this.#ending.delete(ended));
  }

  #apply(fault: DaemonFault, rng: SeededRng): Promise<Applied> | Applied {
    switch (fault.kind) {
      case "cut":
        return all([...this.#silence(fault.a, fault.b), ...this.#silence(fault.b, fault.a)]);
      case "silence":
        return all(this.#silence(fault.from, fault.to));
      case "flap":
        return this.#flap(fault);
      case "site-dies":
        return this.#die(this.#world.living.filter(({ site }) => site === fault.site));
      default: {
        const machine = this.#world.machines[fault.node];
        return machine === undefined || machine.isDead ? "left out" : this.#onMachine(machine, fault, rng);
      }
    }
  }

  #onMachine(machine: DaemonMachine, fault: OnMachine, rng: SeededRng): Promise<Applied> | Applied {
    switch (fault.kind) {
      case "slow-links":
        machine.shape(fault.factor);
        return () => machine.shape(1);
      case "hang":
      case "pause":
        return this.#pause(machine);
      case "crash":
        return this.#stop(machine, () => machine.daemon.kill());
      case "restart":
        return this.#stop(machine, async () => {
          const how = await machine.daemon.stop();
          if (how === "hangs") this.#world.violate("nothing-hangs", "it does not stop", machine);
        });
      case "full-disk":
        return fill(machine);
      case "pulled-disk":
        return pull(machine);
      case "die":
        return this.#die([machine]);
      case "rot":
      case "lose-files":
      case "truncate":
      case "misdirect":
      case "lose-shards":
        return this.#damage(machine, fault, rng);
      default:
        return unreachable(fault);
    }
  }

  #silence(from: readonly number[], to: readonly number[]): Undo[] {
    const { machines, lab } = this.#world;
    return from.flatMap((one) =>
      to.flatMap((other) => {
        const [a, b] = [machines[one], machines[other]];
        return a === undefined || b === undefined || a === b
          ? []
          : [lab.silence(a.daemon.host, b.daemon.host)];
      }),
    );
  }

  #flap({ a, b, everyMs }: Extract<DaemonFault, { kind: "flap" }>): Undo {
    const cut = (): Undo => all([...this.#silence(a, b), ...this.#silence(b, a)]);
    let heal: Undo | undefined = cut();
    const turn = setInterval(() => {
      const healNow = heal;
      heal = healNow === undefined ? cut() : undefined;
      void healNow?.();
    }, everyMs);
    return () => {
      clearInterval(turn);
      return heal?.();
    };
  }

  #pause(machine: DaemonMachine): Applied {
    if (!machine.isUsable) return "left out";
    machine.daemon.pause();
    return () => machine.daemon.resume();
  }

  async #stop(machine: DaemonMachine, how: () => Promise<void>): Promise<Applied> {
    if (!machine.isUsable) return "left out";
    machine.isOff = true;
    await how();
    return async () => {
      machine.isOff = false;
      if (!machine.isDead) await startAgain(this.#world, machine);
    };
  }

  async #die(machines: readonly DaemonMachine[]): Promise<Applied> {
    for (const machine of machines) if (!(await this.#isAllOut(machine))) return "left out";
    // Nothing is waited for from here on: what the disks have now is what is decided on.
    if (machines.length === 0 || !this.#mayLose(machines)) return "left out";
    const { truth } = this.#world;
    for (const machine of machines) {
      for (const { id } of listShards(machine.shardsFolder)) truth.hit(machine, id);
      machine.wasHit = true;
    }
    await Promise.all(machines.map((machine) => machine.burn()));
    return "done";
  }

  /** Whether an owner has told others all that it was believed to have saved: what waits in its spool would burn with it. */
  async #isAllOut(machine: DaemonMachine): Promise<boolean> {
    if (this.#world.script.beyond) return true;
    if (!machine.isUsable) return false;
    const [{ spool }, { snapshots }] = await machine.daemon.control(
      (handlers, context) =>
        Promise.all([handlers.status({}, context), handlers.snapshots({ tags: [], paths: [] }, context)]),
      ASK_MS,
    );
    return spool.segments === 0 && snapshots.every(({ state }) => state === "safe" || state === "full");
  }

  /**
   * Whether these machines may be lost with everything that they keep: every segment that was acknowledged keeps one shard
   * more than it needs, and half of the machines stay.
   */
  #mayLose(lost: readonly DaemonMachine[]): boolean {
    const world = this.#world;
    if (world.script.beyond) return true;
    const rest = world.living.filter((machine) => !lost.includes(machine));
    return rest.length * 2 > world.machines.length && world.truth.leastMargin(rest) >= 1;
  }

  #damage(machine: DaemonMachine, fault: Damage, rng: SeededRng): Applied {
    const { truth } = this.#world;
    const held = listShards(machine.shardsFolder);
    const wanted = "shards" in fault ? fault.shards : fault.kind === "misdirect" ? 2 : held.length;
    const hit = rng.shuffled(held).slice(0, wanted);
    if (hit.length === 0 || (fault.kind === "misdirect" && hit.length < 2)) return "left out";
    if (!this.#mayLose([machine])) return "left out";
    for (const { id } of hit) truth.hit(machine, id);
    const [first, second] = hit;
    if (fault.kind === "misdirect" && first !== undefined && second !== undefined)
      exchange(first.path, second.path);
    else for (const shard of hit) spoil(shard, fault.kind, rng);
    return "done";
  }
}

function spoil(shard: FoundShard, kind: Damage["kind"], rng: SeededRng): void {
  if (kind === "rot") flipBit(shard.path, rng.float());
  else if (kind === "truncate") cutShort(shard.path, rng.below(Math.max(1, shard.fileBytes)));
  else removeFile(shard.path);
}

/** Something else takes all the room of its disk. */
function fill(machine: DaemonMachine): Applied {
  const filler = join(machine.home, "filler");
  if (existsSync(filler)) return "left out";
  const { bavail, bsize } = statfsSync(machine.home);
  // The last byte is taken by a file that grows until it cannot.
  spawnSync("fallocate", ["-l", String(Math.max(bsize, (bavail - 1) * bsize)), filler]);
  spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4096", "oflag=append", "conv=notrunc"], {
    stdio: "ignore",
  });
  machine.isDiskFull = true;
  return () => {
    rmSync(filler, { force: true });
    machine.isDiskFull = false;
  };
}

/** The disk with others' shards is not mounted: its directory is empty. */
function pull(machine: DaemonMachine): Applied {
  if (machine.isDiskPulled) return "left out";
  const folder = machine.shardsFolder;
  renameSync(folder, `${folder}.away`);
  mkdirSync(folder, { mode: 0o700 });
  machine.isDiskPulled = true;
  return () => {
    if (machine.isDead) return;
    rmSync(folder, { recursive: true, force: true });
    renameSync(`${folder}.away`, folder);
    machine.isDiskPulled = false;
  };
}

/** What nothing keeps from running runs. */
export async function startAgain(world: DaemonWorld, machine: DaemonMachine): Promise<void> {
  try {
    await machine.daemon.start();
  } catch (error) {
    // Without a byte of room it may say so and end: the calm starts it again.
    if (machine.isDiskFull) world.note(machine.name, `it does not start on a full disk: ${messageOf(error)}`);
    else world.violate("nothing-broken", `it does not start again: ${messageOf(error)}`, machine);
  }
}

function all(undos: readonly Undo[]): Undo {
  return async () => {
    for (const undo of undos) await undo();
  };
}
