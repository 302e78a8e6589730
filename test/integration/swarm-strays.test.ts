import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import { verifyHandler } from "../../src/control/node-verify.ts";
import type { VerifyResult } from "../../src/control/results.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// Shards with somebody whom no map names: verify and restore agree on what can be had.

vi.setConfig({ testTimeout: 300_000 });

const scratch = scratchDirectories();
let swarm: Swarm;
let owner: Machine;
let source: string;
let stray: Machine;

beforeEach(async () => {
  swarm = await Swarm.create({ sites: ["own", "a", "b", "c", "d"] });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 } }));
  stray = swarm.newMachine("late e", "e");
  await stray.join(owner);
  swarm.members.push(stray);
  await stray.start();
  await swarm.settle();
  // As after it had been replaced, or had copied them while it was cut off.
  const from = swarm.member(3).shardDisk.open();
  const to = stray.shardDisk.open();
  for (const { id, bytes, note } of await from.list(undefined, 100_000))
    await to.put(id, must(await from.read(id, 0, bytes), "bytes"), note);
  for (const index of [1, 2, 3]) swarm.member(index).crash();
});

afterEach(() => swarm?.stop());

const verify = (readData: boolean): Promise<VerifyResult> =>
  swarm.clock.during(
    verifyHandler(owner.node, { readData }, { signal: new AbortController().signal, progress: () => {} }),
  );

it.each([false, true])(
  "verify calls lost what a restore cannot bring, and nothing else (every byte: %s)",
  async (readData) => {
    const result = await verify(readData);
    expect(result).toMatchObject({ state: "weak", worstMargin: 0, corruptCount: 0 });
    expect(result.elsewhere).toBe(result.segmentCount);
    expect(result.notes.join()).toContain("with peers that no map names");
    const target = scratch();
    const { report } = await swarm.clock.during(owner.restore(target));
    expect(report.problems).toEqual([]);
    await expectSameTree(source, target + source);
  },
);

it("what such a peer says counts only when it proves it", async () => {
  for (const { id } of await stray.shardDisk.open().list(undefined, 100_000))
    stray.shardDisk.flipBit(id, swarm.rng);
  expect(await verify(true)).toMatchObject({ state: "unreadable", worstMargin: -1, elsewhere: 0 });
});

it("where it is away, the segments are out of reach, and verify says so", async () => {
  stray.crash();
  expect(await verify(false)).toMatchObject({ state: "unreadable", worstMargin: -1, elsewhere: 0 });
});
