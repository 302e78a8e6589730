import { expect, it } from "vitest";
import { KIB } from "../../src/base/units.ts";
import { usageOf } from "../../src/node/index.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();

it("usage: every stored byte is of one snapshot, of several or of none, and at some peer", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(1);
  const root = scratch();
  put(root, "common", swarm.rng.bytes(300 * KIB));
  await swarm.clock.during(owner.snapshot([root]));
  const large = scratch();
  put(large, "large", swarm.rng.bytes(500 * KIB));
  await swarm.clock.during(owner.snapshot([root, large]));
  await swarm.clock.during(owner.snapshot([root]));

  const usage = await usageOf(owner.node.repository, new AbortController().signal);
  expect(usage.unread).toBe(0);
  const [first, second, third] = usage.snapshots.map(({ own }) => own.storedBytes);
  // 3+3 or thereabouts of 500 KiB is the second one's alone; the others' own is a few trees and lists.
  expect(second).toBeGreaterThan(700 * KIB);
  expect(first).toBeLessThan(100 * KIB);
  expect(third).toBeLessThan(100 * KIB);
  expect(usage.shared.storedBytes).toBeGreaterThan(400 * KIB);
  const parts = [usage.shared, usage.unneeded, ...usage.snapshots.map(({ own }) => own)];
  for (const field of ["segments", "storedBytes"] as const)
    expect(parts.reduce((sum, part) => sum + part[field], 0)).toBe(usage.stored[field]);
  const atPeers = [...usage.peers.values()].reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  expect(atPeers).toBe(usage.stored.storedBytes);
  expect(atPeers).toBe((await owner.node.repository.totals()).storedBytes);
  // And the holders have as much of this owner.
  let held = 0;
  for (const machine of swarm.members) {
    for (const { bytes } of await machine.node.ports.shards.list(undefined, 10_000)) held += bytes;
  }
  expect(held).toBeGreaterThanOrEqual(atPeers);
  await swarm.stop();
});
