import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { HOUR_MS } from "../../src/base/units.ts";
import type { MetaStore } from "../../src/ports/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { noise } from "../support/segments.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const signal = () => new AbortController().signal;

const SHORT = parseUpkeep({ collection: { every: "2m", delay: "10m", trash: "20m", brake: "100%" } });
const today = (day: number): Buffer => Buffer.from(noise(2000 + (day % 5) * 300, 1000 + day));

async function daily(swarm: Swarm, owner: Machine, root: string, days: readonly number[]): Promise<void> {
  for (const day of days) {
    put(root, "today", today(day));
    await swarm.clock.during(owner.snapshot([root]));
  }
}

/** Its power goes at its `count`-th write of the catalog from now on. */
function crashAtWrite(owner: Machine, count: number): Promise<void> {
  const { store } = owner.node.repository.catalog;
  const write = store.write.bind(store);
  let left = count;
  return new Promise((resolve) => {
    const counted: MetaStore["write"] = async (ops, options) => {
      if (--left > 0) return write(ops, options);
      if (left === 0) {
        owner.crash();
        resolve();
      }
      return new Promise(() => {});
    };
    Object.defineProperty(store, "write", { configurable: true, value: counted });
  });
}

async function restores(
  swarm: Swarm,
  machine: Machine,
  root: string,
  index: number,
  day: number,
): Promise<void> {
  const target = scratch();
  const snapshot = must((await machine.node.repository.snapshots())[index], "snapshot");
  const { report } = await swarm.clock.during(machine.restore(target, { snapshot }));
  expect([index, report.problems]).toEqual([index, []]);
  expect(readFileSync(join(target, root, "today"))).toEqual(today(day));
}

// The writes of one run: places that were reserved, what is about to move, records, receipts, places, manifests, budget, and those of the prune.
const WRITES: readonly number[][] = [
  [1, 3, 5, 7],
  [10, 15, 20, 28],
];

for (const writes of WRITES)
  it(`power that goes in a compaction, at write ${writes.join(", ")}: every snapshot restores, and the next run goes on`, async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"], upkeep: SHORT, seed: `writes ${writes[0]}` });
    const owner = swarm.member(1);
    const root = scratch();
    const days = Array.from({ length: 20 }, (_, day) => day);
    await daily(swarm, owner, root, days);
    let died = 0;
    for (const [round, count] of writes.entries()) {
      const crashed = crashAtWrite(owner, count);
      const ended = owner.node.repository.prune({ dryRun: false, signal: signal() }).then(() => {});
      ended.catch(() => {});
      await swarm.clock.during(Promise.race([crashed, ended]));
      if (!owner.isRunning) died++;
      else owner.crash();
      await owner.start();
      await swarm.settle();
      expect((await owner.node.repository.snapshots()).length).toBe(days.length);
      // As a machine would see it that is recovered at this moment, too, after the next snapshot.
      for (const index of [0, round + 1, days.length - 1])
        await restores(swarm, owner, root, index, must(days[index], "day"));
      days.push(100 + round);
      await daily(swarm, owner, root, [100 + round]);
      await swarm.clock.advance(HOUR_MS / 2);
    }
    expect(died).toBeGreaterThan(0);
    await swarm.clock.during(owner.node.repository.prune({ dryRun: false, signal: signal() }));
    await swarm.clock.advance(HOUR_MS);
    for (const [index, day] of days.entries()) await restores(swarm, owner, root, index, day);
    for (const entry of await owner.node.repository.snapshots())
      expect((await owner.node.repository.protectionOf(entry)).state).toBe("full");
    owner.crash();
    const fresh = swarm.newMachine("fresh", "a");
    await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
    expect((await fresh.node.repository.snapshots()).length).toBe(days.length);
    for (const [index, day] of days.entries())
      if (index % 3 === 0) await restores(swarm, fresh, root, index, day);
    await swarm.stop();
  }, 300_000);
