import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { SegmentSet } from "../../src/catalog/index.ts";
import { newIdentity, openSlot } from "../../src/node/index.ts";
import { beginRecovery, recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const TEN = ["a", "a", "a", "b", "b", "b", "c", "c", "c", "c"];

async function expectRestores(swarm: Swarm, owner: Machine, asked: string, source: string): Promise<void> {
  const target = scratch();
  const snapshot = await owner.node.repository.find(asked);
  const { report } = await swarm.clock.during(owner.restore(target, { snapshot }));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

it("a burnt machine comes back from its recovery key and any member, with all its snapshots", async () => {
  const swarm = await Swarm.create({ sites: TEN });
  const lost = swarm.member(1);
  const root = scratch();
  const first = buildPlainTree(join(root, "first"), swarm.rng);
  const second = buildPlainTree(join(root, "second"), swarm.rng, 30);
  await swarm.clock.during(lost.snapshot([first]));
  await swarm.clock.during(lost.snapshot([second]));
  const [one, two] = await lost.node.repository.snapshots();
  const oneId = Buffer.from(must(one, "first").id).toString("hex");
  const twoId = Buffer.from(must(two, "second").id).toString("hex");
  const holders = new Set(lost.node.repository.maps.holders());
  lost.crash();
  // Two further machines are gone; whoever is asked holds nothing itself.
  swarm.member(4).crash();
  swarm.member(7).crash();
  const via = must(
    swarm.members.find((machine) => machine.isRunning && !holders.has(machine.peer)) ?? swarm.member(0),
    "member",
  );
  const fresh = swarm.newMachine("fresh", "a");
  const { pool } = await swarm.clock.during(recoverOnto(fresh, lost, via));
  expect(pool.answered).toBe(7);
  expect(fresh.node.repository.catalog.state.incarnations.length).toBe(2);
  await expectRestores(swarm, fresh, oneId, first);
  await expectRestores(swarm, fresh, twoId, second);
  await swarm.member(4).start();
  await swarm.member(7).start();
  await swarm.settle();
  const made = await swarm.clock.during(fresh.snapshot([first, second]));
  expect(made.protection.state).toMatch(/safe|full/);
  await expectRestores(swarm, fresh, "latest", root);
  // And once more, from what the second life wrote.
  fresh.crash();
  const third = swarm.newMachine("third", "b");
  await swarm.clock.during(recoverOnto(third, lost, swarm.member(0)));
  expect(third.node.repository.catalog.state.incarnations.length).toBe(3);
  expect((await third.node.repository.snapshots()).length).toBe(3);
  await expectRestores(swarm, third, "latest", root);
  await expectRestores(swarm, third, oneId, first);
  // All holders answered this time: what they have is not stored again.
  put(root, "second/new", swarm.rng.bytes(5000));
  const last = await swarm.clock.during(third.snapshot([first, second]));
  expect(last.bytesNew).toBe(5000);
  await expectRestores(swarm, third, "latest", root);
  await swarm.stop();
});

it("nobody takes anything from the old machine once its owner was recovered elsewhere", async () => {
  const swarm = await Swarm.create({ sites: TEN });
  const old = swarm.member(2);
  const source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(old.snapshot([source]));
  await old.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, old, swarm.member(5)));
  await swarm.clock.during(fresh.snapshot([source]));
  await swarm.clock.advance(60_000);
  await old.start();
  await swarm.settle();
  await swarm.clock.advance(60_000);
  put(source, "new", "x");
  const before = swarm.networks.bodyBytes();
  const outcome = await swarm.clock.during(
    old.snapshot([source]).then(
      (made) => made.protection.state,
      (error: { code?: string }) => error.code,
    ),
  );
  expect(["FENCED", "pending"]).toContain(outcome);
  expect(swarm.networks.bodyBytes()).toBe(before);
  await swarm.stop();
});

it("a wrong key is let in nowhere and opens nothing", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
  const owner = swarm.member(0);
  const wrong = newIdentity(swarm.rng.fork("wrong")).recovery;
  const onto = swarm.newMachine("fresh", "a");
  await expect(beginRecovery(onto, wrong, swarm.member(1))).rejects.toMatchObject({ code: "NOT_A_MEMBER" });
  const { recovery } = await beginRecovery(onto, owner.identity.recovery, swarm.member(1));
  expect(() => openSlot(wrong, recovery.slotRecord)).toThrow();
  await swarm.stop();
});

it("says how many of the pool answered", async () => {
  const swarm = await Swarm.create({ sites: TEN });
  const owner = swarm.member(0);
  const source = put(scratch(), "file", swarm.rng.bytes(300_000));
  await swarm.clock.during(owner.snapshot([source]));
  owner.crash();
  for (const index of [2, 3, 4, 5, 6]) swarm.member(index).crash();
  const onto = swarm.newMachine("fresh", "a");
  const { pool } = await swarm.clock.during(beginRecovery(onto, owner.identity.recovery, swarm.member(8)));
  expect(pool.answered).toBe(4);
  expect(pool.asked).toBeGreaterThanOrEqual(9);
  expect(pool.pool.answered * 2).toBeLessThanOrEqual(pool.pool.members);
  expect(pool.heads.length).toBe(1);
  await swarm.stop();
});

it("an older snapshot stays restorable after all that it shared was stored anew, over a second recovery", async () => {
  const swarm = await Swarm.create({ sites: TEN });
  const lost = swarm.member(1);
  const root = scratch();
  const source = buildPlainTree(join(root, "src"), swarm.rng);
  await swarm.clock.during(lost.snapshot([source]));
  const [one] = await lost.node.repository.snapshots();
  const oneId = Buffer.from(must(one, "first").id).toString("hex");
  lost.crash();
  // So many are away that nothing counts as safe, and enough to read by: a snapshot made now leans on nothing that is there.
  const away = [6, 7, 8, 9].map((index) => swarm.member(index));
  for (const machine of away) machine.crash();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, lost, swarm.member(4)));
  const anew = await swarm.clock.during(fresh.snapshot([source]));
  expect(anew.bytesNew).toBeGreaterThan(0);
  for (const machine of away) await machine.start();
  await swarm.settle();
  fresh.crash();
  const third = swarm.newMachine("third", "b");
  await swarm.clock.during(recoverOnto(third, lost, swarm.member(4)));
  const { catalog, trees } = third.node.repository;
  for (const entry of await third.node.repository.snapshots()) {
    const { needs } = await swarm.clock.during(trees.manifest(entry));
    const unknown = [...SegmentSet.fromRanges(needs)].filter(
      (ref) => catalog.segments.get(ref) === undefined,
    );
    expect(unknown).toEqual([]);
  }
  await expectRestores(swarm, third, oneId, source);
  await swarm.stop();
});
