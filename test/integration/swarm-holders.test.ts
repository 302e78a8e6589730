import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { isFault } from "../../src/base/fault.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { KIB } from "../../src/base/units.ts";
import { SegmentSet, type SnapshotEntry } from "../../src/catalog/index.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm, type SwarmInit } from "../support/swarm.ts";

const scratch = scratchDirectories();

async function swarmWithSnapshot(
  init: SwarmInit,
  changes: Parameters<Machine["snapshot"]>[1] = {},
): Promise<{
  swarm: Swarm;
  owner: Machine;
  source: string;
  made: Awaited<ReturnType<Machine["snapshot"]>>;
}> {
  const swarm = await Swarm.create(init);
  const owner = swarm.member(0);
  const source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  const made = await swarm.clock.during(owner.snapshot([source], changes));
  return { swarm, owner, source, made };
}

async function expectRestores(swarm: Swarm, owner: Machine, source: string): Promise<number> {
  const target = scratch();
  const { report, bytesFetched } = await swarm.clock.during(owner.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
  return bytesFetched;
}

async function refsOf(owner: Machine, entry: SnapshotEntry): Promise<SegmentSet> {
  const manifest = await owner.node.repository.trees.manifest(entry);
  return SegmentSet.fromRanges(manifest.needs);
}

/** Holders by shard index of every segment that the snapshot needs, by the receipts; the head as a segment of copies. */
async function placements(owner: Machine, entry: SnapshotEntry): Promise<{ k: number; peers: PeerId[] }[]> {
  const { catalog, heads } = owner.node.repository;
  const segments = [...(await refsOf(owner, entry))].map((ref) => {
    const record = must(catalog.segments.get(ref), "record");
    return { k: record.k, peers: record.slots.flatMap((slot) => (slot === null ? [] : [slot.peer])) };
  });
  return [...segments, { k: 1, peers: heads.keepers }];
}

/** Most groups of which any choice may be lost, by trying all choices. */
function bruteForce(
  placed: readonly { k: number; peers: readonly PeerId[] }[],
  groupOf: (peer: PeerId) => string,
): number {
  const groups = [...new Set(placed.flatMap(({ peers }) => peers.map(groupOf)))];
  let survived = groups.length;
  for (let lost = 0; lost < 1 << groups.length; lost++) {
    const gone = new Set(groups.filter((_, i) => (lost & (1 << i)) !== 0));
    const dead = placed.some(({ k, peers }) => peers.filter((peer) => !gone.has(groupOf(peer))).length < k);
    if (dead) survived = Math.min(survived, gone.size - 1);
  }
  return survived;
}

const holdersOfEverything = (owner: Machine): PeerId[] => owner.node.repository.maps.holders();

describe("profiles", () => {
  const cases: [string, SwarmInit, string, string][] = [
    ["nine nodes at three sites", { sites: NINE_AT_THREE }, "3+3", "full"],
    ["three nodes at three sites", { sites: ["a", "b", "c"] }, "1+1", "full"],
    ["five nodes at one site", { sites: ["a", "a", "a", "a", "a"] }, "", "placed"],
    ["three nodes at one site", { sites: ["a", "a", "a"] }, "1+1", "placed"],
    ["two nodes", { sites: ["a", "b"] }, "1+0", "placed"],
  ];
  for (const [what, init, profile, state] of cases) {
    it(`auto: ${what}`, async () => {
      const { swarm, owner, source, made } = await swarmWithSnapshot(init);
      if (profile !== "") expect(made.classes.profile).toBe(profile);
      expect(made.protection.state).toBe(state);
      const placed = await placements(owner, made.entry);
      const { survival } = made.protection;
      expect(survival.nodes).toBe(bruteForce(placed, (peer) => peer));
      expect(survival.sites).toBe(bruteForce(placed, (peer) => swarm.byPeer(peer).init.site));
      expect(survival.hosts).toBe(bruteForce(placed, (peer) => swarm.byPeer(peer).init.host));
      for (const { peers } of placed) expect(peers).not.toContain(owner.peer);
      // What is placed as well as can be is not stored again.
      await swarm.clock.advance(1000);
      const again = await swarm.clock.during(owner.snapshot([source]));
      expect(again.bytesNew).toBe(0);
      expect(again.segments).toBe(1);
      await swarm.stop();
    });
  }

  it("explicit: as asked, and refused before anything is read where there are too few holders", async () => {
    const { swarm, owner, source, made } = await swarmWithSnapshot(
      { sites: NINE_AT_THREE, hosts: ["h0", "h0", "h1", "h2", "h2", "h3", "h4", "h4", "h5"] },
      { profile: { k: 4, m: 4 } },
    );
    expect(made.classes.profile).toBe("4+4");
    const placed = await placements(owner, made.entry);
    const { survival } = made.protection;
    expect(survival.nodes).toBe(bruteForce(placed, (peer) => peer));
    expect(survival.sites).toBe(bruteForce(placed, (peer) => swarm.byPeer(peer).init.site));
    expect(survival.hosts).toBe(bruteForce(placed, (peer) => swarm.byPeer(peer).init.host));
    owner.opened.length = 0;
    await expect(owner.snapshot([source], { profile: { k: 6, m: 3 } })).rejects.toMatchObject({
      code: "PROFILE_IMPOSSIBLE",
    });
    expect(owner.opened).toEqual([]);
    await swarm.stop();
  });
});

describe("with holders gone", () => {
  it("m of them: everything comes back; one more: nothing is begun, and it is said who is needed", async () => {
    const { swarm, owner, source, made } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    const holders = holdersOfEverything(owner);
    for (const peer of holders.slice(0, 3)) swarm.byPeer(peer).crash();
    await expectRestores(swarm, owner, source);
    // The eight others hold six shards of each segment: five dead make it certain that three are missing somewhere.
    for (const peer of holders.slice(3, 5)) swarm.byPeer(peer).crash();
    const placed = await placements(owner, made.entry);
    const dead = new Set(holders.slice(0, 5));
    const short = placed.slice(0, -1).filter(({ k, peers }) => peers.filter((p) => !dead.has(p)).length < k);
    expect(short.length).toBeGreaterThan(0);
    const target = join(scratch(), "target");
    const error = await swarm.clock.during(owner.restore(target).catch((e: unknown) => e));
    if (!isFault(error, "TOO_FEW_SHARDS")) throw error;
    expect(error.detail.shortages.length).toBe(short.length);
    for (const shortage of error.detail.shortages) {
      expect(shortage.have).toBeLessThan(shortage.need);
      for (const peer of shortage.holders) expect(dead).toContain(peer);
    }
    expect(existsSync(target) ? readdirSync(target) : []).toEqual([]);
    await swarm.stop();
  });

  it("a whole site: everything comes back", async () => {
    const { swarm, owner, source } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    for (const machine of swarm.members) if (machine.init.site === "b") machine.crash();
    await expectRestores(swarm, owner, source);
    await swarm.stop();
  });

  it("with --partial what can be had comes back, the rest is named", async () => {
    const { swarm, owner } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    for (const peer of holdersOfEverything(owner).slice(0, 5)) swarm.byPeer(peer).crash();
    const { report } = await swarm.clock.during(owner.restore(scratch(), { partial: true }));
    expect(report.problemCount).toBeGreaterThan(0);
    expect(report.files + report.problemCount).toBe(20);
    await swarm.stop();
  });

  it("some hang: nobody waits for their time-out, neither before the restore nor for each segment", async () => {
    const { swarm, owner, source, made } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    expect(made.segments).toBeGreaterThan(8);
    const hung = holdersOfEverything(owner).slice(0, 2);
    for (const peer of hung) swarm.networks.hang(peer, true);
    const asked = new Map<string, number>();
    swarm.networks.intercept(async ({ from, to, protocol, message }) => {
      if (from !== owner.peer || protocol !== "data" || !hung.includes(to)) return;
      const { t } = dataRequest.decode(message.head);
      asked.set(t, (asked.get(t) ?? 0) + 1);
    });
    await expectRestores(swarm, owner, source);
    const [line] = owner.logged("holders-asked");
    expect(line?.fields).toMatchObject({ silent: [], short: 0 });
    expect(must(line, "line").fields["late"]).toEqual(expect.arrayContaining(hung));
    // They were asked once what they have; the reads that follow go to the others.
    expect(asked.get("have")).toBe(2);
    expect(asked.get("get") ?? 0).toBeLessThanOrEqual(2);

    for (const peer of hung) swarm.networks.hang(peer, false);
    await expectRestores(swarm, owner, source);
    expect(owner.logged("holders-asked").at(-1)?.fields).toMatchObject({ late: [], silent: [] });
    await swarm.stop();
  });

  it("one hangs in the middle: that costs a wait, and not one for each segment", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 60);
    const made = await swarm.clock.during(owner.snapshot([source]));
    const placed = await placements(owner, made.entry);
    const dataShardsOf = (peer: PeerId): number =>
      placed.filter(({ k, peers }) => peers.slice(0, k).includes(peer)).length;
    const byUse = holdersOfEverything(owner).sort((a, b) => dataShardsOf(b) - dataShardsOf(a));
    const hung = must(byUse[0], "holder");
    expect(dataShardsOf(hung)).toBeGreaterThan(8);
    let gets = 0;
    swarm.networks.intercept(async ({ from, to, protocol, message }) => {
      if (from !== owner.peer || protocol !== "data" || to !== hung) return;
      if (dataRequest.decode(message.head).t !== "get") return;
      gets++;
      swarm.networks.hang(hung, true);
    });
    await expectRestores(swarm, owner, source);
    expect(gets).toBeGreaterThan(0);
    expect(gets).toBeLessThanOrEqual(3);
    await swarm.stop();
  });

  it("too many hang: all are waited for before it is said who is needed", async () => {
    const { swarm, owner, made } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    const hung = holdersOfEverything(owner).slice(0, 5);
    for (const peer of hung) swarm.networks.hang(peer, true);
    const placed = await placements(owner, made.entry);
    const short = placed
      .slice(0, -1)
      .filter(({ k, peers }) => peers.filter((p) => !hung.includes(p)).length < k);
    const error = await swarm.clock.during(owner.restore(scratch()).catch((e: unknown) => e));
    if (!isFault(error, "TOO_FEW_SHARDS")) throw error;
    expect(error.detail.shortages).toHaveLength(short.length);
    const { fields } = must(owner.logged("holders-asked")[0], "line");
    expect(fields).toMatchObject({ late: [], silent: expect.arrayContaining(hung), short: short.length });
    await swarm.stop();
  });
});

