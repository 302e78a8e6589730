import { join } from "node:path";
import { afterEach, expect, it, vi } from "vitest";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree } from "../support/source-tree.ts";
import { type Machine, Swarm } from "../support/swarm.ts";

// Members that came after the owner wrote its map for the last time: they never heard of it, and are all there is to take a
// dead holder's place.

vi.setConfig({ testTimeout: 400_000 });

const scratch = scratchDirectories();
let swarm: Swarm;
let owner: Machine;
let source: string;

afterEach(() => swarm?.stop());

async function begin(): Promise<void> {
  const upkeep = parseUpkeep({
    ...{ uplink: "10Gbit/s", budget: "100%", night: "100%" },
    grace: ["1s", "5m", "10m", "15m"],
    backOff: { step: "2m", urgentStep: "1m" },
    ...{ lostAfter: "12h", storm: { frozen: "10m" }, assessEvery: "2m" },
  });
  swarm = await Swarm.create({ sites: ["own", "a", "b", "c", "d"], upkeep });
  owner = swarm.member(0);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng);
  await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 } }));
  await swarm.clock.advance(10 * MINUTE_MS);
}

async function newcomer(site: string, via: Machine): Promise<Machine> {
  const machine = swarm.newMachine(`late ${site}`, site);
  await machine.join(via);
  swarm.members.push(machine);
  await machine.start();
  await swarm.settle();
  return machine;
}

const alive = (): Machine[] => swarm.members.filter((machine) => machine.isRunning);

const ownerId = () => owner.identity.keys.owner;

async function slotsOf(machine: Machine): Promise<Set<unknown>> {
  const maps = await machine.node.heirship.book.maps(ownerId());
  return new Set(
    maps.flatMap(({ now }) =>
      [...now.classes.values()].flatMap(({ rows }) =>
        rows.flatMap((row) => row.flatMap(({ slots }) => slots.map(({ peer }) => peer))),
      ),
    ),
  );
}

function stuck(): string[] {
  return alive().flatMap((machine) => machine.node.heirship.heirs.status().stuck.map(({ why }) => why));
}

async function losesAHolderThat(dies: Machine, late: Machine): Promise<void> {
  await swarm.clock.advance(HOUR_MS);
  dies.crash();
  await swarm.clock.advance(3 * HOUR_MS);
  expect(stuck()).toEqual([]);
  for (const machine of alive().filter((one) => one !== owner)) {
    const slots = await slotsOf(machine);
    expect(slots).not.toContain(dies.peer);
    expect(slots).toContain(late.peer);
  }
}

it("one who came just before the owner died takes a dead holder's place, though it never saw the map", async () => {
  await begin();
  const late = await newcomer("e", owner);
  owner.crash();
  await losesAHolderThat(swarm.member(4), late);
});

it("so does one who came after the map of a life that a recovery ended; nothing stays stuck", async () => {
  await begin();
  const late = await newcomer("e", owner);
  owner.crash();
  const fresh = swarm.newMachine("fresh", "own");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(1)));
  owner = fresh;
  await losesAHolderThat(swarm.member(4), late);
  const { census } = fresh.node.repository.repair.standing();
  expect(census).toMatchObject({ belowPolicy: 0, stuck: { shards: 0 } });
  const target = scratch();
  const { report } = await swarm.clock.during(fresh.restore(target));
  expect(report.problems).toEqual([]);
  await expectSameTree(source, target + source);
});

it("one who was away when the last map of such a life was written hears of it from the recovered owner", async () => {
  await begin();
  const late = await newcomer("e", owner);
  const away = swarm.member(3);
  away.crash();
  // The owner puts the newcomer in its place, and no other holder can tell it so later.
  await swarm.clock.advance(3 * HOUR_MS);
  expect(await slotsOf(owner)).toContain(late.peer);
  expect(await slotsOf(owner)).not.toContain(away.peer);
  owner.crash();
  const fresh = swarm.newMachine("fresh", "own");
  await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(1)));
  owner = fresh;
  await away.start();
  await swarm.settle();
  // Nobody is left for the newcomer's shards but the one that was away.
  await losesAHolderThat(late, away);
});
