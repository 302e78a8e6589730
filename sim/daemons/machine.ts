import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { MIB } from "../../src/base/units.ts";
import { Daemon, type LogLine } from "./daemon.ts";
import type { Lab } from "./lab.ts";
import type { Environment } from "./program.ts";
import type { Script, ScriptNode } from "./script.ts";
import { SHORT_CLOCKS } from "./short-clocks.ts";

/** Of each home: in memory, taken only as far as it is used. */
const DISK_BYTES = 512 * MIB;
const COMMAND_MS = 180_000;

const made = z.object({ peerId: z.string(), ownerId: z.string() });

export interface MachineInit {
  readonly lab: Lab;
  readonly script: Script;
  readonly plan: ScriptNode;
  readonly environment: Environment;
  /** Of everything that ever was in the swarm. */
  readonly index: number;
  readonly onLine: (machine: DaemonMachine, line: LogLine) => void;
  readonly onCollapse: (machine: DaemonMachine, how: string) => void;
}

export type MakeHome =
  | { readonly how: "init" }
  | { readonly how: "join"; readonly token: string }
  | { readonly how: "recover"; readonly keyFile: string; readonly via: string };

/** One machine of a swarm of real daemons: a host of the lab, a disk of its own size, and a node. */
export class DaemonMachine {
  readonly index: number;
  readonly name: string;
  readonly site: string;
  readonly plan: ScriptNode;
  readonly daemon: Daemon;
  /** What it saves. */
  readonly source: string;
  readonly #lab: Lab;
  readonly #script: Script;
  #ids: z.output<typeof made> | undefined;
  /** Gone for good with everything on it. */
  isDead = false;
  /** Recovered on another machine. */
  isReplaced = false;
  /** A fault keeps its program from running. */
  isOff = false;
  /** A fault took something from its disk. */
  wasHit = false;
  /** Its folder of shards is elsewhere for now. */
  isDiskPulled = false;
  isDiskFull = false;

  constructor(init: MachineInit) {
    const { lab, script, plan, index, environment } = init;
    this.index = index;
    this.name = `n${index}`;
    this.site = plan.site;
    this.plan = plan;
    this.#lab = lab;
    this.#script = script;
    const host = lab.addHost();
    this.daemon = new Daemon({
      lab,
      host,
      home: join(lab.scratch("homes"), this.name),
      name: this.name,
      environment,
      onLine: (line) => init.onLine(this, line),
      onCollapse: (how) => init.onCollapse(this, how),
    });
    this.source = lab.scratch(join("source", this.name));
    this.shape(1);
  }

  get home(): string {
    return this.daemon.home;
  }

  get peerId(): string {
    return must(this.#ids, "ids of a machine").peerId;
  }

  get ownerId(): string {
    return must(this.#ids, "ids of a machine").ownerId;
  }

  /** Where the shards that it keeps lie now. */
  get shardsFolder(): string {
    return join(this.home, this.isDiskPulled ? "shards.away" : "shards");
  }

  /** Somebody sits before it and can type commands. */
  get isUsable(): boolean {
    return !this.isDead && !this.isOff && this.daemon.isRunning && !this.daemon.isPaused;
  }

  /** Mounts its disk and makes the home; the daemon is not started. */
  async make(as: MakeHome): Promise<void> {
    mkdirSync(this.home, { recursive: true });
    const options = `size=${DISK_BYTES},mode=0700`;
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", options, "none", this.home], {
      encoding: "utf8",
    });
    if (mounted.status !== 0) throw new Error(`a disk for ${this.name} cannot be mounted: ${mounted.stderr}`);
    const listen = this.#lab.listenAddress(this.daemon.host);
    const capacity = String(Math.min(this.plan.capacityBytes, DISK_BYTES));
    const common = ["--name", this.name, "--listen", listen, "--capacity", capacity];
    const keyOut = ["--recovery-key-out", this.daemon.recoveryKeyFile];
    const args = {
      init: () => ["init", "--site", this.site, ...keyOut],
      join: () => ["join", as.how === "join" ? as.token : "", ...keyOut],
      recover: () =>
        as.how === "recover" ? ["recover", "--recovery-key", as.keyFile, "--peer", as.via] : [],
    }[as.how]();
    const accepted = as.how === "recover" ? [0, 4] : [0];
    this.#ids = await this.daemon.ask(made, [...args, ...common], { withinMs: COMMAND_MS, accepted });
    // Of a disk of this size the default leaves nothing to be used.
    this.daemon.configure({ reserveBytes: MIB, upkeep: SHORT_CLOCKS });
  }

  /** @param slowness how many times slower than it is */
  shape(slowness: number): void {
    const { uplinkBitsPerSecond } = this.plan;
    const bitsPerSecond = Math.max(8_000, uplinkBitsPerSecond / slowness);
    this.#lab.shape(this.daemon.host, { bitsPerSecond, delayMs: this.#script.delayMs });
  }

  /** The machine burns down. */
  async burn(): Promise<void> {
    this.isDead = true;
    await this.daemon.kill();
    spawnSync("umount", ["-l", this.home]);
  }
}
