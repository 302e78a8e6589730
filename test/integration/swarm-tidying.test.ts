import { expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { readTrailEntry, schedulerOf, tidierOf } from "../../src/node/index.ts";
import { clockEvidence } from "../../src/node/peers-clock.ts";
import { whyClockHolds } from "../../src/node/tidying.ts";
import { parseUpkeep } from "../../src/upkeep/index.ts";
import { FakeWatcher } from "../support/fake-watcher.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { noise } from "../support/segments.ts";
import { put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const UPKEEP = parseUpkeep({ tidying: { forgetEvery: "1h", forgetPause: "1m", pruneEvery: "1h" } });
const POLICY = "version: 1\nsets:\n  shop: { paths: [/srv], keep: { last: 1 } }\n";

async function saved(swarm: Swarm, owner: Machine, times: number): Promise<void> {
  const root = scratch();
  for (let time = 0; time < times; time++) {
    put(root, "changing", Buffer.from(noise(120_000, time)));
    await swarm.clock.during(owner.snapshot([root], { tags: ["set:shop"] }));
  }
}

/** The owner's scheduler and what tidies by its policy, as the daemon has them. */
async function tidying(owner: Machine) {
  const scheduler = await schedulerOf(owner.node, {
    file: { read: async () => POLICY, write: async () => {} },
    hooks: { run: async () => ({ ok: true }) },
    watcher: new FakeWatcher(),
  });
  const tidier = tidierOf(owner.node, scheduler, UPKEEP);
  await scheduler.reload();
  return { tidier, last: () => tidier.standing(scheduler.standing) };
}

const ids = async (owner: Machine): Promise<string[]> =>
  (await owner.node.repository.snapshots()).map(({ id }) => toHex(id));

it("forgets and prunes with nobody asking, keeps the newest three that are safe and what is pinned, and says so in the trail", async () => {
  const swarm = await Swarm.create({ sites: NINE_AT_THREE });
  const owner = swarm.member(1);
  await saved(swarm, owner, 6);
  const { repository } = owner.node;
  const before = await ids(owner);
  await repository.pin({ snapshot: must(before[1], "second") }, true);
  const { tidier, last } = await tidying(owner);
  tidier.start();
  await swarm.clock.advance(5 * 60_000);
  expect(await ids(owner)).toEqual([before[1], ...before.slice(3)]);
  expect(last()).toMatchObject({
    forget: { last: { failures: 0, kept: 4, forgotten: 2 } },
    prune: { last: { failures: 0 } },
  });
  expect(must(last()?.prune.last, "prune").segments).toBeGreaterThan(0);
  const entries = (await repository.trail.entries())
    .map(({ bytes }) => readTrailEntry(bytes, owner.node.roster.swarm).body)
    .filter(({ what }) => what === "forget");
  expect(entries.map(({ details }) => Object.fromEntries(details))).toEqual(
    [before[0], before[2]].map((snapshot) => ({ snapshot, by: "policy", set: "shop" })),
  );
  await swarm.clock.during(tidier.stop());
  await swarm.stop();
}, 300_000);

it.each([2 * HOUR_MS, -2 * HOUR_MS, 3650 * DAY_MS])(
  "a clock that was set by %i ms since the newest snapshot forgets nothing",
  async (offMs) => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(1);
    await saved(swarm, owner, 5);
    const { catalog } = owner.node.repository;
    const nowMs = owner.node.ports.clock.wallMs();
    const evidence = must(await clockEvidence(catalog), "receipts");
    expect(whyClockHolds(evidence, nowMs)).toBeUndefined();
    await owner.stop();
    owner.clockOffsetMs = offMs;
    await owner.start();
    await swarm.settle();
    if (Math.abs(offMs) < DAY_MS) await saved(swarm, owner, 12);
    const before = await ids(owner);
    const { tidier, last } = await tidying(owner);
    tidier.start();
    await swarm.clock.advance(5 * 60_000);
    expect(await ids(owner)).toEqual(before);
    expect(last()).toMatchObject({
      forget: { last: { failures: 0, forgotten: 0, held: expect.stringContaining("clock") } },
    });
    await swarm.clock.during(tidier.stop());
    await swarm.stop();
  },
  300_000,
);
