import { setTimeout as sleep } from "node:timers/promises";
import { must } from "../../src/base/assert.ts";
import { Semaphore } from "../../src/base/concurrency.ts";
import { messageOf } from "../../src/base/fault.ts";
import { inviteResult } from "../../src/control/results.ts";
import { SeededRng } from "../rng.ts";
import type { LogLine } from "./daemon.ts";
import type { Lab } from "./lab.ts";
import { DaemonMachine, type MakeHome } from "./machine.ts";
import type { Environment } from "./program.ts";
import type { Script, ScriptNode } from "./script.ts";
import { Truth } from "./truth.ts";

export interface Violation {
  readonly oracle: string;
  readonly message: string;
  /** From the storm's beginning. */
  readonly atMs: number;
  readonly node?: string;
}

export interface Task {
  readonly what: string;
  readonly machine: DaemonMachine;
  readonly begunMs: number;
  state: "under way" | "done" | "failed";
  error?: unknown;
}

/** Of what the daemons logged as a warning or worse, and of what was done to them. */
const LINES_MAX = 4_000;
const COMMAND_MS = 180_000;
const MEET_MS = 600_000;
const LEVEL_WARN = 40;
/** The words of a program that has met with what cannot be. */
const BROKEN_EVENTS = ["uncaught-exception", "unhandled-rejection", "unhandled-rejections-too-many"];

export interface DaemonWorldInit {
  readonly script: Script;
  readonly lab: Lab;
  readonly environment: Environment;
  readonly onViolation: (violation: Violation) => void;
}

/** A swarm of real daemons, what is done to it, and what was found wrong with it. */
export class DaemonWorld {
  readonly script: Script;
  readonly lab: Lab;
  readonly rng: SeededRng;
  readonly truth = new Truth();
  readonly machines: DaemonMachine[] = [];
  readonly violations: Violation[] = [];
  readonly tasks: Task[] = [];
  readonly labels = new Map<string, number>();
  readonly lines: string[] = [];
  readonly #environment: Environment;
  readonly #onViolation: (violation: Violation) => void;
  #originMs = performance.now();
  #machinesMade = 0;

  constructor({ script, lab, environment, onViolation }: DaemonWorldInit) {
    this.script = script;
    this.lab = lab;
    this.rng = new SeededRng(script.seed);
    this.#environment = environment;
    this.#onViolation = onViolation;
  }

  /** Of the storm; below 0 while the swarm is founded. */
  get nowMs(): number {
    return performance.now() - this.#originMs;
  }

  get living(): DaemonMachine[] {
    return this.machines.filter(({ isDead }) => !isDead);
  }

  label(name: string): void {
    this.labels.set(name, (this.labels.get(name) ?? 0) + 1);
  }

  note(who: string, text: string): void {
    this.lines.push(`${(this.nowMs / 1000).toFixed(1)} s ${who}: ${text}`);
    if (this.lines.length > LINES_MAX) this.lines.shift();
  }

  violate(oracle: string, message: string, machine?: DaemonMachine): void {
    const violation = { oracle, message, atMs: this.nowMs, ...(machine && { node: machine.name }) };
    this.violations.push(violation);
    this.note(machine?.name ?? "world", `VIOLATED ${oracle}: ${message}`);
    this.#onViolation(violation);
  }

