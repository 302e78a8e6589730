import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { isPinned, planRetention } from "../../src/node/index.ts";
import { clockAheadOfPeersMs } from "../../src/node/peers-clock.ts";
import { type EffectiveSet, effectiveSets, parsePolicy } from "../../src/policy/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

/** Of one set, `shop`, with these rules. */
function setsWith(keep: string): EffectiveSet[] {
  const parsed = parsePolicy(`version: 1\nsets:\n  shop: { paths: [/srv], keep: ${keep} }\n`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return effectiveSets(parsed.policy, parsed.lineOf, { site: "a", node: "n" });
}

async function saved(swarm: Swarm, owner: Machine, times: number, apartMs = 0): Promise<void> {
  const root = scratch();
  for (let time = 0; time < times; time++) {
    put(root, "file", `turn ${time}`);
    await swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"] }));
    // At once: what nine nodes do in the background of a fortnight is not what this is about.
    if (apartMs > 0) await swarm.clock.jump(apartMs);
  }
}

it("a pin is on the list from the next snapshot on, and comes back with a recovery", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(1);
  await saved(swarm, owner, 3);
  const { repository } = owner.node;
  const first = must((await repository.snapshots())[0], "first");
  await repository.pin({ snapshot: toHex(first.id) }, true);
  await repository.pin({ snapshot: "latest" }, true);
  await repository.pin({ snapshot: "latest" }, false);
  expect((await repository.snapshots()).map(isPinned)).toEqual([true, false, false]);
  await saved(swarm, owner, 1);
  await owner.stop();
  await owner.start();
  expect((await owner.node.repository.snapshots()).map(isPinned)).toEqual([true, false, false, false]);
  await owner.stop();
  const fresh = swarm.newMachine("fresh", "a");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(0)));
  const back = await fresh.node.repository.snapshots();
  expect(back.map(isPinned)).toEqual([true, false, false, false]);
  const target = scratch();
  const { report } = await swarm.clock.during(fresh.restore(target, { snapshot: must(back[0], "first") }));
  expect(report.problems).toEqual([]);
  await swarm.stop();
});

it("retention is decided over what there is, and changes nothing", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(1);
  await saved(swarm, owner, 14, DAY_MS);
  await swarm.clock.during(owner.snapshot([scratch()], { tags: ["by-hand"] }));
  const plan = await planRetention(owner.node, setsWith("{ daily: 2 }"), undefined);
  const verdicts = must(plan.sets[0], "set").snapshots.map(({ verdict }) => verdict.keep);
  // The newest three, and the newest three of a week ago.
  const turns = (kept: boolean, count: number): boolean[] => Array.from({ length: count }, () => kept);
  expect(verdicts).toEqual([...turns(false, 5), ...turns(true, 3), ...turns(false, 3), ...turns(true, 3)]);
  expect(plan.others.map(({ tags }) => tags)).toEqual([["by-hand"]]);
  expect(Math.abs(must(plan.clockAheadMs, "the peers' word"))).toBeLessThan(HOUR_MS);
  const tried = await planRetention(owner.node, setsWith("{ daily: 2 }"), { last: "all" });
  expect(tried.sets[0]?.snapshots.every(({ verdict }) => verdict.keep)).toBe(true);
  expect(await owner.node.repository.snapshots()).toHaveLength(15);
  await swarm.stop();
});

it.each([2 * HOUR_MS, -2 * HOUR_MS])(
  "an owner whose clock is off by %i ms is told by its peers' receipts, and forgets nothing",
  async (offMs) => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(1);
    await saved(swarm, owner, 3);
    const honest = must(await clockAheadOfPeersMs(owner.node.repository.catalog), "the peers' word");
    expect(Math.abs(honest)).toBeLessThan(HOUR_MS / 10);
    await owner.stop();
    owner.clockOffsetMs = offMs;
    await owner.start();
    await swarm.settle();
    // As of the newest segments: once enough of them were made by the wrong clock.
    await saved(swarm, owner, 12);
    const aheadMs = must(await clockAheadOfPeersMs(owner.node.repository.catalog), "the peers' word");
    expect(Math.abs(aheadMs - offMs)).toBeLessThan(HOUR_MS / 10);
    const plan = await planRetention(owner.node, setsWith("{ daily: 1 }"), undefined);
    expect(plan.sets[0]?.snapshots.every(({ verdict }) => verdict.keep)).toBe(true);
    expect(plan.sets[0]?.snapshots[0]?.verdict.reasons).toMatchObject([{ rule: "clock" }]);
    await swarm.stop();
  },
);