it("a holder that hangs during a snapshot costs one time-out, not one for each row of the map", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(0);
  const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 60);
  const hung = swarm.member(4).peer;
  let puts = 0;
  swarm.networks.intercept(async ({ from, to, protocol, message }) => {
    if (from !== owner.peer || to !== hung || protocol !== "data") return;
    if (dataRequest.decode(message.head).t !== "put") return;
    puts++;
    swarm.networks.hang(hung, true);
  });
  const made = await swarm.clock.during(owner.snapshot([source]));
  expect(made.segments).toBeGreaterThan(16);
  expect(made.protection.state).toBe("full");
  // Two segments are under way at a time.
  expect(puts).toBeGreaterThan(0);
  expect(puts).toBeLessThanOrEqual(2);
  expect((await placements(owner, made.entry)).flatMap(({ peers }) => peers)).not.toContain(hung);
  swarm.networks.hang(hung, false);
  await expectMapIsTrue(owner, made.entry);
  await expectRestores(swarm, owner, source);
  await swarm.stop();
});

it("a holder that hung gets its shards as soon as it takes them, where nobody else can have them", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c", "d"] });
  const owner = swarm.member(0);
  const source = scratch();
  put(source, "one", swarm.rng.bytes(5000));
  const hung = swarm.member(1).peer;
  swarm.networks.hang(hung, true);
  expect((await swarm.clock.during(owner.snapshot([source]))).protection.state).toBe("pending");
  // It answers nothing until it is given a shard.
  swarm.networks.intercept(async ({ from, to, protocol, message }) => {
    if (from !== owner.peer || to !== hung || protocol !== "data") return;
    if (dataRequest.decode(message.head).t === "put") swarm.networks.hang(hung, false);
  });
  put(source, "two", swarm.rng.bytes(5000));
  const second = await swarm.clock.during(owner.snapshot([source]));
  const newest = (await placements(owner, second.entry)).at(-2);
  expect(newest?.peers).toContain(hung);
  await swarm.stop();
});

