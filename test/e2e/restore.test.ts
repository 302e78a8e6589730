import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { restoreResult, snapshotResult } from "../../src/control/results.ts";
import { errorOf } from "../support/cli.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";
import { differences, makeTree } from "../support/trees.ts";

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;
let saved: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
  tree = makeTree(swarm.scratch("tree"), { seed: "restore", files: 80, averageBytes: 500_000 });
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(made).toMatchObject({ status: 0, state: "full" });
  saved = made.snapshotId;
});
afterAll(() => swarm?.dispose());

const restore = (target: string, ...args: string[]) =>
  owner.ask(restoreResult, "restore", ...args, "--target", target);

/** The whole tree in a target of its own, its contents directly in it. */
async function restored(): Promise<string> {
  const target = swarm.newTarget();
  expect(await restore(target, `latest:${tree}`)).toMatchObject({ status: 0, files: 80 });
  return target;
}

/** The target itself is the user's own: a subtree's contents go into it, its mode and time stay. */
function below(expected: string, target: string): string[] {
  return differences(expected, target).filter((line) => !/^\.: (mode|mtimeNs) |^\.d\S+ \.\/$/.test(line));
}

it("puts a subtree's contents into the target, and one file", async () => {
  const target = swarm.newTarget();
  const part = await restore(target, `latest:${tree}/d0`);
  expect(part).toMatchObject({ status: 0, verified: true });
  expect(below(join(tree, "d0"), target)).toEqual([]);

  const single = swarm.newTarget();
  const one = await restore(single, `latest:${tree}/d1/f1`);
  expect(one).toMatchObject({ status: 0, files: 1, directories: 0 });
  expect(readFileSync(join(single, "f1")).equals(readFileSync(join(tree, "d1/f1")))).toBe(true);
  // Ranges are read, not whole segments.
  expect(one.bytesFetched).toBeLessThan(one.bytes + 4 * 1024 * 1024);
  expect(
    errorOf(await owner.cli("restore", `latest:${tree}/nothing`, "--target", single, "--json")),
  ).toMatchObject({
    status: 1,
    code: "PATH_NOT_IN_SNAPSHOT",
  });
});

it("restores what --include names and not what --exclude names", async () => {
  const target = swarm.newTarget();
  expect(await restore(target, "latest", "--include", "d2/**", "--exclude", "deep")).toMatchObject({
    status: 0,
  });
  const names = readdirSync(target + tree, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => lstatSync(join(target + tree, name)).isFile());
  const expected = readdirSync(join(tree, "d2")).filter((name) => name !== "deep");
  expect(files.sort()).toEqual(expected.map((name) => `d2/${name}`).sort());
});

it("--overwrite says what happens to files that are there", async () => {
  const target = await restored();
  const [changed, same] = [join(target, "d1/f1"), join(target, "d1/f8")];
  appendFileSync(changed, "changed");
  const kept = await restore(target, `latest:${tree}`, "--overwrite", "never");
  expect(kept).toMatchObject({ status: 0, files: 0, skippedExisting: 80 });
  expect(readFileSync(changed).toString()).toMatch(/changed$/);

  const { ino } = lstatSync(same);
  const repaired = await restore(target, `latest:${tree}`);
  expect(repaired).toMatchObject({ status: 0, files: 1, skippedUnchanged: 79 });
  expect(lstatSync(same).ino).toBe(ino);
  expect(below(tree, target)).toEqual([]);

  const all = await restore(target, `latest:${tree}`, "--overwrite", "always");
  expect(all).toMatchObject({ status: 0, files: 80, skippedUnchanged: 0 });
  expect(below(tree, target)).toEqual([]);
});

it("--delete removes what the snapshot does not have, and only below what is restored", async () => {
  const target = await restored();
  writeFileSync(join(target, "surplus"), "surplus");
  mkdirSync(join(target, "d3/surplus/below"), { recursive: true });
  expect(await restore(target, `latest:${tree}`)).toMatchObject({ status: 0, deleted: 0 });
  expect(existsSync(join(target, "surplus"))).toBe(true);
  const dry = await restore(target, `latest:${tree}`, "--delete", "--dry-run");
  expect(dry).toMatchObject({ status: 0, dryRun: true, files: 0, skippedUnchanged: 80 });
  expect(dry.deleted).toBeGreaterThan(0);
  expect(existsSync(join(target, "surplus"))).toBe(true);
  const wiped = await restore(target, `latest:${tree}`, "--delete");
  expect(wiped).toMatchObject({ status: 0, deleted: dry.deleted });
  expect(below(tree, target)).toEqual([]);
  // Beside the restored path nothing is touched.
  const wide = swarm.newTarget();
  mkdirSync(join(wide, "mine"), { recursive: true });
  expect(await restore(wide, "latest", "--delete", "--include", "d0/**")).toMatchObject({ status: 0 });
  expect(existsSync(join(wide, "mine"))).toBe(true);
});

