import { mkdirSync, renameSync, rmSync, truncateSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { repairResult } from "../../src/control/repair-api.ts";
import { snapshotResult, verifyResult } from "../../src/control/results.ts";
import { type ShardInfo, scrubResult, shardInfo } from "../../src/control/scrub-api.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { flipByte } from "../support/shard-files.ts";
import { makeTree } from "../support/trees.ts";

// What a holder finds on its own disk, and what it says to the owner afterwards.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "b", "c", "c"] });
  owner = swarm.node(0);
  // 2+2 over four holders: each has one shard of every segment.
  for (let n = 0; n < 3; n++) {
    tree = makeTree(swarm.scratch(`tree${n}`), { seed: `scrub ${n}`, files: 30, averageBytes: 800_000 });
    const made = await owner.ask(snapshotResult, "snapshot", tree, "--profile", "2+2");
    expect(made.status).toBe(0);
  }
});
afterAll(() => swarm?.dispose());

async function shardsOf(node: TestNode, ...args: string[]): Promise<ShardInfo[]> {
  const ran = await node.cli("shards", "--owner", owner.ownerId.slice(0, 12), "--json", ...args);
  expect(ran.status).toBe(0);
  const lines = ran.stdout.trimEnd().split("\n");
  const summary: unknown = JSON.parse(must(lines.pop(), "summary"));
  expect(summary).toMatchObject({ type: "summary", shards: lines.length });
  return lines.map((line) => shardInfo.parse(JSON.parse(line)));
}

const fileOf = (shard: ShardInfo): string => must(shard.file, "file of a shard");
const nameOf = ({ number, index }: ShardInfo): string => `${number}#${index}`;

/** Flips one, cuts one, deletes one and exchanges two; says which. */
async function damage(node: TestNode): Promise<string[]> {
  const shards = await shardsOf(node);
  const twins = [...Map.groupBy(shards, ({ bytes }) => bytes).values()].find((same) => same.length > 1);
  const [one, other] = must(twins, "two shards of one length");
  const rest = shards.filter((shard) => shard !== one && shard !== other);
  const [flipped, cut, deleted] = [must(rest[0], "shard"), must(rest[1], "shard"), must(rest[2], "shard")];
  flipByte(fileOf(flipped), (flipped.offset ?? 0) + flipped.bytes - 1);
  truncateSync(fileOf(cut), cut.bytes - 1);
  unlinkSync(fileOf(deleted));
  const [a, b] = [fileOf(must(one, "shard")), fileOf(must(other, "shard"))];
  renameSync(a, `${a}.x`);
  renameSync(b, a);
  renameSync(`${a}.x`, b);
  return [flipped, cut, deleted, must(one, "shard"), must(other, "shard")].map(nameOf).sort();
}

it("one round finds what was flipped, cut, deleted and exchanged, and nothing else", async () => {
  // Else it would mend what is found as soon as it is told.
  await owner.stop();
  for (const node of [swarm.node(1), swarm.node(3)]) {
    const before = (await shardsOf(node)).length;
    const damaged = await damage(node);
    const found = await node.ask(scrubResult, "scrub", "--now");
    const expected = { scanned: before, corrupt: 5, quarantined: 5, repaired: 0, bytesMoved: 0, waiting: 5 };
    expect(found).toMatchObject({ status: 4, complete: true, ...expected });
    expect(found.bad.map(nameOf).sort()).toEqual(damaged);
    expect((await shardsOf(node)).length).toBe(before - 5);
    expect((await shardsOf(node, "--quarantined")).map(nameOf).sort()).toEqual(damaged);
    expect(node.log.filter(({ event }) => event === "shard-quarantined")).toHaveLength(5);
    const status = await node.status();
    expect(status.scrub).toMatchObject({ quarantined: 5, disk: "serving" });
    expect(status.alerts.map(({ code }) => code)).toContain("shards-quarantined");
    // Found once: the next round has nothing to add, and what waits is still said.
    expect(await node.ask(scrubResult, "scrub", "--now")).toMatchObject({
      status: 4,
      corrupt: 0,
      waiting: 5,
    });
  }
  expect(await swarm.node(2).ask(scrubResult, "scrub", "--now")).toMatchObject({ status: 0, corrupt: 0 });
});

it("what was set aside stays so after kill -9, which is followed by a sample", async () => {
  const node = swarm.node(1);
  const held = (await shardsOf(node)).length;
  await node.kill();
  await node.start();
  expect((await shardsOf(node)).length).toBe(held);
  expect(await node.ask(scrubResult, "scrub")).toMatchObject({ status: 4, waiting: 5, ran: false });
  await eventually("the sample was taken", () => node.log.some(({ event }) => event === "scrub-sample"));
});

it("the owner reads on although ten shards are gone, and mends them where they were", async () => {
  await owner.start();
  await swarm.allAlive();
  await restoreWhole(swarm, owner, "latest", tree);
  // Holders tell it by themselves, too, those that it was away from within ten minutes.
  // Just started, it does not know yet whether it is the one that is cut off: it touches nothing before.
  await eventually(
    "all is mended",
    async () => (await owner.ask(repairResult, "repair", "--now")).status === 0,
    { everyMs: 2_000 },
  );
  for (const node of [swarm.node(1), swarm.node(3)])
    expect(await node.ask(scrubResult, "scrub", "--now")).toMatchObject({ corrupt: 0, waiting: 0 });
  expect(owner.logged("shard-repaired")).toHaveLength(10);
  const verified = await owner.ask(verifyResult, "verify", "--read-data");
  expect(verified).toMatchObject({ status: 0, missing: 0, corruptCount: 0 });
});

it("a disk that is not mounted is no loss: the node serves nothing until it is back, started anew meanwhile or not", async () => {
  const node = swarm.node(2);
  const held = await shardsOf(node);
  const { margins } = (await owner.status()).protection;
  const folder = join(node.home, "shards");
  renameSync(folder, `${folder}.away`);
  mkdirSync(folder);
  for (const round of ["running", "started anew"]) {
    const found = await node.ask(scrubResult, "scrub", "--now");
    expect({ round, ...found }).toMatchObject({
      round,
      status: 4,
      corrupt: 0,
      waiting: 0,
      disk: { state: "gone" },
    });
    expect((await node.status()).alerts.map(({ code }) => code)).toContain("shards-disk-gone");
    // It is not asked in vain only: no receipt is forgotten because of it.
    expect(await owner.ask(verifyResult, "verify")).toMatchObject({ corruptCount: 0 });
    expect((await owner.status()).protection.margins).toEqual(margins);
    if (round === "running") {
      await node.stop();
      await node.start();
      await swarm.allAlive();
    }
  }
  rmSync(folder, { recursive: true });
  renameSync(`${folder}.away`, folder);
  const found = await node.ask(scrubResult, "scrub", "--now");
  expect(found).toMatchObject({ status: 0, scanned: held.length, corrupt: 0, disk: { state: "serving" } });
  expect(await owner.ask(verifyResult, "verify")).toMatchObject({ missing: 0, corruptCount: 0 });
});
