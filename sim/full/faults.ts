import { unreachable } from "../../src/base/assert.ts";
import type { ShardId } from "../../src/base/ids.ts";
import type { SeededRng } from "../rng.ts";
import { Atlas } from "./atlas.ts";
import type { SimMachine } from "./machine.ts";
import type { FaultPlan } from "./plan.ts";
import { steal } from "./thief.ts";
import type { World } from "./world.ts";

/** Ends what a fault began. */
type Undo = () => void;

/** Brings the faults of a plan about, and heals them. What the atlas does not allow is left out. */
export class Faults {
  readonly #world: World;
  readonly #atlas: Atlas;
  readonly #lasting = new Set<Undo>();
  /** Put back what was there so long before a roll-back. */
  readonly #images = new Map<FaultPlan, Undo>();
  readonly #rng: SeededRng;
  #isHealed = false;

  constructor(world: World) {
    this.#world = world;
    this.#atlas = new Atlas(world);
    this.#rng = world.rng.fork("faults");
  }

  /** @param originMs when the storm begins */
  schedule(originMs: number): void {
    const { plan, scheduler } = this.#world;
    for (const [index, fault] of plan.faults.entries()) {
      const rng = this.#rng.fork(`${fault.kind} ${index}`);
      if (fault.kind === "roll-back")
        scheduler.at(originMs + Math.max(0, fault.atMs - fault.byMs), () => this.#takeImage(fault));
      scheduler.at(originMs + fault.atMs, () => this.#begin(fault, rng));
    }
  }

  /** Ends everything that can end. What is gone for good stays gone, and who cheats goes on cheating. */
  heal(): void {
    this.#isHealed = true;
    for (const undo of this.#lasting) undo();
    this.#lasting.clear();
  }

  #begin(fault: FaultPlan, rng: SeededRng): void {
    if (this.#isHealed) return;
    const world = this.#world;
    const undo = this.#apply(fault, rng);
    world.label(`${undo === "left out" ? "left out" : "fault"} ${fault.kind}`);
    world.note(undefined, `${undo === "left out" ? "left out" : "fault"} ${JSON.stringify(fault)}`);
    if (typeof undo !== "function" || !("forMs" in fault)) return;
    const end = (): void => {
      if (!this.#lasting.delete(end)) return;
      world.note(undefined, `ended ${fault.kind}`);
      undo();
      const machine = "node" in fault ? world.machines[fault.node] : undefined;
      if (machine !== undefined)
        machine.troubledUntilMs = Math.max(machine.troubledUntilMs, world.scheduler.nowMs);
    };
    this.#lasting.add(end);
    // While it lasts nobody has to find anything.
    const hit = "node" in fault ? world.machines[fault.node] : undefined;
    if (hit !== undefined)
      hit.troubledUntilMs = Math.max(hit.troubledUntilMs, world.scheduler.nowMs + fault.forMs);
    world.scheduler.after(fault.forMs, end);
  }

  #apply(fault: FaultPlan, rng: SeededRng): Undo | "done" | "left out" {
    switch (fault.kind) {
      case "cut":
        return this.#cut(fault.a, fault.b);
      case "flap":
        return this.#flap(fault);
      case "silence":
        return all(
          this.#pairs(fault.from, fault.to).map(([a, b]) => this.#world.links.silence(a.peer, b.peer)),
        );
      case "lose-requests":
      case "lose-answers":
      case "slow-links":
        return this.#linkTrouble(fault);
      default:
        return this.#onMachine(fault, rng);
    }
  }

  #onMachine(
    fault: Exclude<
      FaultPlan,
      { kind: "cut" | "flap" | "silence" | "lose-requests" | "lose-answers" | "slow-links" }
    >,
    rng: SeededRng,
  ): Undo | "done" | "left out" {
    if (fault.kind === "site-dies") return this.#siteDies(fault.site);
    const machine = this.#world.machines[fault.node];
    if (machine === undefined || machine.isDead) return "left out";
    switch (fault.kind) {
      case "hang":
        this.#world.networks.hang(machine.peer, true);
        return () => this.#world.networks.hang(machine.peer, false);
      case "pause": {
        const { process } = machine;
        process.pause();
        return () => process.resume();
      }
      case "crash":
        return this.#crash(machine);
      case "restart":
        return this.#restart(machine);
      case "clock-step":
        machine.clockError.skewMs += fault.byMs;
        machine.clockWasSet = true;
        return "done";
      case "die":
        return this.#die([machine]);
      case "roll-back":
        return this.#rollBack(machine, fault);
      case "cheat":
        if (!this.#atlas.mayLose([machine])) return "left out";
        machine.cheat = fault.how;
        return "done";
      case "lie-to-recoveries":
        if (!this.#atlas.mayLose([machine])) return "left out";
        machine.recoveryLie = fault.how;
        return "done";
      case "thief":
        if (!machine.isOn || machine.process.isPaused) return "left out";
        this.#world.run(machine, `theft (${fault.how})`, () => steal(this.#world, machine, fault.how));
        return "done";
      case "rot":
      case "lose-files":
      case "truncate":
      case "misdirect":
      case "lose-shards":
        return this.#damage(machine, fault, rng);
      case "slow-disk":
      case "full-disk":
      case "read-only-disk":
      case "unreadable-disk":
      case "pulled-disk":
        return this.#diskTrouble(machine, fault);
      default:
        return unreachable(fault);
    }
  }

  #cut(a: readonly number[], b: readonly number[]): Undo {
    return all(this.#pairs(a, b).map(([one, other]) => this.#world.links.cut(one.peer, other.peer)));
  }

  #flap({ a, b, everyMs }: Extract<FaultPlan, { kind: "flap" }>): Undo {
    let heal: Undo | undefined = this.#cut(a, b);
    let isOver = false;
    const turn = (): void => {
      if (isOver) return;
      if (heal === undefined) heal = this.#cut(a, b);
      else {
        heal();
        heal = undefined;
      }
      this.#world.scheduler.after(everyMs, turn);
    };
    this.#world.scheduler.after(everyMs, turn);
    return () => {
      isOver = true;
      heal?.();
    };
  }

  #pairs(a: readonly number[], b: readonly number[]): [SimMachine, SimMachine][] {
    const { machines } = this.#world;
    return a.flatMap((one) =>
      b.flatMap((other): [SimMachine, SimMachine][] => {
        const [left, right] = [machines[one], machines[other]];
        return left === undefined || right === undefined || one === other ? [] : [[left, right]];
      }),
    );
  }

  #linkTrouble(
    fault: Extract<FaultPlan, { kind: "lose-requests" | "lose-answers" | "slow-links" }>,
  ): Undo | "left out" {
    const end = this.#world.links.end(this.#world.machines[fault.node]?.peer);
    if (end === undefined) return "left out";
    switch (fault.kind) {
      case "lose-requests":
        end.losesRequests = fault.share;
        return () => {
          end.losesRequests = 0;
        };
      case "lose-answers":
        end.losesAnswers = fault.share;
        return () => {
          end.losesAnswers = 0;
        };
      case "slow-links":
        end.slowness *= fault.factor;
        return () => {
          end.slowness /= fault.factor;
        };
    }
  }

  #crash(machine: SimMachine): Undo | "left out" {
    if (!machine.isOn) return "left out";
    machine.isWanted = false;
    machine.crash();
    this.#world.forget(machine);
    return () => this.#world.startAgain(machine);
  }

