import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import {
  restoreResult,
  type SnapshotResult,
  snapshotInfo,
  snapshotResult,
} from "../../src/control/results.ts";
import { type Argument, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { bytesNamed } from "../support/named.ts";
import { reap } from "../support/reaper.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { buildHardTree } from "../support/source-tree.ts";
import { differences, hasProgram, makeTree } from "../support/trees.ts";

const IS_ROOT = process.getuid?.() === 0;

let swarm: DaemonSwarm;
let owner: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
});
afterAll(() => swarm?.dispose());

const snapshot = (...args: readonly Argument[]) => owner.ask(snapshotResult, "snapshot", ...args);

async function restore(what: string, ...args: readonly Argument[]): Promise<string> {
  const target = swarm.newTarget();
  const restored = await owner.ask(restoreResult, "restore", what, "--target", target, ...args);
  expect(restored).toMatchObject({ status: 0, problemCount: 0, verified: true });
  return target;
}

const namesIn = async (what: string): Promise<string[]> =>
  (await owner.cli("ls", what)).stdout.split("\n").filter((line) => line !== "");

it("gives everything back that a file system can hold, and says which socket it left out", async () => {
  const tree = join(swarm.scratch("hard"), "tree");
  buildHardTree(tree, new SeededRng("capture"));
  execFileSync("touch", ["-d", "2001-02-03 04:05:06.123456789 UTC", join(tree, "text")]);
  execFileSync("mkfifo", [join(tree, "fifo")]);
  if (IS_ROOT) {
    execFileSync("mknod", [join(tree, "null"), "c", "1", "3"]);
    execFileSync("chown", ["1234:4321", join(tree, "text")]);
    execFileSync("setfattr", ["-n", "trusted.cairn", "-v", "root's", join(tree, "text")]);
  }
  const socket = join(tree, "socket");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  let made: SnapshotResult & { status: number | null };
  try {
    made = await snapshot(tree);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  expect(made).toMatchObject({ status: 0, state: "full", unreadableCount: 0, changedCount: 0 });
  expect(made.skipped.map(({ path, reason }) => [path, reason])).toEqual([
    [socket, expect.stringMatching(/socket/)],
  ]);
  // The socket went with its server; its directory's time changed with it.
  const target = await restore("latest");
  const wrong = differences(tree, target + tree).filter(
    (line) => !/^\.: mtimeNs|^\.d\.\.t\.+ \.\/$/.test(line),
  );
  expect(wrong).toEqual([]);
});

it("takes names that are not UTF-8 as arguments, and shows them as bytes", async () => {
  const directory = swarm.scratch("bytes");
  const odd = Buffer.concat([Buffer.from(`${directory}/caf`), Buffer.from([0xe9, 0x20, 0xff])]);
  writeFileSync(odd, "not UTF-8");
  expect(await snapshot(odd)).toMatchObject({ status: 0, files: 1 });
  const [listed] = resultOf(await owner.cli("snapshots", "--json"), z.array(snapshotInfo)).slice(-1);
  expect(Buffer.from(must(listed?.pathsBase64[0], "path"), "base64").equals(odd)).toBe(true);
  expect((await owner.cli("cat", Buffer.concat([Buffer.from("latest:"), odd]))).stdout).toBe("not UTF-8");
  const target = await restore("latest");
  expect(readFileSync(Buffer.concat([Buffer.from(target), odd]), "utf8")).toBe("not UTF-8");
});

it("reads nothing twice, and stores next to nothing when nothing has changed", async () => {
  const tree = makeTree(swarm.scratch("same"), { seed: "same", files: 200, averageBytes: 20_000 });
  const first = await snapshot(tree);
  expect(first.bytesRead).toBeGreaterThan(3_000_000);
  await sleep(100);
  const before = new Set(shardsHeld(swarm.nodes, owner.ownerId).map(({ path }) => path));
  const opened = await openedBy(owner.pid, async () => {
    const again = await snapshot(tree);
    expect(again).toMatchObject({ status: 0, state: "full", files: 200, bytesRead: 0, bytesNew: 0 });
    expect(again.segments).toBeLessThanOrEqual(1);
  });
  expect(opened.filter((line) => line.includes(`${tree}/`) && !line.includes("O_DIRECTORY"))).toEqual([]);
  const added = shardsHeld(swarm.nodes, owner.ownerId).filter(({ path }) => !before.has(path));
  expect(new Set(added.map(({ id }) => id.number)).size).toBeLessThanOrEqual(1);
  // 64 KiB, and what the file has besides the shard's bytes.
  for (const { path } of added) expect(statSync(path).size).toBeLessThan(64 * 1024 + 2048);
  expect(differences(tree, (await restore("latest")) + tree)).toEqual([]);
});

it("makes no snapshot of a path that does not exist", async () => {
  const count = resultOf(await owner.cli("snapshots", "--json"), z.array(z.unknown())).length;
  const missing = join(swarm.directory, "not-there");
  const refused = errorOf(await owner.cli("snapshot", swarm.scratch("there"), missing, "--json"));
  expect(refused).toMatchObject({ status: 1, code: "SOURCE_MISSING", detail: { path: missing } });
  expect(resultOf(await owner.cli("snapshots", "--json"), z.array(z.unknown()))).toHaveLength(count);
});

it("leaves out what is excluded, by option and by file", async () => {
  const tree = swarm.scratch("excludes");
  for (const name of ["keep", "a.tmp", "cache/x", "deep/cache/y", "deep/a.o", "deep/important.o"]) {
    mkdirSync(join(tree, name, ".."), { recursive: true });
    writeFileSync(join(tree, name), name);
  }
  const file = join(swarm.directory, "excludes.txt");
  writeFileSync(file, "# what a build leaves behind\n*.o\n!important.o\n\n");
  const made = await snapshot(tree, "--exclude", "*.tmp", "--exclude", "cache", "--exclude-file", file);
  expect(made).toMatchObject({ status: 0, files: 2, excluded: 4 });
  const target = (await restore("latest")) + tree;
  const left = execFileSync("find", [target, "-type", "f", "-printf", "%P\n"], { encoding: "utf8" });
  expect(left.trim().split("\n").sort()).toEqual(["deep/important.o", "keep"]);
});

it.runIf(IS_ROOT)("stays in one file system when told to", async () => {
  const tree = swarm.scratch("mounts");
  writeFileSync(join(tree, "here"), "here");
  mkdirSync(join(tree, "mounted"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", join(tree, "mounted")]);
  if (mounted.status !== 0) return console.log("mounting is not permitted here");
  try {
    writeFileSync(join(tree, "mounted/there"), "there");
    expect(await snapshot(tree)).toMatchObject({ status: 0, files: 2, skippedCount: 0 });
    const one = await snapshot(tree, "--one-file-system");
    expect(one).toMatchObject({ status: 0, files: 1 });
    expect(one.skipped).toMatchObject([{ path: join(tree, "mounted"), reason: "is another file system" }]);
    // The mount point is a directory of this file system and comes back, empty.
    expect(await namesIn("latest")).toContain(join(tree, "mounted"));
    expect(await namesIn("latest")).not.toContain(join(tree, "mounted/there"));
  } finally {
    execFileSync("umount", [join(tree, "mounted")]);
  }
});

it("never saves the home of a node, its own or another's, and lists each", async () => {
  const made = await snapshot(swarm.directory, "--exclude", `${swarm.directory}/*-*`);
  const skipped = made.skipped.map(({ path }) => path);
  expect(skipped).toEqual(expect.arrayContaining(swarm.nodes.map((node) => node.home)));
  const saved = await namesIn("latest");
  expect(saved).toContain(join(swarm.directory, "excludes.txt"));
  expect(saved.filter((path) => swarm.nodes.some((node) => path.startsWith(`${node.home}/`)))).toEqual([]);
});

it("saves what comes in on standard input", async () => {
  const input = bytesNamed("stdin", 5_000_000);
  const ran = await owner.cliWith({ input }, "snapshot", "--stdin", "--stdin-filename", "dump.sql", "--json");
  expect(resultOf(ran, snapshotResult)).toMatchObject({ state: "full", files: 1, bytesRead: 5_000_000 });
  expect(readFileSync(join(await restore("latest"), "dump.sql")).equals(input)).toBe(true);
});

it("says which file changed while it was being read", async () => {
  const tree = swarm.scratch("changing");
  const log = join(tree, "log");
  writeFileSync(log, bytesNamed("log", 40_000_000));
  writeFileSync(join(tree, "still"), "still");
  const writer = spawn("/bin/sh", ["-c", 'while :; do echo line >>"$0"; done', log], { stdio: "ignore" });
  reap(writer);
  try {
    const made = await snapshot(tree);
    expect(made).toMatchObject({ status: 0, files: 2, changedCount: 1, unreadableCount: 0 });
    expect(made.changed.map(({ path }) => path)).toEqual([log]);
  } finally {
    writer.kill("SIGKILL");
  }
  await eventually("the writer is gone", () => writer.exitCode !== null || writer.signalCode !== null);
  const restored = readFileSync(join((await restore("latest")) + tree, "log"));
  expect(restored.equals(readFileSync(log).subarray(0, restored.length))).toBe(true);
  // It is read again next time, for nobody knows what it was when.
  expect((await snapshot(tree)).bytesRead).toBe(statSync(log).size);
  rmSync(tree, { recursive: true });
});

it.runIf(IS_ROOT)("without root's rights it saves what it can read and lists the rest", async () => {
  const node = swarm.node(2);
  const tree = swarm.scratch("rights");
  for (const [name, mode] of [
    ["open", 0o644],
    ["closed", 0o600],
  ] as const) {
    writeFileSync(join(tree, name), name);
    chmodSync(join(tree, name), mode);
  }
  mkdirSync(join(tree, "shut"), { mode: 0o700 });
  writeFileSync(join(tree, "shut/inside"), "inside");
  chmodSync(tree, 0o755);
  await node.stop();
  chmodSync(swarm.directory, 0o711);
  execFileSync("chown", ["-R", "65534:65534", node.home]);
  await node.start([], { under: ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] });
  await swarm.allAlive();
  const made = await node.ask(snapshotResult, "snapshot", tree);
  expect(made).toMatchObject({ status: 3, state: "full", files: 1, unreadableCount: 2 });
  expect(made.unreadable.map(({ path, errno }) => [path.slice(tree.length + 1), errno]).sort()).toEqual([
    ["closed", "EACCES"],
    ["shut", "EACCES"],
  ]);
  expect((await node.cli("cat", `latest:${tree}/open`)).stdout).toBe("open");
});

/** Lines of strace for every file that the process opens meanwhile; none where there is no strace. */
async function openedBy(pid: number, task: () => Promise<void>): Promise<string[]> {
  if (!hasProgram("strace")) {
    await task();
    return [];
  }
  const strace = spawn("strace", ["-f", "-s", "4096", "-e", "trace=open,openat,openat2", "-p", String(pid)]);
  reap(strace);
  let said = "";
  strace.stderr.on("data", (chunk) => (said += String(chunk)));
  const ended = new Promise((resolve) => strace.on("close", resolve));
  await eventually("strace has attached", () => said.includes("attached") || strace.exitCode !== null);
  try {
    await task();
  } finally {
    strace.kill("SIGINT");
    await ended;
  }
  // The tree's directories were opened: it was looking.
  expect(said).toMatch(/openat\(.*O_DIRECTORY/);
  return said.split("\n");
}
