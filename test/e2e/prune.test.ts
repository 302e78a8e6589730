import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { forgetResult } from "../../src/control/policy-api.ts";
import { pruneResult } from "../../src/control/prune-api.ts";
import { snapshotResult, verifyResult } from "../../src/control/results.ts";
import { usageResult } from "../../src/control/usage-api.ts";
import { errorOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { noise } from "../support/segments.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { SHORT_CLOCKS } from "../support/short-clocks.ts";
import { makeTree } from "../support/trees.ts";

// Six daemons at three sites, with seconds for the days that holders wait: what is forgotten and pruned goes from their disks.

const UPKEEP = {
  ...SHORT_CLOCKS,
  collection: { every: "1s", delay: "3s", trash: "5s", brakeWindow: "20s", brake: "100%" },
};
const SNAPSHOTS = 5;

let swarm: DaemonSwarm;
let owner: TestNode;
const saved: { readonly id: string; readonly tree: string }[] = [];

beforeAll(async () => {
  swarm = await DaemonSwarm.start({
    sites: ["a", "a", "b", "b", "c", "c"],
    beforeStarting: (node) => node.configure({ upkeep: UPKEEP }),
  });
  owner = swarm.node(0);
  const tree = makeTree(swarm.scratch("tree"), { seed: "prune", files: 20, averageBytes: 200_000 });
  for (let turn = 0; turn < SNAPSHOTS; turn++) {
    writeFileSync(join(tree, "changing"), noise(36_000_000, turn));
    const { snapshotId } = await owner.ask(snapshotResult, "snapshot", tree);
    saved.push({ id: snapshotId, tree });
  }
});
afterAll(() => swarm?.dispose());

const bytesHeld = (): number =>
  shardsHeld(swarm.nodes, owner.ownerId).reduce((sum, { path }) => sum + statSync(path).size, 0);

it("forgets and prunes; holders' disks shrink by what usage said, and the rest restores bit for bit", async () => {
  const [first, second, ...rest] = saved.map(({ id }) => id);
  const refused = await owner.ask(forgetResult, "forget", must(rest.at(-1), "newest"));
  expect(refused).toMatchObject({
    status: 6,
    snapshots: [{ keep: true, reasons: [{ rule: "newest-safe" }] }],
  });
  const gone = [must(first, "first"), must(second, "second")];
  const forgotten = await owner.ask(forgetResult, "forget", ...gone);
  expect(forgotten.snapshots.map(({ keep }) => keep)).toEqual([false, false]);
  const usage = await owner.ask(usageResult, "usage");
  expect(usage.unneeded.storedBytes).toBeGreaterThan(60_000_000);
  const planned = await owner.ask(pruneResult, "prune", "--dry-run");
  expect(planned.freedBytes).toBeGreaterThanOrEqual(usage.unneeded.storedBytes);
  const before = bytesHeld();
  const pruned = await owner.ask(pruneResult, "prune");
  expect(pruned).toMatchObject({ status: 0, freedBytes: planned.freedBytes });
  const goal = before - usage.unneeded.storedBytes;
  await eventually("the disks shrink", () => bytesHeld() < goal + 500_000, {
    withinMs: 120_000,
    everyMs: 1000,
  });
  // No more than that: what the new list and index take has come.
  expect(bytesHeld()).toBeGreaterThan(before - planned.freedBytes - 100_000);
  expect(errorOf(await owner.cli("restore", gone[0] ?? "", "--target", "/nowhere", "--json"))).toMatchObject({
    status: 1,
    code: "SNAPSHOT_UNKNOWN",
  });
  await restoreWhole(swarm, owner, must(rest.at(-1), "newest"), must(saved[0], "saved").tree);
  const verified = await owner.ask(verifyResult, "verify", "--read-data");
  expect(verified).toMatchObject({ status: 0 });
  const status = await owner.status();
  expect(status.alerts.map(({ code }) => code)).not.toContain("deletion-braked");
  expect(await owner.ask(pruneResult, "prune")).toMatchObject({ segments: 0, liveSet: { missing: 0 } });
  for (const node of swarm.nodes)
    for (const event of ["shard-lost-by-holder", "holder-suspect", "row-shards-lost"])
      expect([node.name, event, node.logged(event)]).toEqual([node.name, event, []]);
});