  #restart(machine: SimMachine): Undo | "left out" {
    if (!machine.isOn) return "left out";
    this.#world.stopInOrder(machine);
    return () => this.#world.startAgain(machine);
  }

  #siteDies(site: string): "done" | "left out" {
    return this.#die(this.#world.living().filter((machine) => machine.site === site));
  }

  #die(machines: readonly SimMachine[]): "done" | "left out" {
    if (machines.length === 0 || !this.#atlas.mayLose(machines)) return "left out";
    for (const machine of machines) {
      this.#world.truth.damageAll(machine);
      machine.die();
      this.#world.forget(machine);
    }
    return "done";
  }

  #takeImage(fault: FaultPlan): void {
    const machine = "node" in fault ? this.#world.machines[fault.node] : undefined;
    if (machine !== undefined && !machine.isDead) this.#images.set(fault, machine.disk.image());
  }

  /** The machine's disk as it was: what came in since is gone, and counts as lost. */
  #rollBack(machine: SimMachine, fault: FaultPlan): "done" | "left out" {
    const image = this.#images.get(fault);
    if (image === undefined || !machine.isOn || !this.#atlas.mayLose([machine])) return "left out";
    this.#world.truth.damageAll(machine);
    machine.replaceDisk(image);
    this.#world.forget(machine);
    machine.wasRolledBack = true;
    this.#world.startAgain(machine);
    return "done";
  }

  #damage(
    machine: SimMachine,
    fault: Extract<FaultPlan, { kind: "rot" | "lose-files" | "truncate" | "misdirect" | "lose-shards" }>,
    rng: SeededRng,
  ): "done" | "left out" {
    const { shardDisk } = machine;
    const { truth } = this.#world;
    if (!this.#atlas.mayLose([machine])) return "left out";
    const held = shardDisk.sorted().map(({ id }) => id);
    const wanted = "shards" in fault ? fault.shards : fault.kind === "misdirect" ? 2 : held.length;
    const hit = rng.shuffled(held).slice(0, wanted);
    if (hit.length === 0 || (fault.kind === "misdirect" && hit.length < 2)) return "left out";
    for (const id of hit) truth.damage(machine, id);
    const [first, second] = hit;
    if (fault.kind === "misdirect" && first !== undefined && second !== undefined)
      shardDisk.swap(first, second);
    else for (const id of hit) damageOne(machine, id, fault.kind, rng);
    return "done";
  }

  #diskTrouble(
    { disk, shardDisk }: SimMachine,
    fault: Extract<
      FaultPlan,
      { kind: "slow-disk" | "full-disk" | "read-only-disk" | "unreadable-disk" | "pulled-disk" }
    >,
  ): Undo {
    switch (fault.kind) {
      case "slow-disk":
        disk.slowness *= fault.factor;
        return () => {
          disk.slowness /= fault.factor;
        };
      case "full-disk": {
        const taken = disk.freeBytes();
        disk.foreignBytes += taken;
        return () => {
          disk.foreignBytes -= taken;
        };
      }
      case "read-only-disk":
        disk.writeFault = "EROFS";
        return () => {
          disk.writeFault = undefined;
        };
      case "unreadable-disk":
        disk.readFault = "EIO";
        return () => {
          disk.readFault = undefined;
        };
      case "pulled-disk":
        shardDisk.pulledOut = "the disk is not mounted";
        return () => {
          shardDisk.pulledOut = undefined;
        };
    }
  }
}

function damageOne(
  { shardDisk }: SimMachine,
  id: ShardId,
  kind: "rot" | "lose-files" | "truncate" | "misdirect" | "lose-shards",
  rng: SeededRng,
): void {
  if (kind === "rot") shardDisk.flipBit(id, rng);
  else if (kind === "lose-files") shardDisk.loseFile(id);
  else if (kind === "truncate") shardDisk.truncate(id, rng.below(64));
  else shardDisk.delete(id);
}

function all(undos: readonly Undo[]): Undo {
  return () => {
    for (const undo of undos) undo();
  };
}
