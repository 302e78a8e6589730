import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { Semaphore } from "../../src/base/concurrency.ts";
import { controlClient } from "../../src/control/client.ts";
import { inviteResult, peerInfo, type StatusResult, statusResult } from "../../src/control/results.ts";
import {
  type Argument,
  cairn,
  LAUNCHER,
  type Ran,
  type Running,
  type RunOptions,
  resultOf,
  startCairn,
} from "./cli.ts";
import { reap, reapDirectory } from "./reaper.ts";

export interface LogLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

const logLine = z.looseObject({ event: z.string() });
const initReport = z.object({ peerId: z.string(), listen: z.array(z.string()).min(1), ownerId: z.string() });

export interface NodeInit {
  readonly home: string;
  readonly name: string;
  readonly site: string;
  /** @default 4GiB */
  readonly capacity?: string;
}

/** Deadlines are there to end a run that hangs: on a busy machine everything takes its time. */
const READY_WITHIN_MS = 240_000;
const EVENTUALLY_WITHIN_MS = 300_000;

/** One home and, while it runs, its daemon: a process of its own. */
export class TestNode {
  readonly home: string;
  readonly name: string;
  readonly site: string;
  readonly peerId: string;
  readonly ownerId: string;
  /** HOST:PORT as --peer takes it. */
  readonly address: string;
  /** Of all runs of the daemon. */
  readonly log: LogLine[] = [];
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #stderr = "";

  constructor(init: NodeInit, report: z.output<typeof initReport>) {
    this.home = init.home;
    this.name = init.name;
    this.site = init.site;
    this.peerId = report.peerId;
    this.ownerId = report.ownerId;
    this.address = must(report.listen[0], "address");
  }

  /** Makes a home with `init`, or with `join` where there is a token. */
  static async make(init: NodeInit, token?: string): Promise<TestNode> {
    const how = token === undefined ? ["init", "--site", init.site] : ["join", token];
    const args = [
      "--name",
      init.name,
      "--listen",
      "127.0.0.1:0",
      "--capacity",
      init.capacity ?? "4GiB",
      "--json",
    ];
    const key = `${init.home}.key`;
    const ran = await cairn(["--home", init.home, ...how, ...args, "--recovery-key-out", key]);
    return new TestNode(init, resultOf(ran, initReport));
  }

