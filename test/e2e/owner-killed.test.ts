import { lstatSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { type SnapshotResult, snapshotInfo, snapshotResult } from "../../src/control/results.ts";
import { errorOf, type Running, resultOf } from "../support/cli.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { makeTree } from "../support/trees.ts";

// The owner's daemon dies by kill -9 in the middle of snapshots. CAIRN_TEST_SEED plays the same moments again.

const SEED = process.env["CAIRN_TEST_SEED"] ?? String(Date.now());
const KILLS = 10;
const TREE = { files: 40, averageBytes: 800_000 };

let swarm: DaemonSwarm;
let owner: TestNode;
let full: SnapshotResult;
/** Snapshots that were acknowledged, and the trees they are of. */
const acknowledged: { snapshotId: string; tree: string }[] = [];

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "b", "c", "c"] });
  owner = swarm.node(0);
});
afterAll(() => swarm?.dispose());

const expectRestores = (snapshotId: string, tree: string) => restoreWhole(swarm, owner, snapshotId, tree);

it("measures an undisturbed snapshot first", async () => {
  const tree = makeTree(swarm.scratch("tree"), { seed: "undisturbed", ...TREE });
  full = await owner.ask(snapshotResult, "snapshot", tree);
  expect(full.state).toBe("full");
  acknowledged.push({ snapshotId: full.snapshotId, tree });
});

/** Bytes of this owner's shards on everybody's disks. */
function bytesPlaced(): number {
  return shardsHeld(swarm.nodes, owner.ownerId).reduce(
    (sum, { path }) => sum + (lstatSync(path, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

/** Runs a snapshot until so many more bytes lie at the holders than before, and for `thenMs`; or to its end if that is earlier. */
async function snapshotUntil(tree: string, moreBytes: number, thenMs: number): Promise<Running> {
  const before = bytesPlaced();
  const running = owner.startCli("snapshot", tree, "--json");
  while (running.isRunning && bytesPlaced() - before < moreBytes) await sleep(10);
  await sleep(thenMs);
  return running;
}

it(`goes on after kill -9 at ${KILLS} moments of a snapshot (seed ${SEED})`, async () => {
  const rng = new SeededRng(SEED);
  const before = must(acknowledged[0], "snapshot before");
  const newTree = (name: string) => makeTree(swarm.scratch("tree"), { seed: `${name}/${SEED}`, ...TREE });
  let tree = newTree("killed");
  for (let kill = 0; kill < KILLS; kill++) {
    // By what has been placed and not by the clock, so that a busy machine does not make every kill an early one.
    const moreBytes = ((kill + rng.float()) / KILLS) * full.bytesStored;
    const thenMs = rng.float() * 150;
    const running = await snapshotUntil(tree, moreBytes, thenMs);
    await owner.kill();
    const ran = await running.done;
    console.log(
      `seed ${SEED} kill ${kill}: ${Math.round(moreBytes)} B and ${Math.round(thenMs)} ms in, exit ${ran.status}`,
    );
    if (ran.status === 0) {
      // It was quicker than the kill: then it must be there for good.
      acknowledged.push({ snapshotId: resultOf(ran, snapshotResult).snapshotId, tree });
      tree = newTree(`killed-${kill}`);
    } else {
      expect(errorOf(ran)).toMatchObject({ status: 5, code: "DAEMON_GONE" });
    }
    await owner.start();
    const listed = resultOf(await owner.cli("snapshots", "--json"), z.array(snapshotInfo));
    const ids = listed.map((snapshot) => snapshot.snapshotId);
    expect(ids).toEqual(expect.arrayContaining(acknowledged.map(({ snapshotId }) => snapshotId)));
    expect((await owner.cli("ls", before.snapshotId)).status).toBe(0);
  }
  await swarm.allAlive();
  const last = await owner.ask(snapshotResult, "snapshot", tree);
  expect(last).toMatchObject({ status: 0, state: "full", unreadableCount: 0 });
  acknowledged.push({ snapshotId: last.snapshotId, tree });
  for (const one of acknowledged) await expectRestores(one.snapshotId, one.tree);
});

it("does not upload again what was placed before a late kill", async () => {
  // Several segments are open at a time, and only whole ones are worth anything later: so there must be more of them.
  const large = { files: 150, averageBytes: 800_000 };
  const tree = makeTree(swarm.scratch("tree"), { seed: `late/${SEED}`, ...large });
  const expectedBytes = 2 * large.files * large.averageBytes;
  const running = await snapshotUntil(tree, 0.75 * expectedBytes, 0);
  await owner.kill();
  expect((await running.done).status).toBe(5);
  await owner.start();
  await swarm.allAlive();
  const rest = await owner.ask(snapshotResult, "snapshot", tree);
  console.log(`uploaded ${rest.bytesStored} of ${expectedBytes} bytes after the late kill`);
  expect(rest).toMatchObject({ status: 0, state: "full" });
  expect(rest.bytesStored).toBeLessThan(0.75 * expectedBytes);
  await expectRestores(rest.snapshotId, tree);
});

it("interrupted at the terminal it ends with 130, and the next run goes on", async () => {
  const tree = makeTree(swarm.scratch("tree"), { seed: `interrupted/${SEED}`, ...TREE });
  const running = await snapshotUntil(tree, 0.4 * full.bytesStored, 0);
  running.kill("SIGINT");
  const ran = await running.done;
  expect(errorOf(ran)).toMatchObject({ status: 130, code: "INTERRUPTED" });
  expect(ran.stderr).toMatch(/^cairn: Interrupted; what was done is kept/);
  expect(owner.isRunning).toBe(true);
  const rest = await owner.ask(snapshotResult, "snapshot", tree);
  console.log(`uploaded ${rest.bytesStored} of ${full.bytesStored} bytes after the interruption`);
  expect(rest).toMatchObject({ status: 0, state: "full" });
  await expectRestores(rest.snapshotId, tree);
});
