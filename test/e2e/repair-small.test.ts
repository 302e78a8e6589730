import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { repairResult } from "../../src/control/repair-api.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { SHORT_CLOCKS } from "../support/short-clocks.ts";
import { makeTree } from "../support/trees.ts";

// Swarms with hardly anybody left over: what can be repaired is, the rest is said, and new snapshots are not held up.

let swarm: DaemonSwarm | undefined;
afterEach(() => swarm?.dispose());

async function begin(
  sites: readonly string[],
): Promise<{ swarm: DaemonSwarm; owner: TestNode; tree: string }> {
  swarm = await DaemonSwarm.start({
    sites,
    beforeStarting: (node) => node.configure({ upkeep: SHORT_CLOCKS }),
  });
  const tree = makeTree(swarm.scratch("tree"), { seed: "small", files: 12, averageBytes: 300_000 });
  const owner = swarm.node(0);
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(["safe", "full"]).toContain(made.state);
  return { swarm, owner, tree };
}

const standing = async (owner: TestNode) => (await owner.ask(repairResult, "repair")).standing;

async function absent(owner: TestNode, dead: TestNode): Promise<void> {
  await eventually(
    `${dead.name} is absent`,
    async () =>
      (await owner.peers()).find(({ peerId }) => peerId === dead.peerId)?.liveness?.state === "absent",
    { everyMs: 1000 },
  );
}

async function newSnapshotIsMade(owner: TestNode, tree: string): Promise<string> {
  writeFileSync(join(tree, "new"), "made while one is away");
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect([0, 4]).toContain(made.status);
  return made.state;
}

it("three nodes at three sites, one destroyed: nobody can take its place, status says so, snapshots go on", async () => {
  const { swarm, owner, tree } = await begin(["a", "b", "c"]);
  const dead = swarm.node(2);
  await dead.kill();
  await absent(owner, dead);
  await eventually("what cannot be repaired is said", async () => {
    const now = await standing(owner);
    return now !== undefined && now.queue.stuck.length > 0 && now.belowPolicy === now.segments;
  });
  const status = await owner.status();
  expect(status.status).toBe(4);
  expect(status.alerts.map(({ code }) => code)).toEqual(
    expect.arrayContaining(["protection-below-policy", "repair-stuck"]),
  );
  expect((await owner.ask(repairResult, "repair", "--now")).status).toBe(4);
  expect(["pending", "placed"]).toContain(await newSnapshotIsMade(owner, tree));
  await restoreWhole(swarm, owner, "latest", tree);
  // Its place is taken by a new machine at its site.
  const fresh = await swarm.join("c");
  fresh.configure({ upkeep: SHORT_CLOCKS });
  await fresh.start();
  await eventually(
    "all is whole again",
    async () => {
      const now = await standing(owner);
      return now !== undefined && now.belowPolicy === 0 && now.queue.segments === 0;
    },
    { everyMs: 1000 },
  );
  expect((await owner.status()).status).toBe(0);
  await restoreWhole(swarm, owner, "latest", tree);
});

it("five nodes at two sites, one destroyed: what the others can take they have, and snapshots go on", async () => {
  const { swarm, owner, tree } = await begin(["a", "a", "a", "b", "b"]);
  const dead = swarm.node(4);
  await dead.kill();
  await absent(owner, dead);
  // One answer and its exit status: a second one may find the owner a look further.
  let said: Awaited<ReturnType<TestNode["status"]>> | undefined;
  await eventually(
    "nothing is left that can be done",
    async () => {
      said = await owner.status();
      const { queue, unknown } = said.repair ?? {};
      return queue !== undefined && unknown === 0 && queue.segments === 0 && queue.waiting.shards === 0;
    },
    { everyMs: 1000 },
  );
  const { repair, heirs, status } = must(said, "status");
  const { belowPolicy, queue } = must(repair, "repair");
  expect(belowPolicy === 0 || queue.stuck.length > 0).toBe(true);
  expect({ heirs, status }).toMatchObject({
    heirs: { queued: 0, stuck: [] },
    status: belowPolicy === 0 ? 0 : 4,
  });
  await newSnapshotIsMade(owner, tree);
  await restoreWhole(swarm, owner, "latest", tree);
});
