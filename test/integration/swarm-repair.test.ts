import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { MINUTE_MS } from "../../src/base/units.ts";
import type { SegmentRecord } from "../../src/catalog/index.ts";
import type { Profile } from "../../src/placement/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// A living owner mends its own repository, over simulated networks and disks, with the policy's clocks set short.

// Hours of a swarm of ten are some tens of seconds here, on a machine with other work minutes.
vi.setConfig({ testTimeout: 300_000 });

const scratch = scratchDirectories();
let swarm: Swarm;
let owner: Machine;
let source: string;

const UPKEEP = parseUpkeep({
  beatEvery: "1m",
  unreachableAfter: "5m",
  beatSlack: "5m",
  reportValid: "10m",
  returnStable: "2m",
  lostAfter: "12h",
  grace: ["0s", "5m", "20m", "30m", "40m"],
  firstGraceWithOwner: "4m",
  storm: { window: "5m", frozen: "2h" },
  assessEvery: "1m",
  uplink: "10Gbit/s",
  budget: "100%",
  night: "100%",
});

afterEach(() => swarm?.stop());

async function begin(sites: readonly string[] = NINE_AT_THREE, profile?: Profile): Promise<void> {
  swarm = await Swarm.create({ sites, upkeep: UPKEEP });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], profile === undefined ? {} : { profile }));
  await swarm.clock.advance(3 * MINUTE_MS);
}

async function records(of: Machine = owner): Promise<SegmentRecord[]> {
  const all: SegmentRecord[] = [];
  for await (const [, record] of of.node.repository.catalog.segments.all()) all.push(record);
  return all;
}

async function holding(peer: PeerId): Promise<number> {
  return (await records()).flatMap(({ slots }) => slots).filter((slot) => slot?.peer === peer).length;
}

/** Not at the owner's own site, where two others are, and all of them have a shard of each segment. */
async function aHolder(): Promise<Machine> {
  for (const machine of swarm.members.slice(3)) if ((await holding(machine.peer)) > 2) return machine;
  throw new Error("nobody holds anything");
}

function moved(): number {
  const { bytesIn, bytesOut } = owner.node.repository.repair.standing().counts;
  return bytesIn + bytesOut;
}

async function expectFull(): Promise<void> {
  for (const { slots } of await records()) {
    const peers = slots.map((slot) => must(slot ?? undefined, "receipt").peer);
    expect(new Set(peers).size).toBe(peers.length);
    for (const peer of peers) expect(swarm.byPeer(peer).isRunning).toBe(true);
  }
}

