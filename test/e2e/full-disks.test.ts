import { spawnSync } from "node:child_process";
import { mkdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { restoreResult, snapshotResult } from "../../src/control/results.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";
import { differences, makeTree } from "../support/trees.ts";

// Two of the six holders have little room: one by its capacity, one because its disk is smaller than it says.

const LITTLE = 1;
const TMPFS = 4;
const SITES = ["a", "b", "b", "b", "c", "c", "c"];
const MIB = 1024 * 1024;

let swarm: DaemonSwarm;
let owner: TestNode;
let isMounted = false;
let round = 0;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({
    sites: SITES,
    capacity: (index) => (index === LITTLE ? "20MiB" : "60MiB"),
    beforeMaking(home, index) {
      if (index !== TMPFS) return;
      mkdirSync(home);
      isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=30m,mode=0700", "none", home]).status === 0;
    },
    // So that it fills its disk to the last byte; by default a gigabyte is left alone.
    beforeStarting: (node, index) => node.configure({ reserveBytes: index === TMPFS ? 0 : MIB }),
  });
  owner = swarm.node(0);
});
afterAll(() => swarm?.dispose());

async function saveAndCompare(...profile: string[]): Promise<string> {
  const seed = `full-disks-${round++}`;
  const tree = makeTree(swarm.scratch(seed), { seed, files: 60, averageBytes: 500_000 });
  const made = await owner.ask(snapshotResult, "snapshot", tree, ...profile);
  const target = join(swarm.directory, `target-${round}`);
  const restored = await owner.ask(restoreResult, "restore", made.snapshotId, "--target", target);
  expect(restored).toMatchObject({ status: 0, verified: true });
  expect(differences(tree, target + tree)).toEqual([]);
  expect(made.status).toBe(["safe", "full"].includes(made.state) ? 0 : 4);
  return made.state;
}

it("no room is an answer: another holder is used until there is none, and every daemon lives", async () => {
  const states = [await saveAndCompare("--profile", "2+2"), await saveAndCompare("--profile", "2+2")];
  // 4 x 60 + 2 x 25 MiB hold two snapshots of 60 MiB with ease, as long as nobody gives up.
  expect(states).toEqual(["full", "full"]);
  while (states.length < 10 && states.at(-1) !== "pending") states.push(await saveAndCompare());
  // In the end nobody has room: that is said, and what has no place waits on the owner's disk.
  console.log(states.join(" "));
  expect(states.at(-1)).toBe("pending");
  const status = await owner.status();
  expect(status.alerts.map((alert) => alert.code)).toContain("snapshot-pending");
  expect(status.spool.segments).toBeGreaterThan(0);
  const why = owner.logged("put-failed").map((line) => String(line["why"]));
  expect(why.length).toBeGreaterThan(0);
  expect(why.filter((text) => !text.includes("has no room"))).toEqual([]);
  for (const node of swarm.nodes) {
    expect([node.name, node.isRunning]).toEqual([node.name, true]);
    expect((await node.status()).storage.usedBytes).toBeLessThanOrEqual(
      (node === swarm.node(LITTLE) ? 20 : 60) * MIB,
    );
  }
});

it("a daemon whose disk is full starts again and serves what it holds", async () => {
  if (!isMounted) return console.log("mounting is not permitted here");
  const node = swarm.node(TMPFS);
  const { bavail, bsize } = statfsSync(node.home);
  console.log(`${bavail * bsize} bytes free of the small disk`);
  expect(bavail * bsize).toBeLessThan(16 * MIB);
  await node.stop();
  await node.start();
  await swarm.allAlive();
  const { storage } = await node.status();
  expect(storage.shards).toBeGreaterThan(0);
  // Of what it holds, the owner finds every shard.
  const read = await owner.cli("verify", "--read-data", "--json");
  expect([0, 4]).toContain(read.status);
  expect(read.json).toMatchObject({ corruptCount: 0 });
});
