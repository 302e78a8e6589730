import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import { Fault } from "../../src/base/fault.ts";
import { type ShardId, shardKey } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { dataAnswer, dataRequest, shardNote } from "../../src/wire/data.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Copies too many: what a node that came back still has after others made it anew.

vi.setConfig({ testTimeout: 400_000 });

const scratch = scratchDirectories();
let swarm: Swarm;
let owner: Machine;
let returned: Machine;
let source: string;

afterEach(() => swarm?.stop());

const alive = (): Machine[] => swarm.members.filter((machine) => machine.isRunning);

async function heldBy(machine: Machine): Promise<ShardId[]> {
  return (await machine.shardDisk.open().list(undefined, 100_000)).map(({ id }) => id);
}

async function surplusAt(machine: Machine): Promise<ShardId[]> {
  const surplus: ShardId[] = [];
  for (const id of await heldBy(machine))
    if (await machine.node.losses.kept.isElsewhere(id, machine.peer)) surplus.push(id);
  return surplus;
}

/** A holder was away until others had what it has, and is back. */
async function begin(): Promise<void> {
  const upkeep = parseUpkeep({
    ...{ uplink: "10Gbit/s", budget: "100%", night: "100%" },
    grace: ["1s", "5m", "10m", "15m"],
    firstGraceWithOwner: "5m",
    backOff: { step: "2m", urgentStep: "1m" },
    ...{ lostAfter: "20h", storm: { frozen: "10m" }, sweep: { every: "10m", settled: "1h" } },
  });
  swarm = await Swarm.create({ sites: NINE_AT_THREE, upkeep });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 } }));
  await swarm.clock.advance(10 * MINUTE_MS);
  const counts = await Promise.all(swarm.members.slice(1).map(async (one) => (await heldBy(one)).length));
  returned = swarm.member(1 + counts.indexOf(Math.max(...counts)));
  returned.crash();
  await swarm.clock.advance(2 * HOUR_MS);
  await swarm.clock.during(returned.start());
  // Until it counts as back, and has heard where its shards are now.
  await swarm.clock.advance(40 * MINUTE_MS);
}

const swept = (): number => returned.logged("surplus-dropped").length;

describe("copies too many", () => {
  it("go when all others are proven and theirs are promised, and nothing is missing then", async () => {
    await begin();
    const before = await heldBy(returned);
    const surplus = await surplusAt(returned);
    expect(surplus.length).toBeGreaterThan(0);
    await swarm.clock.advance(30 * MINUTE_MS);
    expect(swept()).toBe(0);
    await swarm.clock.advance(3 * HOUR_MS);
    expect(await surplusAt(returned)).toEqual([]);
    expect(swept()).toBe(surplus.length);
    expect(await heldBy(returned)).toHaveLength(before.length - surplus.length);
    expect(returned.node.sweep.sweeper.status()).toMatchObject({ surplus: 0, dropped: surplus.length });
    // Each was promised by the one that the map names, which would not drop it now if it were one too many itself.
    for (const id of surplus) {
      const keepers = alive().filter((machine) => machine.node.sweep.promises.isPromised(id));
      expect(keepers).toHaveLength(1);
      expect(must(keepers[0], "keeper").shardDisk.open().stat(id)).toBeDefined();
    }
    for (const machine of alive())
      if (machine !== returned) expect(machine.logged("surplus-dropped")).toEqual([]);
    // Old receipts are broken by none of it.
    await swarm.clock.during(owner.node.audits.rounds.now(new AbortController().signal, () => {}));
    for (const machine of alive()) {
      expect(machine.logged("holder-convicted")).toEqual([]);
      expect(machine.logged("holder-suspected")).toEqual([]);
    }
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    await expectSameTree(source, target + source);
  });

  it("stay while one holder of the row does not answer, and go when it does", async () => {
    await begin();
    const surplus = await surplusAt(returned);
    const [witness] = (await rowOf(must(surplus[0], "surplus copy"))).slice(-1);
    const mute = swarm.byPeer(must(witness, "witness"));
    const inRow = await filter(surplus, async (id) => (await rowOf(id)).includes(mute.peer));
    mute.lie = async ({ from, message, honest }) => {
      if (from === returned.peer && isAudit(message.head))
        throw new Fault({ code: "PEER_BUSY", peer: mute.peer });
      return honest();
    };
    await swarm.clock.advance(90 * MINUTE_MS);
    expect(await surplusAt(returned)).toEqual(inRow);
    expect(swept()).toBe(surplus.length - inRow.length);
    expect(returned.node.sweep.sweeper.status().kept).toEqual(new Map([["not-proven", inRow.length]]));
    mute.lie = undefined;
    await swarm.clock.advance(20 * MINUTE_MS);
    expect(await surplusAt(returned)).toEqual([]);
  });

  it("stay for as long again when somebody gets a receipt for them: the map may be about to name this node", async () => {
    await begin();
    await swarm.clock.advance(30 * MINUTE_MS);
    const asked = must((await surplusAt(returned))[0], "surplus copy");
    const held = must(returned.shardDisk.open().stat(asked), "held");
    const body = must(await returned.shardDisk.open().read(asked, 0, held.bytes), "bytes");
    const { descriptor } = shardNote.decode(held.note);
    const put = dataRequest.encode({ t: "put", v: 1, index: asked.index, descriptor });
    const message = { head: put, body };
    const { network } = owner.node.ports;
    const reply = network.request(returned.peer, "data", message, { idleTimeoutMs: 1000 });
    expect(dataAnswer.decode((await swarm.clock.during(reply)).head).t).toBe("receipt");
    await swarm.clock.advance(55 * MINUTE_MS);
    expect(await surplusAt(returned)).toEqual([asked]);
    await swarm.clock.advance(30 * MINUTE_MS);
    expect(await surplusAt(returned)).toEqual([]);
  });

  it("stay when the one that the map names has thrown its own away", async () => {
    await begin();
    const surplus = await surplusAt(returned);
    const named = async (id: ShardId) => must((await rowOf(id))[id.index], "named holder");
    const empty = swarm.byPeer(await named(must(surplus[0], "surplus copy")));
    for (const id of await heldBy(empty)) await empty.shardDisk.open().delete(id);
    const its = await filter(surplus, async (id) => (await named(id)) === empty.peer);
    await swarm.clock.advance(65 * MINUTE_MS);
    const held = new Set((await heldBy(returned)).map(shardKey));
    for (const id of its) expect(held).toContain(shardKey(id));
    for (const { fields } of returned.logged("surplus-dropped"))
      expect(fields["holder"]).not.toBe(empty.peer);
  });
});

const isAudit = (head: Uint8Array): boolean => {
  try {
    return dataRequest.decode(head).t === "audit";
  } catch {
    return false; // Of another protocol.
  }
};

const rowOf = async (id: ShardId) => (await returned.node.losses.kept.slotsOfAnyClass(id)).flat();

async function filter<T>(items: readonly T[], isIn: (item: T) => Promise<boolean>): Promise<T[]> {
  const are = await Promise.all(items.map(isIn));
  return items.filter((_, at) => are[at]);
}
