import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import type { SegmentRecord } from "../../src/catalog/index.ts";
import { planRemovalOf } from "../../src/node/index.ts";
import { GRACE_RULES, parseUpkeep } from "../../src/upkeep/index.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Owners that die at any moment of a repair, or were away while others repaired for them; and what a removal takes.

// Hours of a swarm of ten are some tens of seconds here, on a machine with other work minutes.
vi.setConfig({ testTimeout: 300_000 });

const scratch = scratchDirectories();
const { signal } = new AbortController();
const TEN = ["own", ...NINE_AT_THREE];
let swarm: Swarm;
let owner: Machine;
let source: string;

const UPKEEP = parseUpkeep({
  ...{ uplink: "10Gbit/s", budget: "100%", night: "100%" },
  grace: ["1s", "10m", "20m", "30m"],
  firstGraceWithOwner: "10m",
  backOff: { step: "2m", urgentStep: "1m" },
  assessEvery: "2m",
});

afterEach(() => swarm?.stop());

async function begin(upkeep = UPKEEP): Promise<void> {
  swarm = await Swarm.create({ sites: TEN, upkeep });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 3, m: 3 } }));
  await swarm.clock.advance(10 * MINUTE_MS);
}

async function records(): Promise<SegmentRecord[]> {
  const all: SegmentRecord[] = [];
  for await (const [, record] of owner.node.repository.catalog.segments.all()) all.push(record);
  return all;
}

const holding = async (peer: PeerId): Promise<number> =>
  (await records()).flatMap(({ slots }) => slots).filter((slot) => slot?.peer === peer).length;

async function aHolder(): Promise<Machine> {
  for (const machine of swarm.members.slice(1)) if ((await holding(machine.peer)) > 4) return machine;
  throw new Error("nobody holds anything");
}

function moved(): number {
  const { bytesIn, bytesOut } = owner.node.repository.repair.standing().counts;
  return bytesIn + bytesOut;
}

/** Every shard has a holder that is up and has it, and none has two. */
async function expectFull(): Promise<void> {
  const { catalog } = owner.node.repository;
  for await (const [ref, { slots }] of catalog.segments.all()) {
    const peers = slots.map((slot) => must(slot ?? undefined, "receipt").peer);
    expect(new Set(peers).size).toBe(peers.length);
    for (const [index, peer] of peers.entries()) {
      const holder = swarm.byPeer(peer);
      expect(holder.isRunning).toBe(true);
      expect(holder.shardDisk.open().stat({ ...catalog.segmentId(ref), index })).toBeDefined();
    }
  }
}

async function expectRestores(): Promise<void> {
  const target = scratch();
  const { report } = await swarm.clock.during(owner.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

describe("an owner that loses power in the middle of a repair", () => {
  it.each([1, 2, 5])(
    "goes on where it stood after %i shards were put; none is counted twice",
    async (puts) => {
      await begin();
      const dead = await aHolder();
      const shards = await holding(dead.peer);
      let seen = 0;
      swarm.networks.intercept(async ({ from, protocol, message }) => {
        if (from !== owner.peer || protocol !== "data" || !owner.isRunning) return;
        if (dataRequest.decode(message.head).t !== "put") return;
        if (++seen === puts) setImmediate(() => owner.crash());
      });
      dead.crash();
      await swarm.clock.advance(2 * HOUR_MS);
      swarm.networks.intercept(undefined);
      expect(seen).toBeGreaterThanOrEqual(puts);
      expect(owner.isRunning).toBe(false);
      await owner.start();
      await swarm.settle();
      await swarm.clock.advance(HOUR_MS);
      expect(await holding(dead.peer)).toBe(0);
      await expectFull();
      const { counts, census } = owner.node.repository.repair.standing();
      expect(counts.repaired).toBeLessThanOrEqual(shards);
      expect(census).toMatchObject({ belowPolicy: 0, due: { shards: 0 } });
      await expectRestores();
    },
  );
});

describe("an owner that was away while others repaired for it", () => {
  it("takes their repairs over, and moves nothing", async () => {
    await begin();
    const dead = await aHolder();
    owner.crash();
    dead.crash();
    await swarm.clock.advance(3 * HOUR_MS);
    expect(swarm.members.some((machine) => machine.logged("heir-repaired").length > 0)).toBe(true);
    await owner.start();
    await swarm.settle();
    await swarm.clock.advance(30 * MINUTE_MS);
    expect(owner.logged("repairs-adopted").length).toBeGreaterThan(0);
    expect(moved()).toBe(0);
    expect(await holding(dead.peer)).toBe(0);
    expect(owner.node.repository.maps.holders()).not.toContain(dead.peer);
    await expectFull();
    await expectRestores();
  });
});

describe("an owner that was recovered", () => {
  it("has what it made in its earlier life repaired by those who hold it", async () => {
    await begin();
    const old = owner;
    old.crash();
    const fresh = swarm.newMachine("fresh", "own");
    await swarm.clock.during(recoverOnto(fresh, old, swarm.member(1)));
    swarm.members.push(fresh);
    owner = fresh;
    await swarm.settle();
    await swarm.clock.advance(10 * MINUTE_MS);
    const dead = await aHolder();
    const shards = await holding(dead.peer);
    dead.crash();
    await swarm.clock.advance(3 * HOUR_MS);
    expect(shards).toBeGreaterThan(0);
    expect(await holding(dead.peer)).toBe(0);
    await expectFull();
    expect(moved()).toBe(0);
    expect(owner.node.repository.repair.standing().census).toMatchObject({
      belowPolicy: 0,
      stuck: { shards: 0 },
    });
    await expectRestores();
  });
});

describe("a plan for the removal of a node", () => {
  it("says within 5 % what then moves, and what is survived before, during and after", async () => {
    await begin();
    const leaving = await aHolder();
    const plan = await planRemovalOf(owner.node, new Set([leaving.peer]));
    expect(plan.stuck).toEqual([]);
    expect(plan.survival?.before.margin).toBe(3);
    expect(plan.survival?.during.margin).toBe(2);
    expect(plan.survival?.after).toEqual(plan.survival?.before);
    leaving.crash();
    await owner.node.administration.remove(leaving.peer, { reason: "burnt", barsOwner: false });
    await swarm.settle();
    await swarm.clock.advance(5 * MINUTE_MS);
    // Declared gone: nobody waits for it.
    expect(await holding(leaving.peer)).toBe(0);
    await expectFull();
    const predicted = plan.byOwner.read + plan.byOwner.sent;
    expect(Math.abs(moved() - predicted)).toBeLessThan(predicted * 0.05);
    const { census } = owner.node.repository.repair.standing();
    expect(census?.survival).toEqual(plan.survival?.after);
    await expectRestores();
  });
});

it("by hand nobody who is absent is waited for", async () => {
  await begin({ ...UPKEEP, grace: GRACE_RULES });
  const away = await aHolder();
  const shards = await holding(away.peer);
  away.crash();
  await swarm.clock.advance(36 * MINUTE_MS);
  expect(owner.node.presence.nodes().get(away.peer)?.state).toBe("absent");
  expect(moved()).toBe(0);
  const round = await swarm.clock.during(owner.node.repository.repair.now(signal));
  expect(round).toMatchObject({ repaired: shards, failed: 0, missing: 0 });
  await expectFull();
});
