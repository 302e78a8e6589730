import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { MINUTE_MS } from "../../src/base/units.ts";
import type { MetaOp } from "../../src/ports/index.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// A home that is started from an older image of its disk, with segments in its spool.

const scratch = scratchDirectories();

/** Shards of this owner at all other machines. */
async function shardsOf(swarm: Swarm, owner: Machine): Promise<number> {
  let count = 0;
  for (const machine of swarm.members) {
    if (machine === owner || !machine.isRunning) continue;
    const held = await machine.node.ports.shards.list(undefined, 10_000);
    count += held.filter(({ id }) => id.owner === owner.identity.keys.owner).length;
  }
  return count;
}

interface Image {
  readonly meta: readonly MetaOp[];
  readonly spool: readonly (readonly [name: string, bytes: Uint8Array])[];
}

/** Of a machine that is off. */
async function imageOf({ metaDisk, spoolDisk }: Machine): Promise<Image> {
  const meta: MetaOp[] = [];
  for await (const [key, value] of metaDisk.open().scan({}))
    meta.push({ type: "put", key: key.slice(), value: value.slice() });
  const files = spoolDisk.open();
  const spool: [string, Uint8Array][] = [];
  for (const { name } of await files.list()) spool.push([name, must(await files.get(name), name)]);
  return { meta, spool };
}

async function rollBack({ metaDisk, spoolDisk }: Machine, { meta, spool }: Image): Promise<void> {
  metaDisk.wipe();
  await metaDisk.open().write(meta, { sync: true });
  spoolDisk.wipe();
  for (const [name, bytes] of spool) await spoolDisk.open().put(name, bytes);
}

it("places nothing from its spool while its pool has seen a newer state, and goes on once that is over", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: "rolled back" });
  const owner = swarm.member(0);
  const others = swarm.members.slice(1);
  const save = (name: string) =>
    swarm.clock.during(owner.snapshot([put(scratch(), name, swarm.rng.bytes(30_000))], { wait: "queued" }));
  await save("first");
  for (const machine of others) swarm.networks.cut(owner.peer, machine.peer);
  await swarm.settle();
  await save("spooled");
  expect(owner.node.repository.spool.segments).toBeGreaterThan(0);
  await owner.stop();
  const image = await imageOf(owner);

  // Life goes on: what was spooled is placed, and more is saved.
  for (const machine of others) swarm.networks.heal(owner.peer, machine.peer);
  await owner.start();
  await swarm.settle();
  await swarm.clock.advance(10 * MINUTE_MS);
  expect(owner.node.repository.spool.segments).toBe(0);
  await save("later");
  await owner.stop();
  const newest = await imageOf(owner);
  const held = await shardsOf(swarm, owner);

  await rollBack(owner, image);
  await owner.start();
  await swarm.settle();
  await swarm.clock.advance(30 * MINUTE_MS);
  expect(owner.logged("home-behind").length).toBeGreaterThan(0);
  expect(owner.node.repository.behind).toBeGreaterThan(0);
  expect(owner.node.repository.spool.segments).toBeGreaterThan(0);
  expect(await shardsOf(swarm, owner)).toBe(held);
  for (const machine of others) expect(machine.logged("shard-conflict")).toEqual([]);
  await expect(save("refused")).rejects.toMatchObject({ code: "HOME_BEHIND" });

  // The disk as it was: nobody has seen a newer state than this one.
  await owner.stop();
  await rollBack(owner, newest);
  await owner.start();
  await swarm.settle();
  await swarm.clock.advance(2 * MINUTE_MS);
  expect(owner.node.repository.behind).toBe(0);
  const again = await swarm.clock.during(owner.snapshot([put(scratch(), "again", swarm.rng.bytes(30_000))]));
  expect(again.protection.state).not.toBe("pending");
  await swarm.stop();
});

it("waits for what its pool says before it places what it has", async () => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: "asks first" });
  const owner = swarm.member(0);
  const others = swarm.members.slice(1);
  for (const machine of others) swarm.networks.cut(owner.peer, machine.peer);
  await swarm.settle();
  const file = put(scratch(), "file", swarm.rng.bytes(30_000));
  await swarm.clock.during(owner.snapshot([file], { wait: "queued" }));
  // They are back and take what they are given, but do not say what they have seen.
  for (const machine of others) {
    swarm.networks.heal(owner.peer, machine.peer);
    machine.lie = async ({ protocol, message, honest }) => {
      const isQuestion = protocol === "data" && dataRequest.decode(message.head).t === "records";
      return isQuestion ? new Promise<never>(() => {}) : honest();
    };
  }
  await swarm.settle();
  await swarm.clock.advance(MINUTE_MS);
  expect(await shardsOf(swarm, owner)).toBe(0);
  for (const machine of others) machine.lie = undefined;
  await swarm.clock.advance(10 * MINUTE_MS);
  expect(owner.node.repository.spool.segments).toBe(0);
  expect(await shardsOf(swarm, owner)).toBeGreaterThan(0);
  await swarm.stop();
});

it.each([1, 3])("that saved %i times before it met anybody finds out when it does", async (times) => {
  const swarm = await Swarm.create({ sites: ["a", "b", "c"], seed: `alone ${times}` });
  const owner = swarm.member(0);
  const others = swarm.members.slice(1);
  const save = (name: string) =>
    swarm.clock.during(owner.snapshot([put(scratch(), name, swarm.rng.bytes(30_000))], { wait: "queued" }));
  await save("first");
  await owner.stop();
  const image = await imageOf(owner);
  await owner.start();
  await swarm.settle();
  await save("second");
  await swarm.clock.advance(10 * MINUTE_MS);
  expect(owner.node.repository.spool.segments).toBe(0);
  await owner.stop();
  const held = await shardsOf(swarm, owner);

  await rollBack(owner, image);
  for (const machine of others) swarm.networks.cut(owner.peer, machine.peer);
  await owner.start();
  for (let time = 0; time < times; time++) await save(`alone ${time}`);
  for (const machine of others) swarm.networks.heal(owner.peer, machine.peer);
  await swarm.settle();
  await swarm.clock.advance(30 * MINUTE_MS);
  expect(owner.node.repository.behind).toBeGreaterThan(0);
  expect(await shardsOf(swarm, owner)).toBe(held);
  for (const machine of others) {
    expect(machine.logged("shard-conflict")).toEqual([]);
    expect(machine.logged("head-fork")).toEqual([]);
  }
  // What it was told it does not forget where nobody can be asked.
  for (const machine of others) swarm.networks.cut(owner.peer, machine.peer);
  await swarm.settle();
  await expect(save("refused")).rejects.toMatchObject({ code: "HOME_BEHIND" });
  await swarm.stop();
});
