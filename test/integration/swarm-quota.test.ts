import { join } from "node:path";
import { expect, it } from "vitest";
import { KIB } from "../../src/base/units.ts";
import { quotaBytesOf } from "../../src/exchange/index.ts";
import { repositoryStanding } from "../../src/node/index.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const QUOTA = 2000 * KIB;

async function heldOf(swarm: Swarm, owner: Machine): Promise<number> {
  let bytes = 0;
  for (const machine of swarm.members) {
    for (const shard of await machine.shardDisk.open().list(undefined, 100_000))
      if (shard.id.owner === owner.node.repository.catalog.owner) bytes += shard.bytes;
  }
  return bytes;
}

it("an owner stores as much as its quota says and no more; what it has stays restorable", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, quotaBytes: QUOTA });
  const owner = swarm.member(1);
  const source = join(scratch(), "src");
  put(source, "first", swarm.rng.bytes(300 * KIB));
  const made = await swarm.clock.during(owner.snapshot([source]));
  expect(made.protection.state).toBe("full");
  const before = join(scratch(), "before");
  await swarm.clock.during(owner.restore(before));

  put(source, "second", swarm.rng.bytes(1500 * KIB));
  const refused = { code: "QUOTA_EXCEEDED", detail: { quotaBytes: QUOTA } };
  await expect(swarm.clock.during(owner.snapshot([source]))).rejects.toMatchObject(refused);
  const held = await heldOf(swarm, owner);
  expect(held).toBeGreaterThan(QUOTA / 2);
  expect(held).toBeLessThanOrEqual(QUOTA);
  // It was the owner that stopped: nobody had to refuse it.
  expect(owner.logged("put-failed")).toEqual([]);

  const { quota } = await repositoryStanding(owner.node);
  expect(quota).toMatchObject({ bytes: QUOTA });
  expect(quota?.usedBytes).toBeGreaterThanOrEqual(held);
  expect(quota?.usedBytes).toBeLessThanOrEqual(QUOTA);

  const after = join(scratch(), "after");
  const { report } = await swarm.clock.during(owner.restore(after));
  expect(report.problems).toEqual([]);
  await expectSameTree(before + source, after + source);
  // The founder has no quota.
  expect((await swarm.clock.during(swarm.member(0).snapshot([source]))).protection.state).toBe("full");
  await swarm.stop();
});

it("an owner that does not keep to it is refused by its holders", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, quotaBytes: QUOTA });
  const owner = swarm.member(1);
  const { repository, view } = owner.node;
  Object.defineProperty(view, "ownQuotaBytes", { value: () => undefined });
  const source = put(scratch(), "file", swarm.rng.bytes(1500 * KIB));
  await swarm.clock.during(owner.snapshot([source]).catch(() => {}));
  const reasons = owner.logged("put-failed").map(({ fields }) => fields["why"]);
  expect(reasons.length).toBeGreaterThan(0);
  for (const why of reasons) expect(why).toMatch(/quota/);
  // Each holder sees six of eight segments or so, and stops at the quota by what it has seen.
  expect(await heldOf(swarm, owner)).toBeLessThanOrEqual(QUOTA * 1.5);
  let wanted = 0;
  for await (const [, record] of repository.catalog.segments.all()) wanted += quotaBytesOf(record);
  expect(wanted).toBeGreaterThan(QUOTA * 1.4);
  await swarm.stop();
});

it("a quota that is changed counts for owner and holders from then on, and what is stored stays", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, quotaBytes: QUOTA });
  const [founder, owner] = [swarm.member(0), swarm.member(1)];
  const source = join(scratch(), "src");
  put(source, "first", swarm.rng.bytes(1500 * KIB));
  const change = (bytes: number | undefined) => founder.node.administration.setQuota("node1", bytes);
  const snapshot = () => swarm.clock.during(owner.snapshot([source]));
  await expect(snapshot()).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
  expect(await change(QUOTA)).toMatchObject({ outcome: "known" });
  expect(await change(5 * QUOTA)).toMatchObject({ outcome: "announced", pending: undefined });
  await swarm.settle();
  expect((await snapshot()).protection.state).toBe("full");
  const held = await heldOf(swarm, owner);
  expect(held).toBeGreaterThan(QUOTA);

  await change(QUOTA);
  await swarm.settle();
  for (const { node } of swarm.members) expect(node.roster.member(owner.peer)?.quotaBytes).toBe(QUOTA);
  put(source, "second", swarm.rng.bytes(100 * KIB));
  await expect(snapshot()).rejects.toMatchObject({ code: "QUOTA_EXCEEDED" });
  expect(await heldOf(swarm, owner)).toBe(held);
  const target = join(scratch(), "target");
  const { report } = await swarm.clock.during(owner.restore(target));
  expect(report.problems).toEqual([]);

  await change(undefined);
  await swarm.settle();
  expect((await snapshot()).protection.state).toBe("full");
  // The member is otherwise who it was: a quota moves nothing.
  expect(owner.node.roster.member(owner.peer)).toMatchObject({
    holder: true,
    site: "a",
    quotaBytes: undefined,
  });
  await swarm.stop();
});

it("a quota does not take the place of a change of site that waits", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const { administration } = swarm.member(0).node;
  await administration.moveSite("node1", "d");
  await expect(administration.setQuota("node1", QUOTA)).rejects.toMatchObject({ code: "NOT_ALLOWED" });
  await administration.cancel("node1", "site-move");
  expect(await administration.setQuota("node1", QUOTA)).toMatchObject({ outcome: "announced" });
  await swarm.stop();
});
