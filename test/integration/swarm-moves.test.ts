import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import { Moves } from "../../src/catalog/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { noise } from "../support/segments.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const signal = () => new AbortController().signal;

const SHORT = parseUpkeep({ collection: { every: "2m", delay: "10m", trash: "20m", brake: "100%" } });

/** A little changes each time: each snapshot is one small segment with data, index and list. */
async function daily(swarm: Swarm, owner: Machine, root: string, days: readonly number[]): Promise<void> {
  for (const day of days) {
    put(root, "same", Buffer.from(noise(9000, 200)));
    put(root, "today", Buffer.from(noise(700, day)));
    await swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"] }));
  }
}

async function restores(swarm: Swarm, owner: Machine, root: string, days: readonly number[]): Promise<void> {
  const entries = await owner.node.repository.snapshots();
  expect(entries.length).toBe(days.length);
  for (const [index, day] of days.entries()) {
    const target = scratch();
    const snapshot = must(entries[index], "snapshot");
    const { report } = await swarm.clock.during(owner.restore(target, { snapshot }));
    expect(report.problems).toEqual([]);
    expect(readFileSync(join(target, root, "today"))).toEqual(Buffer.from(noise(700, day)));
    expect(readFileSync(join(target, root, "same"))).toEqual(Buffer.from(noise(9000, 200)));
  }
}

const forgetAllBut = (owner: Machine, left: readonly number[]): Promise<void> =>
  owner.node.repository.change(signal(), async (relist) => {
    const entries = await owner.node.repository.snapshots();
    await relist(entries.filter((_, at) => !left.includes(at)));
  });

const wanted = async ({ node }: Machine): Promise<number> => {
  const givenUp = node.repository.live.state?.givenUp ?? [];
  const before = givenUp.reduce((sum, [, list]) => sum + list.reduce((all, [, count]) => all + count, 0), 0);
  return (await node.repository.totals()).segments - before;
};

it("small snapshots that are forgotten give their segments back, though later manifests name their index", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = scratch();
  const days = Array.from({ length: 12 }, (_, day) => day);
  await daily(swarm, owner, root, days);
  expect(await wanted(owner)).toBeGreaterThan(12);
  await swarm.clock.during(forgetAllBut(owner, [4, 10, 11]));
  await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  // Those of the three, those that most of the data lies in, and the new list and index.
  expect(await wanted(owner)).toBeLessThanOrEqual(8);
  const { gone } = Moves.load(repository.catalog.store);
  expect(gone.size).toBeGreaterThan(3);
  for (const entry of await repository.snapshots())
    expect((await repository.protectionOf(entry)).state).toBe("full");
  await swarm.clock.advance(HOUR_MS);
  await restores(swarm, owner, root, [4, 10, 11]);
  // Again is for nothing, and the next ones go on from there.
  expect((await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }))).segments).toBe(0);
  await daily(swarm, owner, root, [20, 21]);
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  expect(fresh.node.repository.unreadParts).toBe(0);
  expect(Moves.load(fresh.node.repository.catalog.store).gone.toRanges()).toEqual(gone.toRanges());
  // All of the first one is there still, since the others need where it lies: it comes back, too.
  await restores(swarm, fresh, root, [0, 4, 10, 11, 20, 21]);
  for (const entry of await fresh.node.repository.snapshots())
    expect((await fresh.node.repository.protectionOf(entry)).state).toBe("full");
  await swarm.stop();
}, 300_000);

it("a thief's empty head: what the owner had pruned before does not keep snapshots from coming back", async () => {
  const slow = parseUpkeep({ collection: { every: "2m", delay: "10m", trash: "90m", brake: "100%" } });
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], upkeep: slow });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = scratch();
  await daily(swarm, owner, root, [0, 1, 2, 3, 4, 5]);
  await swarm.clock.during(forgetAllBut(owner, [3, 4, 5]));
  await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  await swarm.clock.advance(3 * HOUR_MS);
  await swarm.clock.during(forgetAllBut(owner, []));
  await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  await swarm.clock.advance(HOUR_MS);
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  // All of the first one is there still, since the others need where it lies: it comes back, too.
  await restores(swarm, fresh, root, [0, 3, 4, 5]);
  await swarm.stop();
}, 300_000);

it("what locked snapshots name stays as long as their lock does", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = scratch();
  await daily(swarm, owner, root, [0, 1, 2]);
  put(root, "today", Buffer.from(noise(700, 3)));
  await swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"], lockMs: 4 * HOUR_MS }));
  const locked = must((await repository.snapshots()).at(-1), "locked");
  const { needs } = await repository.trees.manifest(locked);
  await swarm.clock.during(forgetAllBut(owner, [3]));
  await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  for (const [, list] of needs)
    for (const [first, count] of list)
      for (let number = first; number < first + count; number++)
        expect(repository.catalog.segments.get({ incarnation: 0, number })?.slots).not.toContain(null);
  await swarm.clock.advance(HOUR_MS);
  expect(repository.locks.standingOf(locked)).toMatchObject({ state: "locked" });
  await swarm.clock.advance(4 * HOUR_MS);
  const outcome = await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  expect(outcome.segments).toBeGreaterThan(1);
  await swarm.clock.advance(HOUR_MS);
  await restores(swarm, owner, root, [3]);
  expect(toHex(must((await repository.snapshots())[0], "left").id)).toBe(toHex(locked.id));
  await swarm.stop();
}, 300_000);
