import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import type { PeerId, ShardId } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { generationsOf } from "../../src/placement/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// Holders of a dead owner's rows that do not all have all of it: what one never got, another names.

vi.setConfig({ testTimeout: 400_000 });

const scratch = scratchDirectories();
let swarm: Swarm;
let owner: Machine;

afterEach(() => swarm?.stop());

/** Four holders, each at its own site, and those who came later. Rows have several segments. */
async function begin(late: readonly string[], auditEvery: string): Promise<void> {
  const upkeep = parseUpkeep({
    ...{ uplink: "10Gbit/s", budget: "100%", night: "100%", auditEvery },
    grace: ["1s", "5m", "10m", "15m"],
    backOff: { step: "2m", urgentStep: "1m" },
    ...{ lostAfter: "3d", storm: { frozen: "10m" }, sweep: { every: "6h", settled: "48h" } },
  });
  swarm = await Swarm.create({ sites: ["own", "a", "b", "c", "d"], upkeep });
  owner = swarm.member(0);
  const source = join(scratch(), "file");
  writeFileSync(source, swarm.rng.bytes(2_500_000));
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 } }));
  for (const site of late) {
    const machine = swarm.newMachine(`late ${site}`, site);
    await machine.join(owner);
    swarm.members.push(machine);
    await machine.start();
  }
  await swarm.settle();
  await swarm.clock.advance(40 * MINUTE_MS);
  owner.crash();
  await swarm.clock.advance(HOUR_MS);
}

async function heldBy(machine: Machine): Promise<ShardId[]> {
  return (await machine.shardDisk.open().list(undefined, 100_000)).map(({ id }) => id);
}

/** As if it had never been there: not even the index knows. */
async function takeAway(machine: Machine, isTaken: (id: ShardId) => boolean): Promise<ShardId[]> {
  const taken = (await heldBy(machine)).filter(isTaken);
  for (const id of taken) await machine.shardDisk.open().delete(id);
  return taken;
}

async function holdersKnownTo(machine: Machine): Promise<Set<PeerId | undefined>> {
  const maps = await machine.node.heirship.book.maps(owner.identity.keys.owner);
  const slots = maps.flatMap(({ now }) => [...generationsOf(now)].flatMap((row) => row.slots));
  return new Set(slots.map(({ peer }) => peer));
}

it("a new holder gets what its repairer itself never had", async () => {
  await begin(["e"], "30d");
  const [a, b, c, d, e] = [1, 2, 3, 4, 5].map((index) => swarm.member(index));
  const segments = (await heldBy(must(d, "d"))).map(({ number }) => number);
  expect(segments.length).toBeGreaterThan(32);
  // Of each segment one of the three that stay has nothing, so that no repairer knows all of a row.
  for (const [at, machine] of [a, b, c].entries())
    expect(
      (await takeAway(must(machine, "holder"), ({ number }) => number % 3 === at)).length,
    ).toBeGreaterThan(9);
  must(d, "d").crash();
  await swarm.clock.advance(2 * HOUR_MS);
  const got = (await heldBy(must(e, "e"))).map(({ number }) => number);
  expect(got).toEqual(segments);
});

it("each holder gets what it never had once the others have told it", async () => {
  await begin([], "1h");
  const holders = [1, 2, 3, 4].map((index) => swarm.member(index));
  const before = await Promise.all(holders.map(heldBy));
  for (const [at, machine] of holders.entries()) await takeAway(machine, ({ number }) => number % 5 === at);
  await swarm.clock.advance(150 * MINUTE_MS);
  expect(await Promise.all(holders.map(heldBy))).toEqual(before);
  const mended = holders.map(({ node }) => node.heirship.heirs.status().counts.mended);
  expect(mended.every((count) => count > 0)).toBe(true);
});

it("a row is made anew from somebody whom no map names, where nothing else is left", async () => {
  await begin(["e", "f", "g", "h", "i"], "30d");
  const [a, b, c, d, , stray] = [1, 2, 3, 4, 5, 6].map((index) => must(swarm.members[index], "member"));
  // As after a return, or a copy in a part of the swarm that was cut off.
  const from = must(c, "c").shardDisk.open();
  const to = must(stray, "stray").shardDisk.open();
  for (const { id, bytes, note } of await from.list(undefined, 100_000))
    await to.put(id, must(await from.read(id, 0, bytes), "bytes"), note);
  const gone = [a, b, c].map((machine) => must(machine, "machine"));
  for (const machine of gone) machine.crash();
  await swarm.clock.advance(4 * HOUR_MS);
  const named = await holdersKnownTo(must(d, "d"));
  for (const machine of gone) expect(named).not.toContain(machine.peer);
  expect(must(d, "d").logged("strays-found").length).toBeGreaterThan(0);
});
