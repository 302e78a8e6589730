import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { pageSizesFor, type SnapshotEntry } from "../../src/catalog/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, SMALL_SIZES, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const SNAPSHOTS = 300;
const LOOKED_AT = [0, 149, 299];

// More runs than the index keeps before it is written anew, and more pages of the list than one: what a repository is
// after a year of nightly snapshots.
it("three hundred snapshots: the first, a middle and the last come back, on a new machine too", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
  const owner = swarm.member(0);
  const source = join(scratch(), "src");
  const copies = scratch();
  for (let i = 0; i < 30; i++) put(source, `d${i % 3}/f${i}`, swarm.rng.bytes(500 + i * 100));
  let runsMost = 0;
  let rewritten = 0;
  for (let i = 0; i < SNAPSHOTS; i++) {
    put(source, `d${i % 3}/f${i % 30}`, swarm.rng.bytes(300 + (i % 7) * 1000));
    put(source, `d${i % 3}/new${i}`, `number ${i}`);
    if (i % 3 === 0) rmSync(join(source, `d${(i + 1) % 3}/new${i - 2}`), { force: true });
    const runsBefore = owner.node.repository.catalog.state.runs.length;
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.protection.state).toBe("full");
    const { runs } = owner.node.repository.catalog.state;
    runsMost = Math.max(runsMost, runs.length);
    if (runs.length < runsBefore) rewritten++;
    if (LOOKED_AT.includes(i)) execFileSync("cp", ["-a", source, join(copies, `${i}`)]);
  }
  expect(runsMost).toBe(32);
  expect(rewritten).toBeGreaterThan(5);
  const { snapshots: perPage } = pageSizesFor(SMALL_SIZES.segments.chunkMaxBytes);
  expect(owner.node.repository.catalog.state.snapshotPages).toHaveLength(Math.ceil(SNAPSHOTS / perPage));
  const ids = (await owner.node.repository.snapshots()).map(({ id }) => toHex(id));
  await expectAll(swarm, owner, ids, source, copies);

  owner.crash();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(1)));
  await expectAll(swarm, fresh, ids, source, copies);
  const again = await swarm.clock.during(fresh.snapshot([source]));
  expect(again.bytesNew).toBe(0);
  await swarm.stop();
}, 300_000);

async function expectAll(
  swarm: Swarm,
  owner: Machine,
  ids: readonly string[],
  source: string,
  copies: string,
): Promise<void> {
  const { repository } = owner.node;
  const entries = await repository.snapshots();
  expect(entries.map(({ id }) => toHex(id))).toEqual(ids);
  for (const i of LOOKED_AT) {
    const snapshot: SnapshotEntry = must(entries[i], "snapshot");
    const target = scratch();
    const { report } = await swarm.clock.during(owner.restore(target, { snapshot }));
    expect(report.problems).toEqual([]);
    await expectSameTree(join(copies, `${i}`), target + source);
  }
  const options = { readData: true, signal: new AbortController().signal, onShard: () => {} };
  const outcome = await swarm.clock.during(repository.verify(entries, options));
  expect(outcome.corrupt).toEqual([]);
  expect(outcome.segments.filter(({ proven, n }) => proven < n)).toEqual([]);
}
