import { afterEach, describe, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import { type SegmentId, type ShardId, segmentKey } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// What is locked stays locked wherever its shards go.

vi.setConfig({ testTimeout: 400_000 });

const scratch = scratchDirectories();
const MONTH_MS = 30 * DAY_MS;
const upkeep = parseUpkeep({
  ...{ uplink: "10Gbit/s", budget: "100%", night: "100%" },
  grace: ["1s", "5m", "10m", "15m"],
  firstGraceWithOwner: "5m",
  backOff: { step: "2m", urgentStep: "1m" },
  ...{ lostAfter: "20h", storm: { frozen: "10m" }, sweep: { every: "10m", settled: "1h" } },
});
let swarm: Swarm;
let owner: Machine;

afterEach(() => swarm?.stop());

async function begin(): Promise<void> {
  swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep });
  owner = swarm.member(0);
  const source = scratch();
  put(source, "file", swarm.rng.bytes(20_000));
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 }, lockMs: MONTH_MS }));
  await swarm.clock.advance(3 * MINUTE_MS);
  const [entry] = await owner.node.repository.snapshots();
  expect(owner.node.repository.locks.standingOf(must(entry, "snapshot"))).toMatchObject({ state: "locked" });
}

const alive = (): Machine[] => swarm.members.filter((machine) => machine.isRunning && machine !== owner);

async function heldBy(machine: Machine): Promise<ShardId[]> {
  return (await machine.shardDisk.open().list(undefined, 100_000)).map(({ id }) => id);
}

/** Who holds something, and for how long at least each keeps what it holds; by segment, of those that run. */
async function lockedDays(): Promise<Map<string, { at: Machine; days: number }[]>> {
  const found = new Map<string, { at: Machine; days: number }[]>();
  for (const at of alive())
    for (const id of await heldBy(at)) {
      const segment: SegmentId = id;
      const days = at.node.locks.lockedForMs(segment) / DAY_MS;
      found.set(segmentKey(id), [...(found.get(segmentKey(id)) ?? []), { at, days }]);
    }
  return found;
}

const largest = async (): Promise<Machine> => {
  const counts = await Promise.all(alive().map(async (at) => ({ at, held: (await heldBy(at)).length })));
  return must(counts.sort((a, b) => b.held - a.held)[0], "holder").at;
};

describe("what is locked", () => {
  it("is locked at who makes it anew for a dead owner, whole, and again at the next one", async () => {
    await begin();
    owner.crash();
    await swarm.clock.jump(10 * DAY_MS);
    await swarm.clock.advance(2 * HOUR_MS);
    for (let time = 0; time < 2; time++) {
      const before = await lockedDays();
      const dead = await largest();
      dead.crash();
      await swarm.clock.advance(2 * HOUR_MS);
      const after = await lockedDays();
      const newcomers = [...after].flatMap(([key, holders]) =>
        holders.filter(({ at }) => before.get(key)?.every((known) => known.at !== at) === true),
      );
      expect(newcomers.length).toBeGreaterThan(0);
      // Whole: what its neighbours have left is ten days less.
      for (const { days } of newcomers) expect(days).toBeGreaterThan(29);
      for (const holders of after.values()) for (const { days } of holders) expect(days).toBeGreaterThan(18);
    }
    expect(swarm.members.flatMap((machine) => machine.logged("locks-not-brought"))).toEqual([]);
  });

  it("is locked at who takes it over from a node that leaves, the owner's node being dead", async () => {
    await begin();
    owner.crash();
    await swarm.clock.advance(HOUR_MS);
    const leaving = await largest();
    await leaving.node.heirship.drainer.begin();
    await swarm.clock.advance(3 * HOUR_MS);
    const after = await lockedDays();
    for (const holders of after.values()) {
      expect(holders.length).toBeGreaterThan(3);
      for (const { days } of holders) expect(days).toBeGreaterThan(29);
    }
  });

  it("is asked for by a living owner at who holds it since a repair", async () => {
    await begin();
    const dead = await largest();
    dead.crash();
    await swarm.clock.advance(2 * HOUR_MS);
    const [entry] = await owner.node.repository.snapshots();
    const standing = owner.node.repository.locks.standingOf(must(entry, "snapshot"));
    expect(standing).toMatchObject({ state: "locked" });
    for (const holders of (await lockedDays()).values()) {
      expect(holders).toHaveLength(4);
      for (const { days } of holders) expect(days).toBeGreaterThan(29);
    }
  });

  it("goes as a copy too many only when who is named in its place has locked it", async () => {
    await begin();
    const away = await largest();
    away.crash();
    await swarm.clock.advance(2 * HOUR_MS);
    await swarm.clock.during(away.start());
    await swarm.clock.advance(40 * MINUTE_MS);
    const held = (await heldBy(away)).length;
    for (const machine of swarm.members)
      machine.lie = async ({ protocol, from, message, honest }) => {
        const isLock = protocol === "data" && Buffer.from(message.head).includes("locks");
        if (isLock && from === away.peer) throw new Error("it does not answer");
        return honest();
      };
    await swarm.clock.advance(4 * HOUR_MS);
    const reasons = away.node.sweep.sweeper.status().kept;
    expect(reasons.get("not-locked") ?? 0).toBeGreaterThan(0);
    expect(await heldBy(away)).toHaveLength(held);
    for (const machine of swarm.members) machine.lie = undefined;
    await swarm.clock.advance(3 * HOUR_MS);
    expect((await heldBy(away)).length).toBeLessThan(held);
    for (const holders of (await lockedDays()).values()) expect(holders.length).toBeGreaterThan(3);
  });
});
