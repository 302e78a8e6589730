import { must } from "../../src/base/assert.ts";
import { messageOf } from "../../src/base/fault.ts";
import type { OwnerId, PeerId } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import type { ErasureCodec } from "../../src/erasure/index.ts";
import { lockMsOf } from "../../src/locks/lock-tag.ts";
import type { NetMessage } from "../../src/ports/index.ts";
import { createSimNetworks, type SimNetworks } from "../network.ts";
import { NodeClock } from "../node-clock.ts";
import { SeededRng } from "../rng.ts";
import type { Scheduler } from "../scheduler.ts";
import { cheatOn } from "./cheats.ts";
import { noteNeeds } from "./deleting.ts";
import { Deletions } from "./deletions.ts";
import { Links } from "./links.ts";
import { type Answered, isBroken, type LogFields, type MachineWishes, SimMachine } from "./machine.ts";
import { checkCollecting } from "./oracles/deletion.ts";
import { RepairNotes } from "./oracles/repairs.ts";
import { checkVersions } from "./oracles/state.ts";
import { Versions } from "./oracles/versions.ts";
import type { NodePlan, Plan } from "./plan.ts";
import { Truth } from "./truth.ts";

export interface Violation {
  /** Which rule. */
  readonly oracle: string;
  readonly message: string;
  readonly atMs: number;
  readonly node?: string;
}

/** Something that a step of the workload began, and that must end some day. */
export interface Task {
  readonly what: string;
  readonly machine: SimMachine;
  readonly begunMs: number;
  state: "under way" | "done" | "failed" | "died";
  error?: unknown;
}

export interface WorldInit {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly codec: ErasureCodec;
  readonly wishes?: MachineWishes | undefined;
}

/** The last lines of the nodes' logs that a report shows. */
const LINES_KEPT = 400;
const VIOLATIONS_MAX = 50;
/** A world that takes longer to be set up will never be. */
const SET_UP_MS = HOUR_MS;

/** Machines, their links, and what is really so. Oracles report here what must not be. */
export class World {
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly networks: SimNetworks;
  readonly links: Links;
  readonly rng: SeededRng;
  /** Of oracles that look at some of all: what they draw changes nothing else. */
  readonly checks: SeededRng;
  readonly truth: Truth;
  readonly machines: SimMachine[] = [];
  readonly violations: Violation[] = [];
  readonly tasks: Task[] = [];
  /** How often something happened that a run may or may not come to: events of the nodes, faults, outcomes. */
  readonly labels = new Map<string, number>();
  readonly repairs = new RepairNotes();
  readonly deletions = new Deletions();
  /** Owners that an administrator let go beyond the brake. */
  readonly released = new Set<OwnerId>();
  /** Owners of whom a holder kept something because of the brake, since the calm's prune: what it let go later is gone later. */
  readonly braked = new Set<string>();
  /** Of snapshots of which all holders have signed that they keep what they need: until when, in true time. */
  readonly lockedUntilMs = new Map<string, number>();
  readonly versions = new Versions();
  readonly lines: string[] = [];
  /** Is told of every request that was answered. */
  onExchange: ((answered: Answered) => void) | undefined;
  readonly #codec: ErasureCodec;
  readonly #wishes: MachineWishes | undefined;
  readonly #nodeRngs: SeededRng;
  /** Machines that were ever made, those of recoveries that failed too: each is another one. */
  #made = 0;

  constructor({ plan, scheduler, codec, wishes }: WorldInit) {
    this.plan = plan;
    this.scheduler = scheduler;
    this.#codec = codec;
    this.#wishes = wishes;
    this.truth = new Truth(() => scheduler.nowMs);
    this.rng = new SeededRng(plan.seed);
    this.checks = this.rng.fork("checks");
    this.#nodeRngs = this.rng.fork("nodes");
    // Its timers are of nobody's process: a clock that goes right.
    this.networks = createSimNetworks({ clock: new NodeClock(scheduler) });
    this.links = new Links(scheduler, this.networks, this.rng.fork("links"), plan.world.latencyMs);
  }

  /** Founds the swarm and lets everybody join, one after the other. */
  async setUp(): Promise<void> {
    await this.until(
      this.begin(() => this.#foundAndJoin()),
      SET_UP_MS,
    );
  }

  async #foundAndJoin(): Promise<void> {
    for (const plan of this.plan.world.nodes) {
      const machine = this.newMachine(plan);
      const [founder] = this.machines;
      if (founder === undefined) await machine.found();
      else await machine.join(founder, this.plan.world.quotaBytes);
      this.machines.push(machine);
      await machine.start();
      this.plugIn(machine);
    }
  }

