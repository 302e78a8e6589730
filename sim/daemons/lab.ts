import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { must } from "../../src/base/assert.ts";
import { prefixOf, type RunId, staleRuns } from "./run-id.ts";

const SWEEP = fileURLToPath(new URL("./sweep.sh", import.meta.url));
/** Nobody in these namespaces has this address: what is sent to it arrives nowhere. */
const NOWHERE = "02:ca:00:00:00:00";
/** Of a node, in namespaces that nothing else is in. */
const PORT = 4101;
const HOSTS_MAX = 200;
/** Of what waits before a slow uplink. */
const QUEUE_MS = 300;

export interface LabAbilities {
  /** netem is there. */
  readonly delay: boolean;
}

/** What this machine can do, or the reason why it can do nothing. Tried out, and taken down again. */
export function probeLab(): LabAbilities | { readonly whyNot: string } {
  if (process.platform !== "linux") return { whyNot: "network namespaces are Linux's" };
  if (process.getuid?.() !== 0) return { whyNot: "only root may make network namespaces" };
  for (const program of ["ip", "tc", "nsenter", "mount"])
    if (spawnSync(program, ["--help"]).error !== undefined) return { whyNot: `there is no ${program}` };
  let lab: Lab | undefined;
  try {
    lab = new Lab();
    const host = lab.addHost();
    lab.shape(host, { bitsPerSecond: 10_000_000, delayMs: 0 });
    const mounted = spawnSync("mount", ["-t", "tmpfs", "none", lab.scratch("mount")]);
    if (mounted.status !== 0) return { whyNot: `a tmpfs cannot be mounted: ${mounted.stderr}` };
    const delayed = [
      "-n",
      host.namespace,
      "qdisc",
      "replace",
      "dev",
      "eth0",
      "root",
      "netem",
      "delay",
      "1ms",
    ];
    return { delay: spawnSync("tc", delayed).status === 0 };
  } catch (error) {
    return { whyNot: error instanceof Error ? error.message.trim() : String(error) };
  } finally {
    lab?.dispose();
  }
}

/** One machine of the lab: a network of its own, with one cable. */
export interface Host {
  readonly index: number;
  readonly namespace: string;
  readonly address: string;
  readonly mac: string;
}

/**
 * Machines on one wire that can be cut, also in one direction, and slowed down. Each is a network namespace; the wire
 * is in one of its own, so that nothing of it is seen outside and all goes with the namespaces. Who finds whom on the
 * wire is written down for each pair, which is what a cut changes: packets leave for an address that nobody has, and
 * neither side is told.
 */
export class Lab {
  /** For homes, trees and targets. */
  readonly directory: string;
  readonly #prefix: string;
  readonly #wire: string;
  readonly #hosts: Host[] = [];
  readonly #cuts = new Map<string, number>();
  readonly #reaper: ChildProcess;

