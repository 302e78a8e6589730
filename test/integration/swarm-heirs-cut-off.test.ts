import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import { type ShardId, shardKey } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { generationsOf } from "../../src/placement/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// A part of the swarm that sees no more than half of it, where a dead owner's data may not lose another shard: it copies what it
// can reach, and leaves the map alone.

vi.setConfig({ testTimeout: 400_000 });

const scratch = scratchDirectories();
let swarm: Swarm;
let owner: Machine;
let source: string;
/** Two of the four holders, and one who holds nothing: three of nine. */
let minority: Machine[];
let majority: Machine[];

beforeEach(async () => {
  const upkeep = parseUpkeep({
    ...{ uplink: "10Gbit/s", budget: "100%", night: "100%" },
    grace: ["1s", "5m", "10m", "15m"],
    backOff: { step: "2m", urgentStep: "1m" },
    ...{ lostAfter: "3d", storm: { frozen: "10m" }, sweep: { every: "10m", settled: "1h" } },
  });
  swarm = await Swarm.create({ sites: ["own", "a", "b", "c", "d"], upkeep });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 } }));
  for (const site of ["e", "f", "g", "h"]) {
    const machine = swarm.newMachine(`late ${site}`, site);
    await machine.join(owner);
    swarm.members.push(machine);
    await machine.start();
  }
  await swarm.settle();
  await swarm.clock.advance(40 * MINUTE_MS);
  owner.crash();
  await swarm.clock.advance(HOUR_MS);
  minority = [1, 2, 5].map((index) => swarm.member(index));
  majority = [3, 4, 6, 7, 8].map((index) => swarm.member(index));
});

afterEach(() => swarm?.stop());

const split = (): void => {
  for (const a of minority) for (const b of majority) swarm.networks.cut(a.peer, b.peer);
};
const heal = (): void => {
  for (const a of minority) for (const b of majority) swarm.networks.heal(a.peer, b.peer);
};

const sum = (machines: readonly Machine[], count: "copied" | "slotsMoved" | "bytesOut"): number =>
  machines.reduce((all, { node }) => all + node.heirship.heirs.status().counts[count], 0);

async function heldBy(machine: Machine): Promise<ShardId[]> {
  return (await machine.shardDisk.open().list(undefined, 100_000)).map(({ id }) => id);
}

/** Every row as this machine knows it with all repairs. */
async function rowsKnownTo(machine: Machine): Promise<string[]> {
  const maps = await machine.node.heirship.book.maps(owner.identity.keys.owner);
  return maps.flatMap(({ now }) => [...generationsOf(now)].map((row) => JSON.stringify(row)));
}

it("copies each row once to who is in reach, and changes no map; when the parts have met all have one map, and what is too much goes", async () => {
  const outsider = must(minority[2], "who holds nothing");
  split();
  // A partition of half an hour moves nothing.
  await swarm.clock.advance(29 * MINUTE_MS);
  expect(sum(swarm.members.slice(1), "bytesOut")).toBe(0);
  await swarm.clock.advance(2 * HOUR_MS);
  const copies = await heldBy(outsider);
  expect(copies.length).toBeGreaterThan(0);
  expect(new Set(copies.map(({ number }) => number)).size).toBe(copies.length);
  expect(sum(minority, "copied")).toBe(copies.length);
  expect(sum(minority, "slotsMoved")).toBe(0);
  expect(sum(majority, "copied")).toBe(0);
  expect(sum(majority, "slotsMoved")).toBeGreaterThan(0);
  for (const machine of minority) expect(machine.logged("repair-taken")).toEqual([]);
  // Not again and again.
  await swarm.clock.advance(3 * HOUR_MS);
  expect(sum(minority, "copied")).toBe(copies.length);
  heal();
  await swarm.clock.advance(5 * HOUR_MS);
  // Who was in the smaller part has heard its holders all the time, and comes to the same rows all the same.
  const [known, ...others] = await Promise.all([...majority, ...minority].map(rowsKnownTo));
  for (const rows of others) expect(rows).toEqual(known);
  const left = await heldBy(outsider);
  expect(left.map(shardKey).filter((key) => copies.map(shardKey).includes(key))).toEqual([]);
  expect(outsider.logged("surplus-dropped")).toHaveLength(copies.length);
});

it("what was copied is enough where the larger part never comes back, and one holder more dies", async () => {
  split();
  await swarm.clock.advance(2 * HOUR_MS);
  for (const machine of majority) machine.crash();
  must(minority[0], "holder").crash();
  await swarm.clock.advance(HOUR_MS);
  const fresh = swarm.newMachine("fresh", "own");
  await swarm.clock.during(recoverOnto(fresh, owner, must(minority[1], "holder")));
  const target = scratch();
  const { report } = await swarm.clock.during(fresh.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
});