  newMachine(plan: NodePlan): SimMachine {
    const index = this.#made++;
    const { scrubPeriodMs, syncEveryMs, auditEveryMs, spoolMaxBytes, collection } = this.plan.world;
    return new SimMachine({
      index,
      plan,
      scheduler: this.scheduler,
      networks: this.networks,
      codec: this.#codec,
      wishes: this.#wishes,
      rng: this.#nodeRngs.fork(`${index}`),
      events: {
        onLog: (machine, level, event, fields) => this.#logged(machine, level, event, fields),
        onBroken: (machine, error) => this.broken(error, machine),
        onAnswered: (answered) => this.#answered(answered),
      },
      scrubPeriodMs,
      syncEveryMs,
      auditEveryMs,
      spoolMaxBytes,
      collection,
    });
  }

  /** Its links are as its plan says. */
  plugIn(machine: SimMachine): void {
    const { bytesPerSecond } = machine.init.plan;
    const { peer, site } = machine;
    this.links.add({ peer, site, bytesPerSecond, slowness: 1, losesRequests: 0, losesAnswers: 0 });
  }

  machine(index: number): SimMachine {
    return must(this.machines[index], "machine of the world");
  }

  byPeer(peer: PeerId): SimMachine | undefined {
    return this.machines.find((machine) => machine.peer === peer);
  }

  /** Machines that are not gone for good. */
  living(): SimMachine[] {
    return this.machines.filter((machine) => !machine.isDead);
  }

