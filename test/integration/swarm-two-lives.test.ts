import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import type { Incarnation, OwnerId } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { beginRecovery, recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
let swarm: Swarm;
afterEach(async () => swarm?.stop());

/** `index:bytes` of every shard that anybody holds of one life of an owner. */
async function shardsOf(owner: OwnerId, life: Incarnation): Promise<string[]> {
  const found: string[] = [];
  for (const machine of swarm.members.filter((one) => one.isRunning)) {
    const { shards } = machine.node.ports;
    for (const { id, bytes } of await shards.list(undefined, 100_000)) {
      if (id.owner === owner && id.incarnation === life)
        found.push(`${machine.peer}/${id.number}/${id.index}/${bytes}`);
    }
  }
  return found.sort();
}

const idsOf = async (machine: Machine): Promise<string[]> =>
  (await machine.node.repository.snapshots()).map(({ id }) => toHex(id));

async function expectRestores(machine: Machine, asked: string, source: string): Promise<void> {
  const target = scratch();
  const snapshot = await machine.node.repository.find(asked);
  const { report } = await swarm.clock.during(machine.restore(target, { snapshot }));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
}

const cutOff = (machine: Machine, from: readonly Machine[]): void => {
  for (const other of from) if (other !== machine) swarm.networks.cut(machine.peer, other.peer);
};
const healAll = (machine: Machine): void => {
  for (const other of swarm.members) if (other !== machine) swarm.networks.heal(machine.peer, other.peer);
};

it("two lives of one owner that both run for days mix nothing, and lose nothing acknowledged before the fence", async () => {
  swarm = await Swarm.create({ sites: ["a", "a", "b", "b", "c", "c", "d"] });
  const { clock } = swarm;
  const [old, lagging] = [swarm.member(1), swarm.member(3)];
  const root = scratch();
  const common = buildPlainTree(join(root, "common"), swarm.rng, 20);
  await clock.during(old.snapshot([common]));
  const [first] = await idsOf(old);
  // The old machine and one member are cut off from all the rest, which thinks them dead.
  const rest = swarm.members.filter((one) => one !== old && one !== lagging);
  cutOff(old, rest);
  cutOff(lagging, rest);
  const fresh = swarm.newMachine("fresh", "a");
  await clock.during(recoverOnto(fresh, old, swarm.member(5)));
  cutOff(fresh, [old, lagging]);
  const { owner } = old.identity.keys;
  const oldLife = old.node.repository.catalog.incarnation;
  const newLife = fresh.node.repository.catalog.incarnation;
  const [oldTree, newTree] = [join(root, "old"), join(root, "new")];
  for (let day = 1; day <= 3; day++) {
    put(root, `old/day${day}`, swarm.rng.bytes(30_000));
    put(root, `new/day${day}`, swarm.rng.bytes(30_000));
    await clock.during(old.snapshot([common, oldTree], { wait: "queued" }));
    await clock.during(fresh.snapshot([common, newTree]));
    await clock.jump(DAY_MS);
  }
  const acknowledged = await shardsOf(owner, oldLife);
  const oldIds = await idsOf(old);
  const newIds = await idsOf(fresh);
  expect(newIds[0]).toBe(first);
  expect(newIds.filter((id) => oldIds.includes(id))).toEqual([first]);
  expect(old.node.standing.state).toBe("member");

  healAll(old);
  healAll(lagging);
  await swarm.settle();
  await clock.advance(MINUTE_MS);
  expect(old.node.standing).toMatchObject({ state: "fenced", by: fresh.peer });
  expect(old.logged("fenced")).toHaveLength(1);
  await expect(clock.during(old.snapshot([common]))).rejects.toMatchObject({ code: "FENCED" });
  await clock.during(fresh.snapshot([common, newTree]));
  await clock.advance(HOUR_MS / 2);

  // What anybody held of the old life is there, byte for byte, and nothing was added, nor its spool emptied into it.
  expect(await shardsOf(owner, oldLife)).toEqual(acknowledged);
  expect(old.node.repository.spool.segments).toBeGreaterThan(0);
  expect((await shardsOf(owner, newLife)).length).toBeGreaterThan(0);
  expect((await idsOf(fresh)).slice(0, newIds.length)).toEqual(newIds);
  expect(await idsOf(old)).toEqual(oldIds);
  await expectRestores(fresh, must(first, "first"), common);
  await expectRestores(fresh, "latest", join(root, "new"));
  // The head that the lagging member acknowledged is kept, and can be recovered from.
  const looking = swarm.newMachine("looking", "a");
  const { pool } = await clock.during(beginRecovery(looking, old.identity.recovery, lagging));
  const lives = new Set(pool.heads.map(({ signed }) => signed.incarnation));
  expect(lives).toEqual(new Set([oldLife, newLife]));
  expect(must(pool.heads[0], "best head").signed.incarnation).toBe(newLife);
});

it("a node that was removed while it was off learns it within a minute, keeps its shards and serves recovery keys", async () => {
  swarm = await Swarm.create({ sites: ["a", "b", "c", "c"] });
  const { clock } = swarm;
  const [founder, owner, removed] = [swarm.member(0), swarm.member(1), swarm.member(2)];
  await clock.during(owner.snapshot([buildPlainTree(scratch(), swarm.rng, 10)]));
  const held = (await removed.node.ports.shards.list(undefined, 1000)).length;
  expect(held).toBeGreaterThan(0);
  await removed.stop();
  await founder.node.administration.remove(removed.peer, { reason: "sold", barsOwner: false });
  await clock.jump(DAY_MS + HOUR_MS);
  await clock.advance(MINUTE_MS);
  expect(founder.node.roster.roleOf(removed.peer)).toBe("former");
  await removed.start();
  await swarm.settle();
  // By its own clock the removal waits for a day; that everybody acts on it already is what it goes by.
  await clock.advance(MINUTE_MS);
  expect(removed.node.standing).toMatchObject({ state: "removed" });
  expect(removed.logged("fenced").at(-1)?.fields).toMatchObject({ state: "removed", peer: removed.peer });
  const own = buildPlainTree(scratch(), swarm.rng, 3);
  await expect(clock.during(removed.snapshot([own]))).rejects.toMatchObject({ code: "REMOVED" });
  expect((await removed.node.ports.shards.list(undefined, 1000)).length).toBe(held);
  const onto = swarm.newMachine("fresh", "a");
  const { recovery } = await clock.during(beginRecovery(onto, owner.identity.recovery, removed));
  expect(recovery.slot.owner).toBe(owner.identity.keys.owner);
  // The same after a restart.
  await removed.stop();
  cutOff(removed, swarm.members);
  await removed.start();
  expect(removed.node.standing).toMatchObject({ state: "removed" });
  healAll(removed);
  await swarm.settle();
  await clock.advance(MINUTE_MS);
  expect(removed.node.standing).toMatchObject({ state: "removed" });
});
