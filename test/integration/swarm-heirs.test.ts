import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import type { PeerId, ShardId } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { generationsOf } from "../../src/placement/index.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// The data of an owner that is dead for good, kept alive by those who hold it.

const scratch = scratchDirectories();
const PROFILE = { k: 2, m: 2 };
let swarm: Swarm;
let owner: Machine;
let source: string;

afterEach(() => swarm?.stop());

async function begin(sites: readonly string[] = NINE_AT_THREE): Promise<void> {
  const upkeep = parseUpkeep({
    ...{ uplink: "10Gbit/s", budget: "100%", night: "100%" },
    grace: ["1s", "10m", "20m", "30m"],
    backOff: { step: "2m", urgentStep: "1m" },
  });
  swarm = await Swarm.create({ sites, upkeep });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], { profile: PROFILE }));
  await swarm.clock.advance(10 * MINUTE_MS);
}

const alive = (): Machine[] => swarm.members.filter((machine) => machine.isRunning);

/** Who has each slot, as this machine knows it with all repairs: by generation and slot. */
async function slotsKnownTo(machine: Machine): Promise<Map<string, PeerId | undefined>> {
  const slots = new Map<string, PeerId | undefined>();
  for (const { now, incarnation } of await machine.node.heirship.book.maps(ownerId()))
    for (const { classId, partition, fromSegment, slots: of } of generationsOf(now))
      of.forEach(({ peer }, slot) => {
        slots.set(`${incarnation}/${classId}/${partition}/${fromSegment}/${slot}`, peer);
      });
  return slots;
}

const ownerId = () => owner.identity.keys.owner;

/** Every shard that the map names is where it says, for every segment that anybody holds anything of. */
async function missingShards(): Promise<string[]> {
  const missing: string[] = [];
  const witness = must(alive()[0], "somebody who is up");
  const segments = new Map<string, ShardId>();
  for (const machine of alive())
    for (const { id } of await machine.shardDisk.open().list(undefined, 100_000))
      if (id.owner === ownerId()) segments.set(`${id.incarnation}/${id.number}`, id);
  const maps = await witness.node.heirship.book.maps(ownerId());
  for (const id of segments.values()) {
    const map = must(
      maps.find(({ incarnation }) => incarnation === id.incarnation),
      "map of a life",
    );
    const generation = [...generationsOf(map.now)]
      .filter(({ partition, fromSegment }) => id.number % 16 === partition && fromSegment <= id.number)
      .at(-1);
    must(generation, "generation").slots.forEach(({ peer }, index) => {
      const holder = swarm.members.find((machine) => machine.peer === peer);
      const isThere =
        holder?.isRunning === true && holder.shardDisk.open().stat({ ...id, index }) !== undefined;
      if (!isThere) missing.push(`${id.number}/${index}`);
    });
  }
  return missing;
}

const repairs = (): number =>
  swarm.members.reduce((sum, machine) => sum + machine.logged("heir-repaired").length, 0);

describe("heirs", () => {
  it("do nothing while the owner's node is there", async () => {
    await begin();
    swarm.member(4).crash();
    await swarm.clock.advance(2 * HOUR_MS);
    expect(repairs()).toBe(0);
  });

  it("make what a dead node held anew once its owner is away, and all know the same", async () => {
    await begin();
    owner.crash();
    const dead = swarm.member(4);
    dead.crash();
    await swarm.clock.advance(2 * HOUR_MS);
    expect(await missingShards()).toEqual([]);
    expect(repairs()).toBeGreaterThan(0);
    const known = await Promise.all(alive().map(slotsKnownTo));
    for (const one of known) expect(one).toEqual(known[0]);
    expect([...must(known[0], "known slots").values()]).not.toContain(dead.peer);
    for (const machine of alive()) expect(machine.logged("repair-refused")).toEqual([]);
  });
});