it("--dry-run writes nothing", async () => {
  const target = swarm.newTarget();
  expect(await restore(target, "latest", "--dry-run")).toMatchObject({
    status: 0,
    dryRun: true,
    files: 80,
    verified: false,
  });
  expect(existsSync(target)).toBe(false);
});

it("does not follow a symbolic link that somebody planted in the target", async () => {
  const outside = swarm.scratch("outside");
  const target = swarm.newTarget();
  mkdirSync(target);
  symlinkSync(outside, join(target, "d0"));
  const ran = await owner.cli("restore", `latest:${tree}`, "--target", target, "--json");
  expect(readdirSync(outside)).toEqual([]);
  // Either the link gives way to the directory of the snapshot, or it is refused: never followed.
  if (ran.status === 0) expect(below(tree, target)).toEqual([]);
  else expect([1, 3]).toContain(ran.status);
  // A file's name as well: the link's target keeps its bytes.
  const precious = join(outside, "precious");
  writeFileSync(precious, "precious");
  const second = await restored();
  rmSync(join(second, "d1/f1"));
  symlinkSync(precious, join(second, "d1/f1"));
  expect((await restore(second, `latest:${tree}`)).status).toBe(0);
  expect(readFileSync(precious, "utf8")).toBe("precious");
  expect(below(tree, second)).toEqual([]);
});

it("goes on after kill -9 of the daemon in the middle, and does not fetch again what is there", async () => {
  // Several segments are read at a time; there must be more of them for some to be done with before the kill.
  const large = makeTree(swarm.scratch("large"), {
    seed: "restore-killed",
    files: 100,
    averageBytes: 1_200_000,
  });
  const { snapshotId, bytesRead } = await owner.ask(snapshotResult, "snapshot", large);
  const whole = await restore(swarm.newTarget(), snapshotId);
  const target = swarm.newTarget();
  const running = owner.startCli("restore", snapshotId, "--target", target, "--json");
  while (running.isRunning && bytesIn(target) < 0.6 * bytesRead) await sleep(5);
  await owner.kill();
  expect(errorOf(await running.done)).toMatchObject({ status: 5, code: "DAEMON_GONE" });
  await owner.start();
  await swarm.allAlive();
  const rest = await restore(target, snapshotId);
  console.log(`${whole.bytesFetched} bytes fetched for all, ${rest.bytesFetched} after the kill`);
  expect(rest).toMatchObject({ status: 0, verified: true });
  expect(rest.bytesFetched).toBeLessThan(0.8 * whole.bytesFetched);
  expect(differences(large, target + large)).toEqual([]);
});

it("interrupted at the terminal it ends with 130 and leaves no half files", async () => {
  const target = swarm.newTarget();
  const running = owner.startCli("restore", saved, "--target", target, "--json");
  while (running.isRunning && filesIn(target).length < 10) await sleep(2);
  running.kill("SIGINT");
  expect((await running.done).status).toBe(130);
  expect(await restore(target, saved)).toMatchObject({ status: 0, verified: true });
  expect(differences(tree, target + tree)).toEqual([]);
});

it("looks inside without restoring: ls, find, cat, diff", async () => {
  expect((await owner.cli("cat", `${saved}:${tree}/d1/f1`)).stdout.length).toBeGreaterThan(0);
  const found = await owner.cli("find", "f7*");
  expect(found.stdout).toContain(`${tree}/d0/f7`);
  renameSync(join(tree, "d1/f1"), join(tree, "d1/renamed"));
  appendFileSync(join(tree, "d1/f8"), "more");
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  // A renamed file has the same bytes: only what was appended is new, in one chunk of at most 4 MiB.
  expect(made).toMatchObject({ status: 0, state: "full" });
  const diff = (await owner.cli("diff", saved, "latest")).stdout;
  expect(diff).toContain("d1/renamed");
  expect(diff).toContain("d1/f8");
  expect(diff).not.toContain("d2/");
  const names = async (id: string) => (await owner.cli("ls", `${id}:${tree}/d1`)).stdout;
  expect(await names(saved)).toContain("d1/f1\n");
  expect(await names("latest")).not.toContain("d1/f1\n");
});

/** Bytes that the files of a directory take up, complete or not. */
function bytesIn(directory: string): number {
  const stats = filesIn(directory).map((name) => lstatSync(join(directory, name), { throwIfNoEntry: false }));
  return stats.reduce((sum, stat) => sum + (stat?.isFile() === true ? stat.blocks * 512 : 0), 0);
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: "utf8" });
  } catch {
    return [];
  }
}
