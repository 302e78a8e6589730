import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// The way out of two sets of administrators that docs/operating.md describes, walked to its end.

const scratch = scratchDirectories();

function setPartition(
  swarm: Swarm,
  left: readonly Machine[],
  right: readonly Machine[],
  isCut: boolean,
): void {
  for (const a of left) {
    for (const b of right) {
      if (isCut) swarm.networks.cut(a.peer, b.peer);
      else swarm.networks.heal(a.peer, b.peer);
    }
  }
  swarm.networks.refresh();
}

const keysAt = ({ node }: Machine): string[] => node.administrators.set.keys.map(toHex).sort();

it("nodes that go by other administrators are brought over by recover, with all that they have saved", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "d", "e", "f"], seed: "administrators apart" });
  const [first, , , second] = swarm.members;
  const left = [0, 1, 2].map((index) => swarm.member(index));
  const right = [3, 4, 5].map((index) => swarm.member(index));
  await swarm.clock.advance(MINUTE_MS);
  await must(first, "first").node.administrators.add("node3");
  await swarm.settle();
  const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 12);
  for (const machine of right) await swarm.clock.during(machine.snapshot([source]));
  await swarm.settle();

  setPartition(swarm, left, right, true);
  await must(first, "first").node.administrators.add("node1");
  await must(second, "second").node.administrators.add("node5");
  await swarm.settle();
  await swarm.clock.jump(2 * DAY_MS);
  await swarm.clock.advance(HOUR_MS);
  setPartition(swarm, left, right, false);
  await swarm.clock.advance(HOUR_MS);
  await swarm.settle();
  // Being connected again does not bring them together: both changes were final where they were made.
  expect(keysAt(must(left[0], "left"))).not.toEqual(keysAt(must(right[0], "right")));
  for (const machine of swarm.members) {
    expect(machine.node.roster.administratorForks().map(({ isApart }) => isApart)).toEqual([true]);
  }

  const stays = must(left[0], "left");
  const brought: Machine[] = [];
  for (const old of right) {
    old.crash();
    const fresh = swarm.newMachine(`${old.init.name}-again`, old.init.site);
    await swarm.clock.during(recoverOnto(fresh, old, stays));
    swarm.members[swarm.members.indexOf(old)] = fresh;
    await swarm.settle();
    brought.push(fresh);
    await swarm.clock.advance(MINUTE_MS);
  }
  await swarm.settle();
  for (const machine of brought) {
    expect(keysAt(machine)).toEqual(keysAt(stays));
    await stays.node.administration.confirmHolder(machine.init.name);
  }
  await swarm.settle();
  expect(stays.node.roster.members().every(({ holder }) => holder)).toBe(true);
  for (const back of brought) await expectAllBack(swarm, back, source);
  await swarm.stop();
});

async function expectAllBack(swarm: Swarm, back: Machine, source: string): Promise<void> {
  const target = scratch();
  const snapshot = await back.node.repository.find("latest");
  const { report } = await swarm.clock.during(back.restore(target, { snapshot }));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
  const made = await swarm.clock.during(back.snapshot([source]));
  expect(made.protection.state).toMatch(/safe|full/);
}