  get keyFile(): string {
    return `${this.home}.key`;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number {
    return must(this.#child?.pid, `daemon of ${this.name}`);
  }

  /** Starts the daemon and waits until it is ready. Throws with what it said when it ends before. */
  async start(
    args: readonly string[] = [],
    options: { under?: readonly string[]; environment?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    const [program, ...argv] = [...(options.under ?? []), LAUNCHER, "--home", this.home, "daemon", ...args];
    const child = spawn(must(program, "program"), argv, {
      cwd: "/",
      env: {
        PATH: must(process.env["PATH"], "PATH"),
        HOME: "/nonexistent",
        NODE_COMPILE_CACHE: "/tmp/cairn-test-compile-cache",
        ...options.environment,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    reap(child);
    this.#child = child;
    this.#stderr = "";
    const from = this.log.length;
    const ready = Promise.withResolvers<void>();
    const exited = Promise.withResolvers<void>();
    this.#exited = exited.promise;
    child.stderr?.on("data", (chunk) => (this.#stderr += String(chunk)));
    readLines(child, (line) => {
      this.log.push(line);
      if (line.event === "ready") ready.resolve();
    });
    child.on("error", ready.reject);
    child.on("close", (status, signal) => {
      if (this.#child === child) this.#child = undefined;
      exited.resolve();
      const said = `${this.#stderr}${this.log
        .slice(from)
        .map((line) => `${JSON.stringify(line)}\n`)
        .join("")}`;
      ready.reject(new Error(`the daemon of ${this.name} ended (${status ?? signal}):\n${said}`));
    });
    const late = setTimeout(
      () => ready.reject(new Error(`${this.name} was not ready in time: ${this.#stderr}`)),
      READY_WITHIN_MS,
    );
    await ready.promise.finally(() => clearTimeout(late));
  }

  /** As SIGTERM, or with SIGKILL a power cut of the process. Resolves when it is gone. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  kill(): Promise<void> {
    return this.stop("SIGKILL");
  }

  cli(...args: readonly Argument[]): Promise<Ran> {
    return this.cliWith({}, ...args);
  }

  cliWith(options: RunOptions, ...args: readonly Argument[]): Promise<Ran> {
    return cairn(["--home", this.home, ...args], options);
  }

  startCli(...args: readonly Argument[]): Running {
    return startCairn(["--home", this.home, ...args]);
  }

  /** The result of a command with --json; throws where there is none. */
  async ask<T>(schema: z.ZodType<T>, ...args: readonly Argument[]): Promise<T & { status: number | null }> {
    const ran = await this.cli(...args, "--json");
    return { ...resultOf(ran, schema), status: ran.status };
  }

  status(): Promise<StatusResult & { status: number | null }> {
    return this.ask(statusResult, "status");
  }

  async peers(): Promise<z.output<typeof peerInfo>[]> {
    return resultOf(await this.cli("peers", "--json"), z.array(peerInfo));
  }

  async invite(site: string, ...args: readonly string[]): Promise<string> {
    return (await this.ask(inviteResult, "invite", "--site", site, ...args)).token;
  }

  logged(event: string): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  /** Changes `settings.json`, which a stopped daemon's operator may. */
  configure(changes: Readonly<Record<string, unknown>>): void {
    const path = join(this.home, "settings.json");
    const settings: unknown = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify(Object.assign({}, settings, changes)));
  }
}

function readLines(child: ChildProcess, onLine: (line: LogLine) => void): void {
  let rest = "";
  child.stdout?.on("data", (chunk) => {
    const lines = `${rest}${String(chunk)}`.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = logLine.safeParse(parseJson(line));
      if (parsed.success) onLine(parsed.data);
    }
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface SwarmInit {
  /** Site of each node; the first founds the swarm. */
  readonly sites: readonly string[];
  readonly capacity?: (index: number) => string;
  /** Before a home is made, such as to mount something there. */
  readonly beforeMaking?: (home: string, index: number) => void;
  /** Between a home's making and its daemon's first start. */
  readonly beforeStarting?: (node: TestNode, index: number) => void;
}

/** A swarm of real daemons below one temporary directory, which `dispose` removes whatever happened. */
export class DaemonSwarm {
  /** Empty but for the homes; tests may put their trees and targets here. */
  readonly directory: string;
  readonly nodes: TestNode[] = [];
  readonly #reaped: { forget: () => void };
  #targets = 0;

  private constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "cairn-e2e-"));
    this.#reaped = reapDirectory(this.directory);
  }

  /** Resolves when every node is alive for every other. */
  static async start(init: SwarmInit): Promise<DaemonSwarm> {
    const swarm = new DaemonSwarm();
    try {
      await swarm.#found(init);
    } catch (error) {
      await swarm.dispose();
      throw error;
    }
    return swarm;
  }

  async #found(init: SwarmInit): Promise<void> {
    const { sites, capacity } = init;
    const makeAndStart = async (node: NodeInit, token?: string): Promise<void> => {
      const index = inits.indexOf(node);
      init.beforeMaking?.(node.home, index);
      const made = await TestNode.make(node, token);
      this.nodes.push(made);
      init.beforeStarting?.(made, index);
      await made.start();
    };
    const inits = sites.map((site, index): NodeInit => {
      const name = `n${index}`;
      return {
        home: join(this.directory, name),
        name,
        site,
        ...(capacity === undefined ? {} : { capacity: capacity(index) }),
      };
    });
    await makeAndStart(must(inits[0], "site"));
    const first = this.node(0);
    const tokens = new Map<string, string>();
    for (const site of new Set(sites.slice(1)))
      tokens.set(site, await first.invite(site, "--uses", String(sites.length)));
    // More at once than a small machine has cores only makes each slower.
    const gate = new Semaphore(3);
    await Promise.all(
      inits.slice(1).map((node) => gate.run(() => makeAndStart(node, must(tokens.get(node.site), "token")))),
    );
    this.nodes.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    await this.allAlive();
  }

  node(index: number): TestNode {
    return must(this.nodes[index], `node ${index}`);
  }

  named(peerId: string): TestNode {
    return must(
      this.nodes.find((node) => node.peerId === peerId),
      `node ${peerId}`,
    );
  }

  atSite(site: string): TestNode[] {
    return this.nodes.filter((node) => node.site === site);
  }

  /** One more member; its daemon is not started. */
  async join(site: string, options: { capacity?: string; token?: string } = {}): Promise<TestNode> {
    const name = `n${this.nodes.length}`;
    const token = options.token ?? (await this.node(0).invite(site));
    const node = await TestNode.make({ home: join(this.directory, name), name, site, ...options }, token);
    this.nodes.push(node);
    return node;
  }

  /** Until every running node sees every other running one as alive. */
  async allAlive(): Promise<void> {
    const running = this.nodes.filter((node) => node.isRunning);
    const { signal } = new AbortController();
    const all = async (): Promise<boolean> => {
      for (const node of running) {
        // Over its socket, not by a process of its own each time: this is asked often.
        const { peers } = await controlClient(node.home).peers({}, { signal, progress: () => {} });
        const states = new Map(peers.map((peer) => [peer.peerId, peer.state]));
        for (const other of running) {
          const state = states.get(other.peerId) ?? "unknown";
          if (!["self", "alive"].includes(state))
            throw new Error(`${other.name} is ${state} to ${node.name}`);
        }
      }
      return true;
    };
    await eventually(`${running.length} nodes see each other`, all);
  }

  /** A path below the swarm's directory at which nothing is yet. */
  newTarget(): string {
    return join(this.directory, `target-${this.#targets++}`);
  }

  /** An empty directory below the swarm's. */
  scratch(name: string): string {
    const path = mkdtempSync(join(this.directory, `${name}-`));
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Warnings and errors of all nodes, for a test that failed. */
  complaints(): string {
    const lines = this.nodes.flatMap((node) =>
      node.log
        .filter((line) => Number(line["level"]) >= 40)
        .map((line) => `${node.name} ${JSON.stringify(line)}`),
    );
    return lines.slice(-60).join("\n");
  }

  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    for (const mount of mountsBelow(this.directory)) spawnSync("umount", ["-l", mount]);
    rmSync(this.directory, { recursive: true, force: true });
    this.#reaped.forget();
  }
}

/** Deepest first. */
function mountsBelow(directory: string): string[] {
  const mounts = readFileSync("/proc/mounts", "utf8").split("\n");
  const paths = mounts.map((line) => line.split(" ")[1] ?? "");
  return paths
    .filter((path) => path.startsWith(`${directory}/`))
    .sort()
    .reverse();
}

/** Asks again and again until the answer is yes; throws after `withinMs`, with the last error if there was one. */
export async function eventually(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  { withinMs = EVENTUALLY_WITHIN_MS, everyMs = 200 }: { withinMs?: number; everyMs?: number } = {},
): Promise<void> {
  const startedMs = performance.now();
  let last: unknown;
  while (performance.now() - startedMs < withinMs) {
    try {
      if (await isSo()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const why = last instanceof Error ? ` (${last.message})` : "";
  throw new Error(`not within ${withinMs} ms: ${what}${why}`, { cause: last });
}