  violate(oracle: string, message: string, machine?: SimMachine): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    const atMs = Math.round(this.scheduler.nowMs);
    this.violations.push({ oracle, message, atMs, ...(machine === undefined ? {} : { node: machine.name }) });
    this.scheduler.stop();
  }

  /** What nobody may throw was thrown. */
  broken(error: unknown, machine?: SimMachine): void {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.violate("nothing-broken", stack.split("\n").slice(0, 24).join(" | "), machine);
  }

  label(name: string): void {
    this.labels.set(name, (this.labels.get(name) ?? 0) + 1);
  }

  /** Starts something as an event of its own: from the real event loop nothing of the core may be called. */
  begin<T>(task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.scheduler.after(0, () => void task().then(resolve, reject));
    });
  }

  /** Lets time pass until it settles; fails where that takes longer. */
  async until<T>(promise: Promise<T>, withinMs: number): Promise<T> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
      this.scheduler.stop();
    };
    promise.then(settle, settle);
    const endMs = this.scheduler.nowMs + withinMs;
    while (!isSettled && this.violations.length === 0) {
      const before = this.scheduler.events;
      await this.scheduler.run(endMs);
      if (!isSettled && (this.scheduler.nowMs >= endMs || this.scheduler.events === before))
        throw new Error(`nothing came of it within ${Math.round(withinMs / MINUTE_MS)} min of virtual time`);
    }
    if (!isSettled) throw new Error("a rule was broken meanwhile");
    return promise;
  }

  /** Something of the workload, in the process that runs on the machine now: with it, it is gone. */
  run(machine: SimMachine, what: string, task: () => Promise<void>): void {
    const { process } = machine;
    const entry: Task = { what, machine, begunMs: this.scheduler.nowMs, state: "under way" };
    this.tasks.push(entry);
    task().then(
      () => {
        entry.state = "done";
        this.label(`${what}: done`);
      },
      (error: unknown) => {
        entry.state = "failed";
        entry.error = error;
        this.label(`${what}: ${error instanceof Error && "code" in error ? String(error.code) : "failed"}`);
        this.note(machine, `${what} failed: ${messageOf(error)}`);
        if (isBroken(error) && !process.isOver) this.broken(error, machine);
      },
    );
  }

  /** Its program starts on what the disk has; where that fails for want of a working disk, again after a while. */
  startAgain(machine: SimMachine): void {
    machine.isWanted = true;
    if (machine.isDead || machine.isOn || machine.isStarting) return;
    machine.isStarting = true;
    machine.start().then(
      () => {
        machine.isStarting = false;
        if (machine.isOn) checkVersions(this, machine);
      },
      (error: unknown) => {
        machine.isStarting = false;
        machine.crash();
        this.note(machine, `did not start: ${messageOf(error)}`);
        this.label("start failed");
        if (isBroken(error)) this.broken(error, machine);
        else this.scheduler.after(MINUTE_MS, () => this.startAgain(machine));
      },
    );
  }

  /** Its program ends, and begins again if it is wanted by then. */
  stopInOrder(machine: SimMachine): void {
    machine.isWanted = false;
    machine.stop().then(
      () => {
        this.forget(machine);
        const { sleeping } = machine;
        if (sleeping > 0) this.violate("nothing-leaked", `${sleeping} timers are left after a stop`, machine);
        if (machine.isWanted) this.startAgain(machine);
      },
      (error: unknown) => this.broken(error, machine),
    );
  }

  /** Of the workload, on this machine. */
  underWay(machine: SimMachine): Task[] {
    return this.tasks.filter((task) => task.machine === machine && task.state === "under way");
  }

  /** Nobody waits any more for what a process did that is over. */
  forget(machine: SimMachine): void {
    for (const task of this.underWay(machine)) task.state = "died";
  }

  note(machine: SimMachine | undefined, text: string): void {
    const time = (this.scheduler.nowMs / 1000).toFixed(3).padStart(12);
    this.lines.push(`${time} ${(machine?.name ?? "-").padEnd(4)} ${text}`);
    if (this.lines.length > LINES_KEPT * 2) this.lines.splice(0, LINES_KEPT);
  }

  #logged(machine: SimMachine, level: string, event: string, fields: LogFields): void {
    this.repairs.note(event, fields, (peer) =>
      this.machines.some((one) => one.peer === peer && one.isHonest),
    );
    if (event === "surplus-dropped") this.#dropped(machine, fields);
    checkCollecting(this, machine, event, fields);
    // A home that dies meanwhile says it with its next prune.
    if (event === "segments-given-up") this.begin(() => noteNeeds(this, machine)).catch(() => {});
    if (event === "deletion-braked") this.braked.add(String(fields["owner"]));
    if (event === "snapshot-locked") this.#noteLocked(machine, fields);
    this.scheduler.trace.mixText(event);
    this.label(`log ${event}`);
    if (level !== "debug") this.note(machine, `${level} ${event} ${JSON.stringify(fields)}`);
  }

  #noteLocked(machine: SimMachine, fields: LogFields): void {
    const leftMs = Date.parse(String(fields["until"])) - machine.wallMs;
    const untilMs = this.scheduler.nowMs + leftMs * 0.998;
    const id = String(fields["snapshot"]);
    const entry = this.truth.snapshots.find((one) => one.id === id)?.entry;
    // Told by a clock that was set since: then nobody knows what was meant.
    if (machine.clockWasSet || (entry !== undefined && leftMs > lockMsOf(entry))) return;
    this.lockedUntilMs.set(id, Math.max(this.lockedUntilMs.get(id) ?? 0, untilMs));
  }

  /** A thief had the keys of the life that it lives. */
  isRobbed(machine: SimMachine): boolean {
    const { owner, incarnation } = machine.node.repository.catalog;
    return this.truth.isRobbed(owner, incarnation);
  }

  /** What it has said it knows: its disk was never put back. */
  #isOneHome(owner: string): boolean {
    return this.machines.every(
      ({ identity, wasRolledBack }) => identity.keys.owner !== owner || !wasRolledBack,
    );
  }

  #dropped(machine: SimMachine, fields: LogFields): void {
    const named = this.machines.find(({ peer }) => peer === fields["holder"]);
    const wrong = this.truth.dropped(machine, String(fields["shard"]), named);
    if (wrong !== undefined && machine.isHonest) this.violate("swept-elsewhere", wrong, machine);
  }

  #answered(answered: Answered): NetMessage {
    const { machine, protocol } = answered;
    this.onExchange?.(answered);
    if (protocol === "data") {
      const wrong = this.truth.received(answered);
      if (wrong !== undefined) this.violate(wrong.oracle, wrong.message, machine);
      const back = this.versions.handed(answered, (owner) => this.#isOneHome(owner));
      if (back !== undefined) this.violate("versions", back, machine);
      const older = this.deletions.answered(answered);
      if (older !== undefined && machine.isHonest && !machine.wasRolledBack)
        this.violate("versions", older, machine);
    }
    return cheatOn(this, answered);
  }
}
