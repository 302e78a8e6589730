import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { bytePathOf, displayPath } from "../../src/base/paths.ts";
import { withhold } from "../support/liars.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Restores of a snapshot of which some directories cannot be read: on a recovered machine, which has no tree of its own.

const scratch = scratchDirectories();

/**
 * Two snapshots: `old` was there in the first one, `new/deep` came with the second. The machine is another then, and
 * nobody gives out the segments of the first any more.
 */
async function halfLost(): Promise<{ swarm: Swarm; fresh: Machine; source: string }> {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE, seed: "half lost" });
  const owner = swarm.member(1);
  const source = join(scratch(), "source");
  for (const name of ["old/a", "old/below/b"]) put(source, name, swarm.rng.bytes(3000));
  await swarm.clock.during(owner.snapshot([source]));
  const lost = new Set<number>();
  const { catalog } = owner.node.repository;
  for await (const [ref] of catalog.segments.all()) lost.add(ref.number);
  await swarm.clock.advance(60_000);
  for (const name of ["new/c", "new/deep/d"]) put(source, name, swarm.rng.bytes(3000));
  await swarm.clock.during(owner.snapshot([source]));
  const life = catalog.incarnation;
  owner.crash();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
  withhold(swarm, life, lost);
  return { swarm, fresh, source };
}

const problemsOf = (report: Awaited<ReturnType<Machine["restore"]>>["report"]) =>
  report.problems.map(({ path, what }) => `${what} ${displayPath(path)}`).sort();

it("--partial restores what can be had and names the directories that cannot", async () => {
  const { swarm, fresh, source } = await halfLost();
  await expect(swarm.clock.during(fresh.restore(scratch()))).rejects.toMatchObject({
    code: "TOO_FEW_SHARDS",
  });
  const target = scratch();
  const { report } = await swarm.clock.during(fresh.restore(target, { partial: true }));
  expect(problemsOf(report)).toEqual([`directory ${source}/old`]);
  expect(must(report.problems[0], "problem").reason).toMatch(/Not enough shards/);
  await expectSameTree(join(source, "new"), join(target, source, "new"));
  expect(existsSync(join(target, source, "old"))).toBe(true);
  expect(existsSync(join(target, source, "old/a"))).toBe(false);

  // What was asked for is whole; and where nothing at all can be had it says so.
  const part = scratch();
  const asked = { path: bytePathOf(join(source, "new")), includes: [], excludes: [] };
  const { report: whole } = await swarm.clock.during(
    fresh.restore(part, { partial: true, selection: asked }),
  );
  expect(problemsOf(whole)).toEqual([]);
  expect(whole.files).toBe(2);
  for (const path of ["old", "old/a"]) {
    const selection = { path: bytePathOf(join(source, path)), includes: [], excludes: [] };
    const nothing = swarm.clock.during(fresh.restore(scratch(), { partial: true, selection }));
    await expect(nothing, path).rejects.toMatchObject({ code: "TOO_FEW_SHARDS" });
  }
  for (const machine of swarm.members) machine.lie = undefined;
  const { report: later } = await swarm.clock.during(fresh.restore(target, { partial: true }));
  expect(later.problems).toEqual([]);
  await expectSameTree(source, target + source);
  await swarm.stop();
});

it("--partial --delete removes nothing from a directory of which it does not know what belongs there", async () => {
  const { swarm, fresh, source } = await halfLost();
  const target = scratch();
  for (const name of ["old", "new"]) mkdirSync(join(target, source, name), { recursive: true });
  for (const name of ["old/mine", "new/mine"]) writeFileSync(join(target, source, name), "mine");
  const { report } = await swarm.clock.during(fresh.restore(target, { partial: true, delete: true }));
  expect(problemsOf(report)).toEqual([`directory ${source}/old`]);
  expect(readFileSync(join(target, source, "old/mine"), "utf8")).toBe("mine");
  expect(existsSync(join(target, source, "new/mine"))).toBe(false);
  expect(report.deleted).toBe(1);
  await swarm.stop();
});
