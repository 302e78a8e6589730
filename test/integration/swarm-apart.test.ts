import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { peersHandler } from "../../src/control/node-handlers.ts";
import { repositoryStanding } from "../../src/node/index.ts";
import { UNMET_AFTER_MS } from "../../src/node/unmet.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

/** Steps short enough that beats, comparisons and tries come in between. */
async function pass(swarm: Swarm, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5 * MINUTE_MS) await swarm.clock.advance(5 * MINUTE_MS);
  await swarm.settle();
}

const unmetOf = (seenBy: Machine, of: Machine) => seenBy.node.view.statusOf(of.peer)?.unmet ?? [];

async function snapshotOf(swarm: Swarm, owner: Machine, name: string): Promise<void> {
  const file = join(scratch(), name);
  writeFileSync(file, swarm.rng.bytes(200_000));
  await swarm.clock.during(owner.snapshot([file]));
}

/** Rows of the owner's map that have both. */
async function rowsWithBoth(owner: Machine, a: Machine, b: Machine): Promise<number> {
  const { catalog } = owner.node.repository;
  let rows = 0;
  for await (const [, record] of catalog.segments.all()) {
    const peers = new Set(record.slots.flatMap((slot) => (slot === null ? [] : [slot.peer])));
    if (peers.has(a.peer) && peers.has(b.peer)) rows++;
  }
  return rows;
}

it("two that cannot meet say so after some hours, and no new row has both while they cannot", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "d", "e", "f"], seed: "apart" });
  const owner = swarm.member(0);
  const [left, right] = [swarm.member(1), swarm.member(2)];
  swarm.networks.cut(left.peer, right.peer);
  await pass(swarm, UNMET_AFTER_MS - 30 * MINUTE_MS);
  expect(unmetOf(owner, left)).toEqual([]);
  await pass(swarm, HOUR_MS);
  expect(unmetOf(owner, left)).toEqual([right.peer]);
  expect(unmetOf(owner, right)).toEqual([left.peer]);
  for (const other of swarm.members.slice(3)) expect(unmetOf(owner, other)).toEqual([]);

  await snapshotOf(swarm, owner, "apart");
  expect(await rowsWithBoth(owner, left, right)).toBe(0);
  const { notes } = await repositoryStanding(owner.node);
  expect(notes.join("\n")).toContain("node1 and node2 cannot reach each other");
  const { peers } = await peersHandler(owner.node);
  expect(peers.find((peer) => peer.peerId === left.peer)?.cannotReach).toEqual([right.peer]);

  // After a restart it does not take hours again.
  await left.stop();
  await left.start();
  await pass(swarm, 30 * MINUTE_MS);
  expect(unmetOf(owner, left)).toEqual([right.peer]);

  swarm.networks.heal(left.peer, right.peer);
  await swarm.settle();
  await pass(swarm, 10 * MINUTE_MS);
  expect([unmetOf(owner, left), unmetOf(owner, right)]).toEqual([[], []]);
  expect((await repositoryStanding(owner.node)).notes.join("\n")).not.toContain("cannot reach");
  await swarm.stop();
});

it("one that is away is not called out of reach: nobody hears it", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "d"], seed: "away" });
  await swarm.member(3).stop();
  await pass(swarm, UNMET_AFTER_MS + HOUR_MS);
  const owner = swarm.member(0);
  for (const machine of swarm.members.slice(0, 3)) expect(unmetOf(owner, machine)).toEqual([]);
  await swarm.stop();
});

it("where nothing else fits, a row has both all the same", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: "no choice" });
  const owner = swarm.member(0);
  const [left, right] = [swarm.member(1), swarm.member(2)];
  swarm.networks.cut(left.peer, right.peer);
  await pass(swarm, UNMET_AFTER_MS + HOUR_MS);
  expect(unmetOf(owner, left)).toEqual([right.peer]);
  await snapshotOf(swarm, owner, "no choice");
  expect(await rowsWithBoth(owner, left, right)).toBeGreaterThan(0);
  await swarm.stop();
});
