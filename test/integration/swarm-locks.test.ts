import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { must } from "../../src/base/assert.ts";
import { equalBytes } from "../../src/base/bytes.ts";
import type { SegmentId } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import type { SnapshotEntry } from "../../src/catalog/index.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { lockTag } from "../../src/locks/index.ts";
import { dataRequest } from "../../src/wire/data.ts";
import { headBody } from "../../src/wire/head.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { recoverOnto } from "../support/recover.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildPlainTree, put } from "../support/source-tree.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

// Locked snapshots in a whole swarm: what their holders keep, and what the owner says of it.

vi.setConfig({ testTimeout: 400_000 });

const scratch = scratchDirectories();
const MONTH_MS = 30 * DAY_MS;
let swarm: Swarm;
let owner: Machine;
let source: string;

afterEach(() => swarm?.stop());

async function begin(): Promise<void> {
  swarm = await Swarm.create({ sites: NINE_AT_THREE });
  owner = swarm.member(1);
  source = buildPlainTree(join(scratch(), "src"), swarm.rng, 12);
}

async function lockedSnapshot(of: Machine = owner): Promise<void> {
  await swarm.clock.during(of.snapshot([source], { lockMs: MONTH_MS, profile: { k: 2, m: 2 } }));
  await swarm.clock.advance(3 * MINUTE_MS);
}

async function newest(of: Machine = owner) {
  return must((await of.node.repository.snapshots()).at(-1), "snapshot");
}

/** Of the newest snapshot: every shard that the map places, with how long its holder still keeps it. */
async function locksOf(
  of: Machine = owner,
  snapshot?: SnapshotEntry,
): Promise<{ segment: SegmentId; at: Machine; leftMs: number }[]> {
  const { catalog, maps, trees } = of.node.repository;
  const manifest = await trees.manifest(snapshot ?? (await newest(of)));
  return manifest.needs.flatMap(([incarnation, list]) =>
    list.flatMap(([first, count]) =>
      Array.from({ length: count }, (_, at) => first + at).flatMap((number) => {
        const ref = { incarnation, number };
        const segment = catalog.segmentId(ref);
        return maps.slots(ref, catalog.segments.orUnknown(ref).class).map((peer) => {
          const at = swarm.byPeer(must(peer, "holder"));
          return { segment, at, leftMs: at.isRunning ? at.node.locks.lockedForMs(segment) : 0 };
        });
      }),
    ),
  );
}

const standing = async (of: Machine = owner) => of.node.repository.locks.standingOf(await newest(of));

describe("a locked snapshot", () => {
  it("has every segment that it needs kept by all who hold it, reused ones too, and says so then", async () => {
    await begin();
    await lockedSnapshot();
    const locks = await locksOf();
    expect(locks.length).toBeGreaterThan(8);
    expect(locks.every(({ leftMs }) => leftMs > MONTH_MS - HOUR_MS)).toBe(true);
    expect(await standing()).toMatchObject({
      state: "locked",
      holders: new Set(locks.map(({ at }) => at)).size,
    });
    await swarm.clock.jump(DAY_MS);
    const before = new Set(locks.map(({ segment }) => segment.number));
    await lockedSnapshot();
    const again = await locksOf();
    expect(again.filter(({ segment }) => before.has(segment.number)).length).toBeGreaterThan(4);
    expect(again.every(({ leftMs }) => leftMs > MONTH_MS - HOUR_MS)).toBe(true);
    expect((await newest()).tags).toEqual([lockTag(MONTH_MS)]);
  });

  it("is locking while a holder is away, over a restart, and locked when it has acknowledged", async () => {
    await begin();
    await swarm.clock.during(owner.snapshot([source], { profile: { k: 2, m: 2 } }));
    const away = must((await locksOf())[0], "holder").at;
    await away.stop();
    await swarm.clock.during(owner.snapshot([source], { lockMs: MONTH_MS, profile: { k: 2, m: 2 } }));
    await swarm.clock.advance(3 * MINUTE_MS);
    const locking = await standing();
    expect(locking?.state).toBe("locking");
    await owner.stop();
    await owner.start();
    await swarm.clock.advance(3 * MINUTE_MS);
    expect(await standing()).toEqual(locking);
    await away.start();
    await swarm.settle();
    await swarm.clock.advance(3 * MINUTE_MS);
    expect(await standing()).toMatchObject({ state: "locked" });
    expect((await locksOf()).every(({ leftMs }) => leftMs > 0)).toBe(true);
  });

  it("stays locked at its holders whatever a clock set forward ten years says", async () => {
    await begin();
    await lockedSnapshot();
    const holder = must((await locksOf())[0], "holder").at;
    await holder.stop();
    holder.clockOffsetMs = 3650 * DAY_MS;
    await holder.start();
    owner.clockOffsetMs = 3650 * DAY_MS;
    await owner.stop();
    await owner.start();
    await swarm.clock.advance(10 * MINUTE_MS);
    expect((await locksOf()).every(({ leftMs }) => leftMs > MONTH_MS - 2 * HOUR_MS)).toBe(true);
  });
});

