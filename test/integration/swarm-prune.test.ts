import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import { forget, planAsked, usageOf } from "../../src/node/index.ts";
import { type EffectiveSet, effectiveSets, parsePolicy } from "../../src/policy/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { noise } from "../support/segments.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const signal = () => new AbortController().signal;

const SHORT = parseUpkeep({ collection: { every: "2m", delay: "10m", trash: "20m", brake: "100%" } });

function setsWith(keep: string): EffectiveSet[] {
  const parsed = parsePolicy(`version: 1\nsets:\n  shop: { paths: [/srv], keep: ${keep} }\n`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return effectiveSets(parsed.policy, parsed.lineOf, { site: "a", node: "n" });
}

/** One file stays, one is another one each time. */
async function saved(swarm: Swarm, owner: Machine, turns: readonly number[]): Promise<string> {
  const root = scratch();
  for (const turn of turns) {
    put(root, "same", Buffer.from(noise(40_000, 200)));
    put(root, "changing", Buffer.from(noise(120_000, turn)));
    await swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"] }));
  }
  return root;
}

const shardBytes = async (swarm: Swarm, owner: Machine): Promise<number> => {
  let bytes = 0;
  for (const machine of swarm.members) {
    if (machine === owner) continue;
    for (const { id, bytes: held } of await machine.shardDisk.open().list(undefined, 10_000))
      if (id.owner === owner.node.repository.catalog.owner) bytes += held;
  }
  return bytes;
};

async function restores(
  swarm: Swarm,
  owner: Machine,
  root: string,
  turn: number,
  index: number,
): Promise<void> {
  const target = scratch();
  const entry = must((await owner.node.repository.snapshots())[index], "snapshot");
  const { report } = await swarm.clock.during(owner.restore(target, { snapshot: entry }));
  expect(report.problems).toEqual([]);
  expect(readFileSync(join(target, root, "changing"))).toEqual(Buffer.from(noise(120_000, turn)));
  expect(readFileSync(join(target, root, "same"))).toEqual(Buffer.from(noise(40_000, 200)));
}

it("what is forgotten and pruned goes from all disks, what remains restores, here and on a fresh machine", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = await saved(swarm, owner, [1, 2, 3, 4, 5]);
  const first = must((await repository.snapshots())[0], "first");
  await swarm.clock.during(repository.pin({ snapshot: toHex(first.id) }, true));
  const asked = [0, 1, 2].map(async (at) => toHex(must((await repository.snapshots())[at], "one").id));
  const ids = await Promise.all(asked);
  const plan = await swarm.clock.during(
    forget(owner.node, () => planAsked(owner.node, setsWith("{}"), ids), signal(), "name"),
  );
  expect(
    plan.sets.flatMap(({ snapshots }) => snapshots.map(({ verdict }) => verdict.reasons[0]?.rule)),
  ).toEqual(["pinned", "asked-for", "newest-safe"]);
  expect((await repository.snapshots()).length).toBe(4);
  const before = await shardBytes(swarm, owner);
  const usage = await usageOf(repository, signal());
  expect(usage.unneeded.storedBytes).toBeGreaterThan(120_000);
  const { quotaUsedBytes } = await repository.totals();
  const outcome = await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  // What holders have not deleted takes the quota as before.
  expect(await repository.leaving.bytes()).toBeGreaterThanOrEqual(outcome.freedBytes);
  expect((await repository.totals()).quotaUsedBytes).toBeGreaterThan(quotaUsedBytes);
  // List and index are written anew, too, and what only earlier ones of them lay in is not needed by what manifests name it.
  expect(outcome.freedBytes).toBeGreaterThanOrEqual(usage.unneeded.storedBytes);
  expect(outcome.freedBytes).toBeLessThan(before);
  const listed = (await shardBytes(swarm, owner)) - before;
  await swarm.clock.advance(HOUR_MS);
  expect(repository.live.standing()).toMatchObject({ missing: 0 });
  expect(await repository.leaving.bytes()).toBe(0);
  expect(await repository.leaving.quotaUsedBytes()).toBeLessThan(quotaUsedBytes);
  expect(await shardBytes(swarm, owner)).toBe(before + listed - outcome.freedBytes);
  for (const [index, turn] of [1, 3, 4, 5].entries()) await restores(swarm, owner, root, turn, index);
  for (const entry of await repository.snapshots())
    expect((await repository.protectionOf(entry)).state).toBe("full");
  // Nothing is left to do, and nothing is called lost by anybody.
  expect((await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }))).segments).toBe(0);
  for (const machine of swarm.members) {
    for (const event of ["shard-lost-by-holder", "row-shards-lost", "holder-suspect", "repair-moved"])
      expect([machine.peer, event, machine.logged(event)]).toEqual([machine.peer, event, []]);
  }
  await saved(swarm, owner, [6]);
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  expect((await fresh.node.repository.snapshots()).length).toBe(5);
  expect(fresh.node.repository.unreadParts).toBe(0);
  for (const [index, turn] of [1, 3, 4, 5].entries()) await restores(swarm, fresh, root, turn, index);
  await swarm.stop();
}, 300_000);

