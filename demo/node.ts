import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { must } from "../src/base/assert.ts";
import { kill, type Processes, type Running } from "./processes.ts";

const CAIRN = fileURLToPath(new URL("../bin/cairn", import.meta.url));
const READY_MS = 60_000;
const POLL_MS = 50;

export interface Answer<T> {
  readonly status: number;
  readonly value: T;
}

/** The command said no: its status and its sentence. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  constructor(args: readonly string[], status: number, stderr: string) {
    const said = stderr.trim() === "" ? "and said nothing" : `and said: ${stderr.trim()}`;
    super(`"cairn ${args.join(" ")}" ended with status ${status} ${said}`);
  }
}

/** One machine of the swarm: a home and a daemon, used as its operator would, through the command line alone. */
export class DemoNode {
  readonly name: string;
  readonly site: string;
  readonly home: string;
  readonly #processes: Processes;
  readonly #logFile: string;
  readonly #environment: NodeJS.ProcessEnv;
  #daemon: { readonly running: Running; readonly pid: number } | undefined;
  #address: string | undefined;

  constructor(processes: Processes, folder: string, init: { name: string; site: string }) {
    this.#processes = processes;
    this.name = init.name;
    this.site = init.site;
    this.home = join(folder, init.name);
    this.#logFile = `${this.home}.log`;
    // Dozens of short processes load the same modules: compiled once, each starts in half the time.
    this.#environment = { NODE_COMPILE_CACHE: join(folder, "compile-cache"), ...process.env };
  }

  /** What others dial. */
  get address(): string {
    return must(this.#address, `address of ${this.name}`);
  }

  get isRunning(): boolean {
    return this.#daemon !== undefined;
  }

  /** `init`, `join` or `recover`: what they share. */
  async make<T extends z.ZodType>(command: readonly string[], result: T): Promise<z.output<T>> {
    const args = [...command, "--name", this.name, "--listen", "127.0.0.1:0"];
    return (await this.ask(args, result)).value;
  }

  /** Starts the daemon, and resolves when it says that it is ready. */
  async start(): Promise<void> {
    const running = this.#processes.start(
      [CAIRN, "--home", this.home, "daemon"],
      this.#environment,
      this.#logFile,
    );
    let ended = false;
    running.ended.then(
      () => (ended = true),
      () => (ended = true),
    );
    const untilMs = performance.now() + READY_MS;
    for (;;) {
      const ready = this.#readyLine();
      if (ready !== undefined) {
        this.#daemon = { running, pid: ready.pid };
        this.#address = must(ready.listen[0], "listen address");
        return;
      }
      if (ended || performance.now() > untilMs) {
        running.end();
        throw new Error(`the daemon of ${this.name} did not start: ${this.lastLog()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** kill -9: no goodbye to anybody. Resolves with the pid it had, when it is gone. */
  async kill(): Promise<number> {
    const { pid, running } = must(this.#daemon, `daemon of ${this.name}`);
    kill(pid);
    await running.ended;
    this.#daemon = undefined;
    return pid;
  }

  /** kill -9 and no disk any more. */
  async burn(): Promise<void> {
    await this.kill();
    rmSync(this.home, { recursive: true, force: true });
  }

  /** Runs a command with --json. Throws `CommandFailed` for a status that is not in `accepted`. */
  async ask<T extends z.ZodType>(
    args: readonly string[],
    result: T,
    accepted: readonly number[] = [0],
  ): Promise<Answer<z.output<T>>> {
    const ran = await this.#processes.run([CAIRN, "--home", this.home, "--json", ...args], this.#environment);
    if (!accepted.includes(ran.status)) throw new CommandFailed(args, ran.status, ran.stderr);
    return { status: ran.status, value: result.parse(JSON.parse(ran.stdout.toString("utf8"))) };
  }

  /** The end of what the daemon wrote, for a failure's explanation. */
  lastLog(): string {
    return this.#log().split("\n").slice(-6).join("\n").trim();
  }

  #log(): string {
    try {
      return readFileSync(this.#logFile, "utf8");
    } catch {
      return "";
    }
  }

  #readyLine(): z.output<typeof readyLine> | undefined {
    // Only whole lines: the last one may still be being written.
    for (const line of this.#log().split("\n").slice(0, -1)) {
      const parsed = readyLine.safeParse(line.startsWith("{") ? JSON.parse(line) : undefined);
      if (parsed.success) return parsed.data;
    }
    return undefined;
  }
}

const readyLine = z.object({
  event: z.literal("ready"),
  pid: z.int().positive(),
  listen: z.array(z.string()).min(1),
});