async function expectRestores(): Promise<void> {
  const target = scratch();
  const { report } = await swarm.clock.during(owner.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

describe("a holder that is gone for good", () => {
  it("is replaced once its grace is over, at the cost of k reads and one write for each shard", async () => {
    await begin();
    const dead = await aHolder();
    const shards = await holding(dead.peer);
    const lostBytes = (await records())
      .filter(({ slots }) => slots.some((slot) => slot?.peer === dead.peer))
      .reduce((sum, { shardBytes, k }) => sum + shardBytes * (k + 1), 0);
    dead.crash();
    await swarm.clock.advance(40 * MINUTE_MS);
    expect(await holding(dead.peer)).toBe(0);
    await expectFull();
    const { counts, census, queue } = owner.node.repository.repair.standing();
    expect(counts).toMatchObject({ repaired: shards, failed: 0 });
    expect(moved()).toBe(lostBytes);
    expect(queue.segments).toBe(0);
    expect(census).toMatchObject({ belowPolicy: 0, absentShards: 0 });
    expect(owner.node.repository.maps.holders()).not.toContain(dead.peer);
    await expectRestores();
  });

  it("is waited for within its grace: back by then it has everything, and nothing has moved", async () => {
    await begin();
    const away = await aHolder();
    const before = await records();
    await away.stop();
    await swarm.clock.advance(8 * MINUTE_MS);
    expect(owner.node.presence.nodes().get(away.peer)?.state).toBe("absent");
    expect(owner.node.repository.repair.standing().census).toMatchObject({
      absentShards: await holding(away.peer),
      waiting: { shards: await holding(away.peer) },
      due: { shards: 0 },
    });
    await away.start();
    await swarm.clock.advance(20 * MINUTE_MS);
    expect(moved()).toBe(0);
    expect(await records()).toEqual(before);
    expect(owner.node.repository.repair.standing().census).toMatchObject({ absentShards: 0, belowPolicy: 0 });
  });

  it("at a site where nobody else may take a shard leaves its slot empty, and says so", async () => {
    await begin();
    const dead = swarm.member(1);
    const shards = await holding(dead.peer);
    expect(shards).toBeGreaterThan(2);
    dead.crash();
    await swarm.clock.advance(40 * MINUTE_MS);
    expect(moved()).toBe(0);
    const { census } = owner.node.repository.repair.standing();
    expect(census?.stuck.shards).toBe(shards);
    expect(census?.belowPolicy).toBeGreaterThan(0);
    // A new machine there takes them.
    const fresh = swarm.newMachine("fresh", "a");
    await fresh.join(owner);
    swarm.members.push(fresh);
    await fresh.start();
    await swarm.settle();
    await swarm.clock.advance(5 * MINUTE_MS);
    expect(await holding(fresh.peer)).toBe(shards);
    await expectFull();
    expect(owner.node.repository.repair.standing().census).toMatchObject({
      belowPolicy: 0,
      stuck: { shards: 0 },
    });
    await expectRestores();
  });
});

describe("a site that burns down", () => {
  const TEN = ["own", ...NINE_AT_THREE];

  it("is made up for at the other two, above their share, and has its share again when it is back", async () => {
    await begin(TEN, { k: 3, m: 3 });
    const burnt = swarm.members.slice(7);
    for (const machine of burnt) machine.crash();
    await swarm.clock.advance(30 * MINUTE_MS);
    const { census, weather, counts } = owner.node.repository.repair.standing();
    expect(weather.kind).toBe("calm");
    // Any one of the two sites may be lost again, and status says that the rule is broken.
    expect(census?.survival).toMatchObject({ sites: 1, isFull: true });
    expect(census?.belowPolicy).toBe(census?.segments);
    expect(census?.reasons.get("site-rule")).toBeGreaterThan(0);
    expect(counts.failed).toBe(0);
    await expectRestores();
    const { protection } = await swarm.clock.during(owner.snapshot([source]));
    expect(protection.state).not.toBe("pending");
    const before = moved();
    for (const machine of burnt) await machine.start();
    await swarm.settle();
    await swarm.clock.advance(15 * MINUTE_MS);
    const after = owner.node.repository.repair.standing().census;
    expect(after).toMatchObject({ belowPolicy: 0, stuck: { shards: 0 }, due: { shards: 0 } });
    expect(moved()).toBeGreaterThan(before);
    await expectFull();
    await expectRestores();
  });
});

describe("what was saved while a site was away", () => {
  it("survives a site once that is back: of two shards at one site one goes there, and then all is at rest", async () => {
    swarm = await Swarm.create({ sites: ["own", "a", "a", "b"], upkeep: UPKEEP });
    owner = swarm.member(0);
    source = buildPlainTree(join(scratch(), "src"), swarm.rng);
    const away = swarm.member(3);
    await away.stop();
    await swarm.clock.advance(3 * MINUTE_MS);
    const options = { profile: { k: 1, m: 1 }, wait: "queued" as const };
    const { protection } = await swarm.clock.during(owner.snapshot([source], options));
    expect(protection.survival.sites).toBe(0);
    await away.start();
    await swarm.settle();
    await swarm.clock.advance(30 * MINUTE_MS);
    const { repository } = owner.node;
    const newest = must((await repository.snapshots()).at(-1), "snapshot");
    expect((await repository.protectionOf(newest)).state).toBe("full");
    const before = moved();
    await swarm.clock.advance(60 * MINUTE_MS);
    expect(moved()).toBe(before);
    await expectRestores();
  });
});

describe("a holder that was away until others had its place", () => {
  it("is asked before anything is given up: what only it still has is restored, and repaired from it", async () => {
    await begin(["own", "a", "b", "b"], { k: 1, m: 1 });
    const away = swarm.member(1);
    expect(await holding(away.peer)).toBe((await records()).length);
    await away.stop();
    await swarm.clock.advance(40 * MINUTE_MS);
    expect(await holding(away.peer)).toBe(0);
    await expectFull();
    await away.start();
    await swarm.settle();
    // Whoever has a receipt now loses everything at once.
    const others = swarm.members.filter((machine) => machine !== owner && machine !== away);
    for (const machine of others)
      for (const { id } of machine.shardDisk.sorted()) machine.shardDisk.delete(id);
    await expectRestores();
    expect(owner.logged("shards-sought").length).toBeGreaterThan(0);
    await swarm.clock.during(owner.node.repository.repair.now(new AbortController().signal));
    await expectFull();
    await away.stop();
    await expectRestores();
  });
});