describe("a thief of the owner's key", () => {
  /** Heads that list junk alone, of the next epochs, one a day, to everybody. */
  async function signEmptyHeads(of: Machine, days: number): Promise<void> {
    const { catalog } = of.node.repository;
    const before = await catalog.snapshots();
    await catalog.store.write(
      before.flatMap(({ sequence }) => catalog.removeSnapshotOps(sequence)),
      { sync: true },
    );
    await catalog.update({ runs: [], snapshotPages: [] });
    await swarm.clock.during(of.snapshot([put(scratch(), "junk", "x")]));
    const { signer } = of.identity.keys;
    const head = must(catalog.head, "head");
    for (let day = 1; day <= days; day++) {
      const { type, swarm: id, incarnation } = head;
      const body = headBody.encode({ ...headBody.decode(head.body), timeMs: day });
      const forged = signStatement({ type, swarm: id, incarnation, epoch: head.epoch + day, body }, signer);
      const request = dataRequest.encode({ t: "keep", v: 1, records: [encodeSigned(forged)] });
      for (const machine of swarm.members)
        if (machine !== of)
          await machine.handlers.get("data")?.(of.peer, { head: request, body: new Uint8Array(0) });
      await swarm.clock.jump(DAY_MS);
    }
  }

  it("who signs empty heads for 95 days takes no locked snapshot off the list, nor out of reach", async () => {
    await begin();
    await swarm.clock.during(owner.snapshot([source], { lockMs: 13 * MONTH_MS, profile: { k: 2, m: 2 } }));
    await swarm.clock.advance(3 * MINUTE_MS);
    expect(await standing()).toMatchObject({ state: "locked" });
    const before = await newest();
    await signEmptyHeads(owner, 95);
    owner.crash();
    const fresh = swarm.newMachine("fresh", "a");
    await swarm.clock.during(recoverOnto(fresh, owner, swarm.member(5)));
    const listed = (await fresh.node.repository.snapshots()).find(({ id }) => equalBytes(id, before.id));
    const snapshot = must(listed, "locked snapshot");
    const target = scratch();
    const { report } = await swarm.clock.during(fresh.restore(target, { snapshot }));
    expect(report.problems).toEqual([]);
    await expectSameTree(source, target + source);
    await swarm.clock.advance(5 * MINUTE_MS);
    // The new home says how it is locked, without having it locked for any longer than it was.
    expect(fresh.node.repository.locks.standingOf(snapshot)).toMatchObject({ state: "locked" });
    const locks = await locksOf(fresh, snapshot);
    expect(Math.max(...locks.map(({ leftMs }) => leftMs))).toBeLessThan((13 * 30 - 94) * DAY_MS);
  });
});