describe("a holder's disk", () => {
  it("turns bits over: the restore is right and says who", async () => {
    const { swarm, owner, source, made } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    // Of a data shard: of parity alone a restore would read nothing.
    const [first] = await placements(owner, made.entry);
    const bad = swarm.byPeer(must(first?.peers[0], "holder"));
    let flipped = 0;
    for (const { id } of await bad.shardDisk.open().list(undefined, 1000)) {
      if (id.owner === owner.node.repository.catalog.owner && bad.shardDisk.flipBit(id, bad.rng)) flipped++;
    }
    expect(flipped).toBeGreaterThan(0);
    await expectRestores(swarm, owner, source);
    const lines = owner.logged("shard-corrupt");
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line.fields).toMatchObject({ peer: bad.peer });
    // What is known to be lost does not count any more.
    const { repository } = owner.node;
    const entries = await repository.snapshots();
    const options = { readData: true, signal: new AbortController().signal, onShard: () => {} };
    const outcome = await swarm.clock.during(repository.verify(entries, options));
    // The owner mends what it was told, one segment after the other, and may have begun.
    const mended = owner.logged("shard-repaired").length;
    expect(mended).toBeLessThan(flipped);
    expect(outcome.corrupt.length + mended).toBe(flipped);
    const protection = await repository.protectionOf(must(entries[0], "snapshot"));
    expect(protection).toMatchObject({ state: "safe", survival: { isFull: false } });
    await swarm.stop();
  });

  it("loses files: the restore is right", async () => {
    const { swarm, owner, source } = await swarmWithSnapshot({ sites: NINE_AT_THREE });
    const bad = swarm.byPeer(must(holdersOfEverything(owner)[0], "holder"));
    for (const { id } of await bad.shardDisk.open().list(undefined, 1000)) bad.shardDisk.loseFile(id);
    await expectRestores(swarm, owner, source);
    await swarm.stop();
  });

  it("is full: the next candidate takes its place in a new generation", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng);
    const full = swarm.member(4);
    const free = full.disk.freeBytes();
    full.disk.foreignBytes = free - 30 * KIB;
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.protection.state).toBe("full");
    const moved = owner.logged("slot-replaced");
    expect(moved.length).toBeGreaterThan(0);
    for (const { fields } of moved) expect(fields).toMatchObject({ from: full.peer });
    // The map says of every segment what the receipts say.
    await expectMapIsTrue(owner, made.entry);
    await expectRestores(swarm, owner, source);
    await swarm.stop();
  });
});