  /** Founds the swarm, and waits until everybody sees everybody. */
  async setUp(): Promise<void> {
    const { nodes } = this.script;
    const all = nodes.map((plan) => this.#newMachine(plan));
    this.machines.push(...all);
    const first = must(all[0], "first node");
    await first.make({ how: "init" });
    await first.daemon.start();
    const tokens = new Map<string, string>();
    for (const site of new Set(nodes.slice(1).map((node) => node.site))) {
      const args = ["invite", "--site", site, "--uses", String(nodes.length)];
      const invited = await first.daemon.ask(inviteResult, args, { withinMs: COMMAND_MS, accepted: [0] });
      tokens.set(site, invited.token);
    }
    // More at once than a small machine has processors only makes each slower.
    const gate = new Semaphore(3);
    await Promise.all(
      all.slice(1).map((machine) =>
        gate.run(async () => {
          await machine.make({ how: "join", token: must(tokens.get(machine.site), "token") });
          await machine.daemon.start();
        }),
      ),
    );
    const unmet = await this.meet();
    if (unmet !== undefined) throw new Error(`the swarm does not come together: ${unmet}`);
  }

  /** One more; it is a machine of the swarm once it has a home. */
  async addMachine(plan: ScriptNode, as: MakeHome): Promise<DaemonMachine> {
    const machine = this.#newMachine(plan);
    await machine.make(as);
    this.machines.push(machine);
    await machine.daemon.start();
    return machine;
  }

  #newMachine(plan: ScriptNode): DaemonMachine {
    const { lab, script } = this;
    const environment = this.#environment;
    return new DaemonMachine({
      ...{ lab, script, plan, environment, index: this.#machinesMade++ },
      onLine: (of, line) => this.#hear(of, line),
      onCollapse: (of, how) => this.violate("nothing-broken", how, of),
    });
  }

  /** From now on times are counted. */
  beginStorm(): void {
    this.#originMs = performance.now();
  }

  async until(atMs: number): Promise<void> {
    const leftMs = atMs - this.nowMs;
    if (leftMs > 0) await sleep(leftMs);
  }

  /** Runs what may fail; how it ended is kept with the task. */
  begin(machine: DaemonMachine, what: string, work: () => Promise<void>): Task {
    const task: Task = { what, machine, begunMs: this.nowMs, state: "under way" };
    this.tasks.push(task);
    void work().then(
      () => {
        task.state = "done";
        this.label(`${what}: done`);
      },
      (error: unknown) => {
        task.state = "failed";
        task.error = error;
        this.label(`${what}: failed`);
        this.note(machine.name, `${what} failed: ${messageOf(error)}`);
      },
    );
    return task;
  }

  underWay(machine: DaemonMachine, what: string): boolean {
    return this.tasks.some(
      (task) => task.machine === machine && task.what === what && task.state === "under way",
    );
  }

  /** Waits until every daemon that runs sees every other as alive; says who does not whom when it takes too long. */
  async meet(): Promise<string | undefined> {
    let unmet: string | undefined;
    await this.eventually(MEET_MS, async () => {
      unmet = await this.#unmet();
      return unmet === undefined;
    });
    return unmet;
  }

  async #unmet(): Promise<string | undefined> {
    const running = this.living.filter(({ isUsable }) => isUsable);
    for (const machine of running) {
      const { peers } = await machine.daemon.control(
        (handlers, context) => handlers.peers({}, context),
        COMMAND_MS,
      );
      const states = new Map(peers.map(({ peerId, state }) => [peerId, state]));
      for (const other of running) {
        const state = states.get(other.peerId) ?? "unknown";
        if (state === "unknown" || state === "unreachable" || state === "lost")
          return `${other.name} is ${state} to ${machine.name}`;
      }
    }
    return undefined;
  }

  /** Whether it came true in time. What is thrown meanwhile is a no. */
  async eventually(withinMs: number, isSo: () => Promise<boolean>): Promise<boolean> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      try {
        if (await isSo()) return true;
      } catch (error) {
        this.note("world", `asked in vain: ${messageOf(error)}`);
      }
      if (performance.now() > endMs) return false;
      await sleep(1000);
    }
  }

  #hear(machine: DaemonMachine, line: LogLine): void {
    if (line.level >= LEVEL_WARN) this.note(machine.name, JSON.stringify(line));
    if (BROKEN_EVENTS.includes(line.event))
      this.violate("nothing-broken", JSON.stringify(line).slice(0, 2000), machine);
  }
}
