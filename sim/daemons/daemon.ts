import type { ChildProcess } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import type { CommandContext, ControlHandlers } from "../../src/control/api.ts";
import { controlClient } from "../../src/control/index.ts";
import type { Host, Lab } from "./lab.ts";
import { CommandFailed, documentOf, type Environment, finished, type Ran, spawnCairn } from "./program.ts";

export interface LogLine {
  readonly event: string;
  readonly level: number;
  readonly [field: string]: unknown;
}

export interface DaemonInit {
  readonly lab: Lab;
  readonly host: Host;
  readonly home: string;
  readonly name: string;
  /** Of all that runs on this machine, besides what every program has. */
  readonly environment: Environment;
  /** Heard of each line of its log. */
  readonly onLine: (line: LogLine) => void;
  /** It ended, and nobody had told it to. */
  readonly onCollapse: (how: string) => void;
}

const logLine = z.looseObject({ event: z.string(), level: z.number() });
/** Processors may be few and busy: what hangs does so for longer than this. */
const READY_MS = 120_000;
const STOP_MS = 120_000;
const STDERR_KEPT = 4_000;

/** A home on a machine of the lab and, while it runs, its daemon: a process of its own, used through the command line alone. */
export class Daemon {
  readonly home: string;
  readonly name: string;
  readonly host: Host;
  readonly #init: DaemonInit;
  readonly #inside: readonly string[];
  readonly #environment: Environment;
  #child: ChildProcess | undefined;
  #exited: Promise<number | undefined> = Promise.resolve(undefined);
  #isToEnd = false;
  #isStopped = false;

  constructor(init: DaemonInit) {
    this.#init = init;
    this.home = init.home;
    this.name = init.name;
    this.host = init.host;
    this.#inside = init.lab.inside(init.host);
    // A run starts the program a hundred times.
    this.#environment = { NODE_COMPILE_CACHE: init.lab.scratch("compile-cache"), ...init.environment };
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Stands still. */
  get isPaused(): boolean {
    return this.#isStopped;
  }

  get recoveryKeyFile(): string {
    return `${this.home}.key`;
  }

  /** Resolves when it is ready. Throws with what it said when it ends before. */
  async start(): Promise<void> {
    const child = spawnCairn(this.#inside, ["--home", this.home, "daemon"], this.#environment);
    const ready = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<number | undefined>();
    this.#child = child;
    this.#exited = exited.promise;
    this.#isToEnd = false;
    let stderr = "";
    child.stderr?.on("data", (chunk) => (stderr = `${stderr}${String(chunk)}`.slice(-STDERR_KEPT)));
    onLines(child, (line) => {
      this.#init.onLine(line);
      if (line.event === "ready") ready.resolve();
    });
    child.on("error", ready.reject);
    child.on("close", (status, signal) => {
      if (this.#child === child) this.#child = undefined;
      this.#isStopped = false;
      if (!this.#isToEnd) this.#init.onCollapse(`it ended by itself (${status ?? signal}): ${stderr}`);
      exited.resolve(status ?? undefined);
      ready.reject(new Error(`the daemon of ${this.name} ended (${status ?? signal}): ${stderr}`));
    });
    const late = setTimeout(
      () => ready.reject(new Error(`the daemon of ${this.name} was not ready in time: ${stderr}`)),
      READY_MS,
    );
    await ready.promise.finally(() => clearTimeout(late));
  }

  /** As kill -9. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#isToEnd = true;
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** As `systemctl stop`. Says how it ended; `hangs` where it did not, and is killed then. */
  async stop(): Promise<number | "hangs" | undefined> {
    this.#isToEnd = true;
    this.#child?.kill("SIGTERM");
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"hangs">((resolve) => {
      timer = setTimeout(resolve, STOP_MS, "hangs");
    });
    const how = await Promise.race([this.#exited, late]);
    clearTimeout(timer);
    if (how === "hangs") await this.kill();
    return how;
  }

  pause(): void {
    if (this.#child?.kill("SIGSTOP") === true) this.#isStopped = true;
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
    this.#isStopped = false;
  }

  run(args: readonly string[], withinMs: number): Promise<Ran> {
    return finished(spawnCairn(this.#inside, ["--home", this.home, ...args], this.#environment), withinMs);
  }

  /** The result of a command, by its schema; throws `CommandFailed` where there is none, or another status. */
  async ask<T extends z.ZodType>(
    result: T,
    args: readonly string[],
    { withinMs, accepted }: { readonly withinMs: number; readonly accepted: readonly number[] },
  ): Promise<z.output<T>> {
    const ran = await this.run([...args, "--json"], withinMs);
    const parsed = result.safeParse(documentOf(ran.stdout));
    if (!parsed.success || ran.status === undefined || !accepted.includes(ran.status))
      throw new CommandFailed(args, ran);
    return parsed.data;
  }

  /** Asks over its socket what is asked often: a process each time costs more than the answer. */
  async control<T>(
    work: (handlers: ControlHandlers, context: CommandContext) => Promise<T>,
    withinMs: number,
  ): Promise<T> {
    const signal = AbortSignal.timeout(withinMs);
    return await work(controlClient(this.home), { signal, progress: () => {} });
  }

  /** Changes `settings.json`, which an operator may while the daemon is stopped. */
  configure(changes: Readonly<Record<string, unknown>>): void {
    const path = join(this.home, "settings.json");
    const settings: unknown = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(Object.assign({}, settings, changes)));
  }
}

function onLines(child: ChildProcess, onLine: (line: LogLine) => void): void {
  let rest = "";
  must(child.stdout, "output of a daemon").on("data", (chunk) => {
    const lines = `${rest}${String(chunk)}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = logLine.safeParse(documentOf(line));
      if (parsed.success) onLine(parsed.data);
    }
  });
}
