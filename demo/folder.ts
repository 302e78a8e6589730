import {
  type BigIntStats,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { SPACE_RESERVE_DEFAULT } from "../src/adapters/store/shard-space.ts";
import { MINUTE_MS } from "../src/base/units.ts";
import { commandLine, statOf } from "./proc.ts";
import { kill } from "./processes.ts";

const PREFIX = "cairn-demo-";
const PID_FILE = "demo.pid";

/** Which demo a folder belongs to. A pid alone would be mistaken for the process that has the number next. */
const owner = z.object({
  pid: z.int().positive(),
  startTicks: z.string(),
  bootId: z.string(),
  pidNamespace: z.string(),
});
type Owner = z.infer<typeof owner>;

/** A new, empty folder of this demo alone, readable by this user only. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  const self: Owner = {
    pid: process.pid,
    startTicks: statOf(process.pid)?.startTicks ?? "",
    bootId: bootId(),
    pidNamespace: pidNamespace(),
  };
  writeFileSync(join(folder, PID_FILE), JSON.stringify(self), { mode: 0o600 });
  return folder;
}

/** Removes everything in it. Names that appear while it works, of a process just killed, are retried. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** From now on no demo will sweep it. */
export function keepFolder(folder: string): void {
  rmSync(join(folder, PID_FILE), { force: true });
}

/** Clears what demos left that were killed with -9. Returns the folders removed. */
export function sweep(): string[] {
  const removed: string[] = [];
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(tmpdir(), name);
    const stats = ownDirectory(folder);
    if (stats === undefined) continue;
    if (isOrphan(folder)) {
      for (const pid of processesOf(folder)) kill(pid);
      removeFolder(folder);
      removed.push(folder);
    } else if (Date.now() - Number(stats.mtimeMs) > MINUTE_MS) {
      removeIfEmpty(folder); // killed before the pid file was there
    }
  }
  return removed;
}

/** Those that run a node of the folder, or talk to one. */
function processesOf(folder: string): number[] {
  const pids: number[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid) || pid === process.pid) continue;
    if (commandLine(pid).includes(`--home\0${folder}/`)) pids.push(pid);
  }
  return pids;
}

/** Bytes that can be written there before a node refuses, because it leaves some of every disk alone. */
export function roomIn(folder: string): number {
  const { bavail, blocks, bsize } = statfsSync(folder);
  const { bytes, ratio } = SPACE_RESERVE_DEFAULT;
  return Math.max(0, bavail * bsize - Math.max(bytes, Math.ceil(blocks * bsize * ratio)));
}

function ownDirectory(folder: string): BigIntStats | undefined {
  const stats = lstatSync(folder, { bigint: true, throwIfNoEntry: false });
  const isOurs = stats?.isDirectory() === true && Number(stats.uid) === process.getuid?.();
  return isOurs ? stats : undefined;
}

/** Whether the demo that made it is surely dead. */
function isOrphan(folder: string): boolean {
  let made: Owner;
  try {
    made = owner.parse(JSON.parse(readFileSync(join(folder, PID_FILE), "utf8")));
  } catch {
    return false; // kept on purpose, or nothing of ours
  }
  if (made.bootId !== bootId()) return true;
  // Of another container on the same temporary folder: its processes cannot be seen from here.
  if (made.pidNamespace !== pidNamespace()) return false;
  return statOf(made.pid)?.startTicks !== made.startTicks;
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not empty: kept on purpose.
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function pidNamespace(): string {
  return readlinkSync("/proc/self/ns/pid");
}