it("a thief who forgets and prunes with the owner's keys: who recovers within 16 days has everything back", async () => {
  const slow = parseUpkeep({ collection: { every: "2m", delay: "10m", trash: "90m", brake: "100%" } });
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep: slow });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = await saved(swarm, owner, [1, 2, 3, 4, 5]);
  const all = await repository.snapshots();
  // What a thief can do who has the keys and another program: no rule keeps the newest.
  const thief = async (): Promise<void> => {
    await repository.change(signal(), async (relist) => void (await relist(all.slice(0, 4))));
    await repository.prune({ dryRun: false, signal: signal() });
  };
  await swarm.clock.during(thief());
  await swarm.clock.advance(HOUR_MS);
  const holder = swarm.member(3);
  const inTrash = swarm.members.map(({ node }) => node.collection.collector.status().trash.shards);
  expect(Math.max(...inTrash)).toBeGreaterThan(0);
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  expect((await fresh.node.repository.snapshots()).length).toBe(5);
  for (const [index, turn] of [1, 2, 3, 4, 5].entries()) await restores(swarm, fresh, root, turn, index);
  await swarm.clock.advance(3 * HOUR_MS);
  expect(holder.node.collection.collector.status().trash.shards).toBe(0);
  for (const [index, turn] of [1, 2, 3, 4, 5].entries()) await restores(swarm, fresh, root, turn, index);
  await swarm.stop();
}, 300_000);

it("a chunk that was stored anew is kept for the older snapshot that reads it there", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = await saved(swarm, owner, [1]);
  const first = must((await repository.snapshots())[0], "first");
  // Holders lose it all but the owner's index: what is saved next lies elsewhere.
  const { catalog } = repository;
  for await (const [ref, record] of catalog.segments.all())
    await catalog.segments.put(ref, { ...record, slots: record.slots.map(() => null) }, { sync: true });
  await swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"] }));
  const [, second] = await repository.snapshots();
  await swarm.clock.during(
    repository.change(signal(), async (relist) => void (await relist([must(second, "second")]))),
  );
  const needs = (await repository.trees.manifest(first)).needs;
  await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  await swarm.clock.advance(HOUR_MS);
  expect(needs).toEqual((await repository.trees.manifest(first)).needs);
  await restores(swarm, owner, root, 1, 0);
  await swarm.stop();
}, 300_000);

it("snapshots and restores go on while it is pruned, in whatever order they come", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = await saved(swarm, owner, [1, 2, 3, 4]);
  for (let order = 0; order < 6; order++) {
    put(root, "changing", Buffer.from(noise(120_000, 10 + order)));
    const snapshots = await repository.snapshots();
    const oldest = must(snapshots[0], "oldest");
    const tasks = {
      snapshot: () => owner.snapshot([root], { tags: ["set:shop"] }),
      prune: () => repository.prune({ dryRun: false, signal: signal() }),
      forget: () => repository.change(signal(), async (relist) => void (await relist([oldest]))),
      restore: () => owner.restore(scratch(), { snapshot: must(snapshots.at(-1), "newest") }),
    };
    const orders = [
      ["snapshot", "prune", "forget", "restore"],
      ["forget", "prune", "restore", "snapshot"],
      ["prune", "snapshot", "restore", "forget"],
      ["restore", "forget", "snapshot", "prune"],
      ["forget", "restore", "prune", "snapshot"],
      ["forget", "snapshot", "prune", "restore"],
    ] as const;
    await swarm.clock.during(Promise.all(must(orders[order], "order").map((name) => tasks[name]())));
    await swarm.clock.advance(HOUR_MS / 2);
  }
  await swarm.clock.during(repository.prune({ dryRun: false, signal: signal() }));
  await swarm.clock.advance(HOUR_MS);
  const left = await repository.snapshots();
  expect(left.length).toBe(4);
  for (const index of left.keys()) await restores(swarm, owner, root, 12 + index, index);
  await swarm.stop();
}, 300_000);
