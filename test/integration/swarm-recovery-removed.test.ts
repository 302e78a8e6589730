import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { foundSnapshots, viewOfAnswers } from "../../src/node/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// Administrators took a node out whose shards a recovery cannot do without.

const scratch = scratchDirectories();

/** Two of three shards are needed; one holder is removed, another is dead, and so is the owner. */
async function oneLeftAndOneRemoved(): Promise<{ swarm: Swarm; owner: Machine; removed: Machine }> {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "d"], seed: "removed" });
  const [founder, owner, removed, dead] = [0, 1, 2, 3].map((index) => swarm.member(index));
  const machine = (one: Machine | undefined): Machine => must(one, "machine");
  const tree = buildPlainTree(join(scratch(), "tree"), swarm.rng, 12);
  const { clock } = swarm;
  const made = await clock.during(machine(owner).snapshot([tree], { profile: { k: 2, m: 1 } }));
  expect(made.protection.state).not.toBe("pending");
  machine(dead).crash();
  machine(owner).crash();
  await machine(founder).node.administration.remove(machine(removed).peer, {
    reason: "sold",
    barsOwner: false,
  });
  await clock.jump(DAY_MS + HOUR_MS);
  await clock.advance(2 * MINUTE_MS);
  await swarm.settle();
  expect(machine(founder).node.roster.roleOf(machine(removed).peer)).toBe("former");
  return { swarm, owner: machine(owner), removed: machine(removed) };
}

it("a recovery is told of removed nodes by the members, and reads what they hold", async () => {
  const { swarm, owner, removed } = await oneLeftAndOneRemoved();
  const onto = swarm.newMachine("fresh", "b");
  const { recovery, pool, imported } = await swarm.clock.during(recoverOnto(onto, owner, swarm.member(0)));
  expect(pool.answering).toContain(removed.peer);
  const view = viewOfAnswers(recovery.book, { nowMs: recovery.nowMs, self: recovery.lostPeer, ...pool });
  const { signal } = new AbortController();
  const [found] = await foundSnapshots(imported, { view, keepers: [], signal });
  expect(found).toMatchObject({ segmentsMissing: 0 });
  // Of two shards that it takes, one is with the member that is left.
  expect(must(found, "snapshot").segmentsAtRemoved).toBeGreaterThan(0);
  // It is no member: it neither counts among those who answered nor among those who keep the newest head.
  expect(pool).toMatchObject({ asked: 2, answered: 1, pool: { answered: 1 } });
  expect(imported.short).toEqual([]);
  const [entry] = await imported.catalog.snapshots();
  const manifest = await imported.trees.manifest(must(entry, "snapshot"));
  expect(await imported.trees.entries(manifest.root)).not.toEqual([]);
  await swarm.stop();
});

it("without it the same recovery says what is missing", async () => {
  const { swarm, owner, removed } = await oneLeftAndOneRemoved();
  await removed.stop();
  const recovering = swarm.clock.during(recoverOnto(swarm.newMachine("fresh", "b"), owner, swarm.member(0)));
  await expect(recovering).rejects.toMatchObject({ code: "HEAD_UNREADABLE" });
  await swarm.stop();
});
