import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import { SegmentRangeSet } from "../../src/catalog/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { noise } from "../support/segments.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const signal = () => new AbortController().signal;

const SHORT = parseUpkeep({ collection: { every: "2m", delay: "10m", trash: "20m", brake: "100%" } });
const SITES = ["a", "b", "c"];

const today = (day: number): Buffer => Buffer.from(noise(900 + (day % 5) * 100, 1000 + day));
const same = Buffer.from(noise(30_000, 200));

/** A little changes each time. */
async function daily(swarm: Swarm, owner: Machine, root: string, from: number, to: number): Promise<void> {
  put(root, "same", same);
  for (let day = from; day < to; day++) {
    put(root, "today", today(day));
    await swarm.clock.during(owner.snapshot([root]));
  }
}

/** Every snapshot on the list, whole. */
async function allRestore(
  swarm: Swarm,
  owner: Machine,
  root: string,
  days: readonly number[],
): Promise<void> {
  const entries = await owner.node.repository.snapshots();
  expect(entries.length).toBe(days.length);
  for (const [index, day] of days.entries()) {
    const target = scratch();
    const snapshot = must(entries[index], "snapshot");
    const { report } = await swarm.clock.during(owner.restore(target, { snapshot }));
    expect(report.problems).toEqual([]);
    expect(readFileSync(join(target, root, "today"))).toEqual(today(day));
    expect(readFileSync(join(target, root, "same"))).toEqual(same);
  }
}

/** Segments that this owner wants. */
async function wanted({ node }: Machine): Promise<number> {
  const given = new SegmentRangeSet();
  given.addAll(node.repository.live.state?.givenUp ?? []);
  let count = 0;
  for await (const [ref] of node.repository.catalog.segments.all()) if (!given.has(ref)) count++;
  return count;
}

const prune = (swarm: Swarm, { node }: Machine) =>
  swarm.clock.during(node.repository.prune({ dryRun: false, signal: signal() }));

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

it("small segments of frequent snapshots are folded into full ones, and every snapshot restores, here and on a fresh machine", async () => {
  const swarm = await Swarm.create({ sites: SITES, upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = scratch();
  await daily(swarm, owner, root, 0, 40);
  const before = await wanted(owner);
  expect(before).toBeGreaterThan(40);
  const planned = await swarm.clock.during(repository.prune({ dryRun: true, signal: signal() }));
  expect(planned.copied.segments).toBeGreaterThan(30);
  expect(await wanted(owner)).toBe(before);
  const outcome = await prune(swarm, owner);
  expect(outcome.copied.segments).toBe(planned.copied.segments);
  // But for the end of the newest snapshot: what lies there no head lists yet.
  expect(outcome.segments).toBeGreaterThanOrEqual(outcome.copied.segments - 2);
  expect(await wanted(owner)).toBeLessThan(12);
  for (const entry of await repository.snapshots())
    expect((await repository.protectionOf(entry)).state).toBe("full");
  await swarm.clock.advance(HOUR_MS);
  await allRestore(swarm, owner, root, upTo(40));
  // What is where it should be is left there.
  const again = await prune(swarm, owner);
  expect([again.segments, again.copied.segments]).toEqual([0, 0]);
  await daily(swarm, owner, root, 40, 42);
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  expect(fresh.node.repository.unreadParts).toBe(0);
  await allRestore(swarm, fresh, root, upTo(42));
  for (const entry of await fresh.node.repository.snapshots())
    expect((await fresh.node.repository.protectionOf(entry)).state).toBe("full");
  await swarm.stop();
}, 300_000);

it("of a segment with little left alive that little is copied; what a lock holds is not", async () => {
  const swarm = await Swarm.create({ sites: SITES, upkeep: SHORT });
  const owner = swarm.member(1);
  const { repository } = owner.node;
  const root = scratch();
  for (let file = 0; file < 40; file++) put(root, `f${file}`, Buffer.from(noise(8000, file)));
  await swarm.clock.during(owner.snapshot([root], { lockMs: 2 * HOUR_MS }));
  await swarm.clock.advance(HOUR_MS / 12);
  for (let file = 0; file < 40; file++) if (file % 8 !== 0) rmSync(join(root, `f${file}`));
  await swarm.clock.during(owner.snapshot([root]));
  const [first] = await repository.snapshots();
  await swarm.clock.during(
    repository.change(signal(), async (relist) => void (await relist([must(first, "first")]))),
  );
  const read = (at: string): Buffer => readFileSync(join(at, root, "f8"));
  const restored = async (machine: Machine): Promise<Buffer> => {
    const target = scratch();
    const { report } = await swarm.clock.during(machine.restore(target));
    expect([report.problems, report.files]).toEqual([[], 5]);
    return read(target);
  };
  const before = (await repository.totals()).storedBytes;
  const outcome = await prune(swarm, owner);
  expect(outcome.copied.segments).toBeGreaterThan(2);
  expect(outcome.freedBytes).toBeGreaterThan(before / 2);
  await swarm.clock.advance(HOUR_MS);
  // The holders keep what the lock was asked for, whatever the owner wants by now.
  const held = async (): Promise<number> => {
    let bytes = 0;
    for (const machine of swarm.members)
      for (const { id, bytes: own } of await machine.shardDisk.open().list(undefined, 10_000))
        if (id.owner === repository.catalog.owner) bytes += own;
    return bytes;
  };
  const locked = await held();
  expect(locked).toBeGreaterThan(before);
  await swarm.clock.advance(3 * HOUR_MS);
  expect(await held()).toBeLessThan(before / 2);
  expect(await restored(owner)).toEqual(Buffer.from(noise(8000, 8)));
  // The files are known still: nothing is stored again because it lies elsewhere now, and nothing is read.
  owner.opened.length = 0;
  const made = await swarm.clock.during(owner.snapshot([root]));
  expect([made.bytesNew, owner.opened]).toEqual([0, []]);
  await swarm.stop();
}, 300_000);
