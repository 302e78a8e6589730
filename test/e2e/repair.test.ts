import { renameSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { repairResult } from "../../src/control/repair-api.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { type ShardInfo, scrubResult, shardInfo } from "../../src/control/scrub-api.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { flipByte } from "../support/shard-files.ts";
import { SHORT_CLOCKS } from "../support/short-clocks.ts";
import { makeTree } from "../support/trees.ts";

// A living owner keeps its repository whole: nine daemons at three sites, with the policy's clocks set to seconds.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;

const TAILS = 6;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({
    sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"],
    beforeStarting: (node) => node.configure({ upkeep: SHORT_CLOCKS }),
  });
  owner = swarm.node(0);
  tree = makeTree(swarm.scratch("tree"), { seed: "repair", files: 60, averageBytes: 800_000 });
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(made.status).toBe(0);
  // One small segment more with each.
  for (let n = 0; n < TAILS; n++) {
    writeFileSync(join(tree, `note-${n}`), `note ${n}`);
    expect((await owner.ask(snapshotResult, "snapshot", tree)).status).toBe(0);
  }
});
afterAll(() => swarm?.dispose());

async function shardsOf(node: TestNode): Promise<ShardInfo[]> {
  const ran = await node.cli("shards", "--owner", owner.ownerId, "--json");
  expect(ran.status).toBe(0);
  const lines = ran.stdout.trimEnd().split("\n").slice(0, -1);
  return lines.map((line) => shardInfo.parse(JSON.parse(line)));
}

const fileOf = (shard: ShardInfo): string => must(shard.file, "file of a shard");
const repairNow = () => owner.ask(repairResult, "repair", "--now");
const repairs = () => owner.logged("shard-repaired");
const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** Holders, by how many shards of the owner they have. */
async function held(nodes: readonly TestNode[]): Promise<Map<TestNode, number>> {
  const counts = new Map<TestNode, number>();
  for (const node of nodes) counts.set(node, (await shardsOf(node)).length);
  return counts;
}

/** Flips one, cuts one, deletes one and exchanges two of the same length, where there are any: how many that makes. */
async function damage(node: TestNode): Promise<number> {
  const shards = await shardsOf(node);
  const twins = [...Map.groupBy(shards, ({ bytes }) => bytes).values()].find((same) => same.length > 1) ?? [];
  const [one, other] = twins;
  const [flipped, cut, deleted] = shards.filter((shard) => shard !== one && shard !== other);
  if (flipped !== undefined) flipByte(fileOf(flipped), (flipped.offset ?? 0) + flipped.bytes - 1);
  if (cut !== undefined) truncateSync(fileOf(cut), cut.bytes - 1);
  if (deleted !== undefined) unlinkSync(fileOf(deleted));
  if (one !== undefined && other !== undefined) {
    const [a, b] = [fileOf(one), fileOf(other)];
    renameSync(a, `${a}.x`);
    renameSync(b, a);
    renameSync(`${a}.x`, b);
  }
  return [flipped, cut, deleted, one, other].filter((shard) => shard !== undefined).length;
}

it("mends all that was damaged on every holder's disk, in place, and the counts agree", async () => {
  const holders = swarm.nodes.slice(1);
  const before = await held(holders);
  let damaged = 0;
  // Another one each time a segment is hit: of a tail there are few copies.
  for (const node of [holders[0], holders[3], holders[6]]) damaged += await damage(must(node, "holder"));
  expect(damaged).toBeGreaterThan(sum([...before.values()]) / 100);
  const found = await Promise.all(holders.map((node) => node.ask(scrubResult, "scrub", "--now")));
  expect(sum(found.map(({ corrupt }) => corrupt))).toBe(damaged);
  expect(sum(found.map(({ quarantined }) => quarantined))).toBe(damaged);
  // Holders tell the owner what they set aside, so some of it may be mended already; what is left is found and mended now.
  const repaired = await repairNow();
  expect(repaired).toMatchObject({ status: 0, failed: 0, silent: 0 });
  expect((await owner.ask(repairResult, "repair")).repaired).toBe(damaged);
  expect(await held(holders)).toEqual(before);
  expect(repairs()).toHaveLength(damaged);
  for (const line of repairs()) expect(line["from"] === undefined || line["from"] === line["to"]).toBe(true);
  // What was put here again is read as it should be, and what lay in quarantine goes.
  const again = await Promise.all(holders.map((node) => node.ask(scrubResult, "scrub", "--now")));
  expect(again.map(({ corrupt, waiting, status }) => ({ corrupt, waiting, status }))).toEqual(
    again.map(() => ({ corrupt: 0, waiting: 0, status: 0 })),
  );
  expect(await repairNow()).toMatchObject({ corrupt: 0, repaired: 0, bytesMoved: 0 });
  await restoreWhole(swarm, owner, "latest", tree);
});