async function expectMapIsTrue(owner: Machine, entry: SnapshotEntry): Promise<void> {
  const { catalog, maps } = owner.node.repository;
  for (const ref of await refsOf(owner, entry)) {
    const record = must(catalog.segments.get(ref), "record");
    expect(maps.slots(ref, record.class)).toEqual(record.slots.map((slot) => slot?.peer));
  }
}

describe("the spool", () => {
  it("keeps what nobody takes, over a restart, and the daemon places it when they are back", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 40);
    const away = swarm.members.filter((machine) => ["b", "c"].includes(machine.init.site));
    for (const machine of away) await machine.stop();
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.protection.state).toBe("pending");
    expect(owner.node.repository.spool.segments).toBe(made.segments);
    // Its own disk has everything: no peer is needed.
    await expectRestores(swarm, owner, source);
    await owner.stop();
    await owner.start();
    expect(owner.node.repository.spool.segments).toBe(made.segments);
    owner.crash();
    await owner.start();
    await swarm.settle();
    expect(owner.node.repository.spool.segments).toBe(made.segments);
    await expectRestores(swarm, owner, source);
    for (const machine of away) await machine.start();
    await swarm.settle();
    await swarm.clock.advance(30_000);
    expect(owner.node.repository.spool.segments).toBe(0);
    expect(await owner.spoolDisk.open().list()).toEqual([]);
    await swarm.clock.advance(120_000);
    const entry = await owner.node.repository.find("latest");
    expect((await owner.node.repository.protectionOf(entry)).state).toBe("full");
    await expectMapIsTrue(owner, entry);
    const again = await swarm.clock.during(owner.snapshot([source]));
    expect(again.bytesNew).toBe(0);
    await expectRestores(swarm, owner, source);
    await swarm.stop();
  });

  it("with later segments placed meanwhile, the map is right about both", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const root = scratch();
    const first = buildPlainTree(join(root, "first"), swarm.rng, 60);
    // Five holders at two sites: one slot of six stays empty.
    const away = swarm.members.slice(6);
    for (const machine of away) await machine.stop();
    await swarm.clock.during(owner.snapshot([first], { profile: { k: 3, m: 3 } }).catch(() => {}));
    const made = await swarm.clock.during(owner.snapshot([first]));
    for (const machine of away) await machine.start();
    await swarm.settle();
    const second = buildPlainTree(join(root, "second"), swarm.rng, 60);
    const both = await swarm.clock.during(owner.snapshot([first, second]));
    await swarm.clock.advance(30_000);
    expect(owner.node.repository.spool.segments).toBe(0);
    await expectMapIsTrue(owner, made.entry);
    await expectMapIsTrue(owner, both.entry);
    await swarm.stop();
  });

  it("is bounded: the snapshot ends with SPOOL_FULL and goes on from there later", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"], spoolMaxBytes: 200 * KIB });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 40);
    for (const machine of swarm.members.slice(1)) await machine.stop();
    await expect(swarm.clock.during(owner.snapshot([source]))).rejects.toMatchObject({ code: "SPOOL_FULL" });
    expect(owner.node.repository.spool.bytes).toBeLessThanOrEqual(200 * KIB);
    expect(await owner.node.repository.snapshots()).toEqual([]);
    for (const machine of swarm.members.slice(1)) await machine.start();
    await swarm.settle();
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.bytesNew).toBeLessThan(made.report.bytes);
    await swarm.clock.advance(60_000);
    expect(owner.node.repository.spool.segments).toBe(0);
    expect((await owner.node.repository.protectionOf(made.entry)).state).toBe("full");
    await expectRestores(swarm, owner, source);
    await swarm.stop();
  });

  it("takes everything with --wait queued, and a single peer is not needed", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const owner = swarm.member(0);
    const source = put(scratch(), "file", swarm.rng.bytes(100_000));
    const made = await swarm.clock.during(owner.snapshot([source], { wait: "queued" }));
    expect(made.protection.state).toBe("pending");
    expect(made.bytesStored).toBe(0);
    await swarm.clock.advance(30_000);
    expect((await owner.node.repository.protectionOf(made.entry)).state).toBe("full");
    await swarm.stop();
  });
});
