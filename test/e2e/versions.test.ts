import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { parseSwarmId, type SwarmId } from "../../src/base/ids.ts";
import { REHEARSAL_VARIABLE } from "../../src/cli/runtime-formats.ts";
import { restoreResult, snapshotResult, verifyResult } from "../../src/control/results.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { descriptorVersion, shardsHeld } from "../support/shard-files.ts";
import { differences, makeTree } from "../support/trees.ts";

// An upgrade, one machine after the other, and the way back: daemons of this version and of the next in one swarm.

let swarm: DaemonSwarm;
let swarmId: SwarmId;
let owner: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
  swarmId = must(parseSwarmId((await owner.status()).swarm.swarmId), "swarm id");
});
afterAll(() => swarm?.dispose());

async function runs(node: TestNode, further: number): Promise<void> {
  await node.stop();
  await node.start([], { environment: further === 0 ? {} : { [REHEARSAL_VARIABLE]: String(further) } });
  await swarm.allAlive();
}

/** Format versions of what the others hold for the owner. */
function versionsHeld(): Set<number> {
  const held = shardsHeld(swarm.nodes, owner.ownerId);
  return new Set(held.map((shard) => descriptorVersion(shard, swarmId)));
}

async function save(seed: string): Promise<string> {
  const tree = makeTree(swarm.scratch("tree"), { seed, files: 5, averageBytes: 200_000 });
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(["safe", "full"], seed).toContain(made.state);
  return tree;
}

async function expectRestored(tree: string): Promise<void> {
  const target = swarm.newTarget();
  const restored = await owner.ask(restoreResult, "restore", "latest", "--target", target);
  expect(restored).toMatchObject({ status: 0, problemCount: 0 });
  expect(differences(tree, target + tree)).toEqual([]);
}

const holdingBack = async (): Promise<string[]> =>
  (await owner.peers()).filter((peer) => peer.holdsBack === true).map((peer) => peer.name);

it("the first that is upgraded writes the older format, and peers names who holds the swarm back", async () => {
  await runs(owner, 1);
  await eventually("both others are said to hold back", async () => (await holdingBack()).length === 2);
  expect(owner.logged("formats-rehearsed")).toHaveLength(1);
  const shown = (await owner.cli("peers")).stdout.split("\n");
  expect(shown.filter((line) => line.includes("(holds back)"))).toHaveLength(2);
  expect((await owner.status()).protection.notes.join("\n")).toContain(
    "format 1 until these are upgraded: n1, n2",
  );
  const versions = (await swarm.node(1).peers()).find(
    ({ peerId }) => peerId === owner.peerId,
  )?.formatVersions;
  expect(versions).toEqual({ reads: [1, 2], writes: 2 });
  const tree = await save("one");
  expect(versionsHeld()).toEqual(new Set([1]));
  await expectRestored(tree);
  await runs(swarm.node(1), 1);
  await eventually("one holds back", async () => (await holdingBack()).join() === "n2");
  await save("two");
  expect(versionsHeld()).toEqual(new Set([1]));
});

it("once the last one is upgraded the next format is written, and those that are taken back read, keep and prove it", async () => {
  await runs(swarm.node(2), 1);
  await eventually("nobody holds back", async () => (await holdingBack()).length === 0);
  const tree = await save("three");
  expect(versionsHeld()).toEqual(new Set([1, 2]));
  await expectRestored(tree);
  for (const node of swarm.nodes) await runs(node, 0);
  await expectRestored(tree);
  expect(await owner.ask(verifyResult, "verify", "--read-data")).toMatchObject({
    status: 0,
    corruptCount: 0,
  });
  expect((await owner.cli("audit", "--now")).status).toBe(0);
  const before = shardsHeld(swarm.nodes, owner.ownerId).length;
  const again = await save("four");
  await expectRestored(again);
  const added = shardsHeld(swarm.nodes, owner.ownerId).length - before;
  expect(added).toBeGreaterThan(0);
});