it("moves nothing when a holder is away for less than its grace, or comes back", async () => {
  const away = must(swarm.nodes[4], "holder");
  const before = repairs().length;
  // Heard by nobody, and not gone: a stopped process keeps its connections.
  process.kill(away.pid, "SIGSTOP");
  await eventually("it is unreachable for the owner", async () => {
    const [peer] = (await owner.peers()).filter(({ peerId }) => peerId === away.peerId);
    return peer?.liveness?.state === "unreachable" || peer?.liveness?.state === "absent";
  });
  process.kill(away.pid, "SIGCONT");
  await swarm.allAlive();
  await eventually("all is as it was", async () => {
    const { standing } = await owner.ask(repairResult, "repair");
    return standing?.absentShards === 0 && standing.belowPolicy === 0;
  });
  expect(repairs()).toHaveLength(before);
});

it("makes anew what a destroyed holder had, at k reads and one write a shard, over a kill -9 of the owner", async () => {
  const dead = must(swarm.nodes[5], "holder");
  const lost = await shardsOf(dead);
  const before = repairs().length;
  await dead.kill();
  await eventually("the first shard is made anew", () => repairs().length > before);
  await owner.kill();
  await owner.start();
  const done = async (): Promise<boolean> => {
    const { standing } = await owner.ask(repairResult, "repair");
    if (standing === undefined) return false;
    const { queue, absentShards } = standing;
    return absentShards === 0 && queue.segments === 0 && queue.stuck.length === 0;
  };
  await eventually("all are", done, { everyMs: 1000 });
  const others = swarm.nodes.filter((node) => node !== dead && node !== owner);
  const shards = (await Promise.all(others.map(shardsOf))).flat();
  const names = shards.map(({ number, index }) => `${number}/${index}`);
  // Each once: what was put before the kill was not put elsewhere after it.
  expect(new Set(names).size).toBe(names.length);
  for (const { number, index } of lost) expect(names).toContain(`${number}/${index}`);
  const { bytesMoved, bytesSent } = await owner.ask(repairResult, "repair");
  // What was done before the kill is not counted: at most k reads and one write for each byte that was lost.
  const lostBytes = sum(lost.map(({ bytes }) => bytes));
  expect(bytesSent).toBeLessThanOrEqual(lostBytes);
  expect(bytesMoved).toBeLessThanOrEqual(lostBytes * 4);
  expect((await owner.status()).repair).toMatchObject({ belowPolicy: 0 });
  await restoreWhole(swarm, owner, "latest", tree);
});

it("says what a burnt site leaves, takes new snapshots all the same, and gives everything back", async () => {
  const burnt = swarm.atSite("c");
  await Promise.all(burnt.map((node) => node.kill()));
  await eventually(
    "all that can be done is done, and the rest is said",
    async () => {
      const { standing } = await owner.ask(repairResult, "repair");
      if (standing === undefined) return false;
      const { queue, absentShards } = standing;
      return absentShards > 0 && queue.segments === 0 && queue.waiting.shards === 0 && queue.stuck.length > 0;
    },
    { everyMs: 1000 },
  );
  const status = await owner.status();
  expect(status.status).toBe(4);
  expect(status.alerts.map(({ code }) => code)).toContain("protection-below-policy");
  expect(status.repair?.queue.worstMargin).toBeGreaterThanOrEqual(0);
  writeFileSync(join(tree, "after-the-fire"), "saved all the same");
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect([0, 4]).toContain(made.status);
  await restoreWhole(swarm, owner, "latest", tree);
});
