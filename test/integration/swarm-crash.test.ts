import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { Fault } from "../../src/base/fault.ts";
import { KIB } from "../../src/base/units.ts";
import { recoverOnto } from "../support/recover.ts";
import { describeTree, expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm, type SwarmInit } from "../support/swarm.ts";

const scratch = scratchDirectories();

/** The machine loses its power when its `count`-th request with a body is delivered. */
function crashAtRequest(swarm: Swarm, machine: Machine, count: number): Promise<void> {
  let left = count;
  return new Promise((resolve) => {
    swarm.networks.intercept(async ({ from, protocol }) => {
      if (from !== machine.peer || protocol !== "data" || left <= 0 || --left > 0) return;
      machine.crash();
      resolve();
      throw new Fault({ code: "PEER_UNREACHABLE", peer: from, reason: "it crashed" });
    });
  });
}

async function interrupted(
  init: SwarmInit,
  requests: number,
): Promise<{ swarm: Swarm; owner: Machine; source: string }> {
  const swarm = await Swarm.create({ ...init, seed: `crash ${requests}` });
  const owner = swarm.member(0);
  const source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.advance(1000);
  const crashed = crashAtRequest(swarm, owner, requests);
  const finished = owner.snapshot([source]).then(() => {});
  finished.catch(() => {});
  await swarm.clock.during(Promise.race([crashed, finished]));
  swarm.networks.intercept(undefined);
  return { swarm, owner, source };
}

describe("an owner that loses its power in the middle of a snapshot", () => {
  for (const requests of [1, 9, 20, 35, 48, 60, 66, 70, 74, 78]) {
    it(`at request ${requests} goes on from what was safe`, async () => {
      const { swarm, owner, source } = await interrupted({ sites: NINE_AT_THREE }, requests);
      if (!owner.isRunning) await owner.start();
      await swarm.settle();
      for (const entry of await owner.node.repository.snapshots()) expect(entry.partial).toBe(false);
      const made = await swarm.clock.during(owner.snapshot([source]));
      // A few segments were under way or open: at most so much is stored again.
      expect(made.report.bytes - made.bytesNew).toBeGreaterThan(
        Math.max(-1, (requests / 6 - 7) * 64 * KIB - 64 * KIB),
      );
      const target = scratch();
      await swarm.clock.during(owner.restore(target));
      await expectSameTree(source, target + source);
      // What a recovered machine would see is the same.
      const fresh = swarm.newMachine("fresh", "a");
      owner.crash();
      await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(1)));
      const again = scratch();
      await swarm.clock.during(fresh.restore(again));
      await expectSameTree(source, again + source);
      await swarm.stop();
    });
  }
});

describe("checkpoints", () => {
  const checkpoint = { everyMs: 1e9, everyBytes: 100 * KIB };

  it("leave a partial snapshot that can be restored, and the next full one replaces it", async () => {
    const { swarm, owner, source } = await interrupted({ sites: NINE_AT_THREE, checkpoint }, 80);
    expect(owner.isRunning).toBe(false);
    await owner.start();
    await swarm.settle();
    const [partial, ...others] = await owner.node.repository.snapshots();
    expect(others).toEqual([]);
    expect(must(partial, "partial snapshot").partial).toBe(true);
    expect(partial?.files).toBeGreaterThan(0);
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    const whole = new Set(await describeTree(source));
    const files = (await describeTree(target + source)).filter((line) => line.includes(": file"));
    expect(files.length).toBe(partial?.files);
    for (const line of files) expect(whole).toContain(line);
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.bytesNew).toBeLessThan(made.report.bytes);
    const all = await owner.node.repository.snapshots();
    expect(all.map((entry) => entry.partial)).toEqual([false]);
    rmSync(target, { recursive: true });
    await swarm.clock.during(owner.restore(target));
    await expectSameTree(source, target + source);
    await swarm.stop();
  });

  it("leave nothing behind in a snapshot that comes to its end", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE, checkpoint });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 60);
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.entry.sequence).toBeGreaterThan(3);
    expect((await owner.node.repository.snapshots()).length).toBe(1);
    expect(made.protection.state).toBe("full");
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    await expectSameTree(source, target + source);
    await swarm.stop();
  });
});