  constructor() {
    this.#prefix = prefixOf(self());
    this.directory = join(tmpdir(), this.#prefix.slice(0, -1));
    mkdirSync(this.directory, { mode: 0o700 });
    // Told nothing but the end: when this process is killed, its pipe closes. Detached, for an interrupt is not for it.
    this.#reaper = spawn("/bin/sh", [SWEEP, this.#prefix, this.directory, "when-closed"], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.#reaper.unref();
    this.#reaper.stdin?.on("error", () => {});
    this.#wire = `${this.#prefix}wire`;
    ip("netns", "add", this.#wire);
    ip("-n", this.#wire, "link", "add", "br0", "type", "bridge");
    ip("-n", this.#wire, "link", "set", "br0", "up");
  }

  addHost(): Host {
    const index = this.#hosts.length;
    if (index >= HOSTS_MAX) throw new Error(`no more than ${HOSTS_MAX} hosts are on one wire`);
    const hex = (index + 1).toString(16).padStart(2, "0");
    const host = {
      index,
      namespace: `${this.#prefix}${index}`,
      address: `10.77.0.${index + 1}`,
      mac: `02:ca:00:00:01:${hex}`,
    };
    ip("netns", "add", host.namespace);
    ip("-n", this.#wire, "link", "add", `p${index}`, "type", "veth", "peer", "eth0", "netns", host.namespace);
    ip("-n", this.#wire, "link", "set", `p${index}`, "master", "br0", "up");
    ip("-n", host.namespace, "link", "set", "lo", "up");
    ip("-n", host.namespace, "link", "set", "eth0", "address", host.mac, "up");
    ip("-n", host.namespace, "addr", "add", `${host.address}/24`, "dev", "eth0");
    for (const other of this.#hosts) {
      this.#find(host, other, other.mac);
      this.#find(other, host, host.mac);
    }
    this.#hosts.push(host);
    return host;
  }

  /** From now on nothing that one sends to the other arrives. As often cut, as often to be healed. */
  silence(from: Host, to: Host): () => void {
    const key = `${from.index}>${to.index}`;
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1);
    this.#find(from, to, NOWHERE);
    let isHealed = false;
    return () => {
      if (isHealed) return;
      isHealed = true;
      const left = must(this.#cuts.get(key), "cut") - 1;
      this.#cuts.set(key, left);
      if (left === 0) this.#find(from, to, to.mac);
    };
  }

  /** What leaves the machine is no faster than its uplink; what waits too long for it is dropped. */
  shape(host: Host, { bitsPerSecond, delayMs }: { bitsPerSecond: number; delayMs: number }): void {
    const rate = `${Math.round(bitsPerSecond)}bit`;
    // A packet of the largest size that a veth hands over in one must fit.
    const burst = `${Math.max(66_000, Math.ceil(bitsPerSecond / 8 / 100))}b`;
    const how =
      delayMs > 0
        ? ["netem", "delay", `${delayMs}ms`, "rate", rate, "limit", "10000"]
        : ["tbf", "rate", rate, "burst", burst, "latency", `${QUEUE_MS}ms`];
    run("tc", ["-n", host.namespace, "qdisc", "replace", "dev", "eth0", "root", ...how]);
  }

  /** HOST:PORT at which a node of this machine listens. */
  listenAddress(host: Host): string {
    return `${host.address}:${PORT}`;
  }

  /** What a command line begins with that is to run on this machine. */
  inside(host: Host): string[] {
    return ["nsenter", `--net=/run/netns/${host.namespace}`];
  }

  scratch(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Ends everything that runs on any machine, and removes all of it. */
  dispose(): void {
    execFileSync("/bin/sh", [SWEEP, this.#prefix, this.directory], { stdio: "ignore" });
    this.#reaper.stdin?.end("done\n");
  }

  #find(from: Host, to: Host, mac: string): void {
    const entry = ["neigh", "replace", to.address, "lladdr", mac, "nud", "permanent", "dev", "eth0"];
    ip("-n", from.namespace, ...entry);
  }
}

/** Removes what runs left that were killed together with what should have cleaned up after them. Says whose. */
export function sweepStale(): string[] {
  const mine = self();
  const spaces = spawnSync("ip", ["netns", "list"], { encoding: "utf8" }).stdout?.split("\n") ?? [];
  const names = [...spaces, ...readdirSync(tmpdir())];
  return staleRuns(names, mine, startTicksOf).map((run) => {
    const prefix = prefixOf(run);
    execFileSync("/bin/sh", [SWEEP, prefix, join(tmpdir(), prefix.slice(0, -1))], { stdio: "ignore" });
    return prefix.slice(0, -1);
  });
}

function self(): RunId {
  return {
    pid: process.pid,
    startTicks: must(startTicksOf(process.pid), "birth of this process"),
    pidNamespace: must(/\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0], "pid namespace"),
  };
}

function startTicksOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name, in brackets, may contain anything; what follows begins with field 3.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function ip(...args: string[]): void {
  run("ip", args);
}

function run(program: string, args: readonly string[]): void {
  const ran = spawnSync(program, args, { encoding: "utf8" });
  if (ran.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${ran.stderr || ran.error?.message}`);
}
