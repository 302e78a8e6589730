import { expect, it } from "vitest";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import type { SegmentRecord, SegmentRef } from "../../../src/catalog/index.ts";
import { Leaving, type LeavingComponents } from "../../../src/node/leaving.ts";
import { UPKEEP_SETTINGS } from "../../../src/upkeep/index.ts";
import { KEYS, LIFE, NOW_MS } from "../../support/repairs.ts";
import { MemoryStore } from "../membership/world.ts";

const SHARD = 1000;
const SHARDS = 6;

/** An owner with so many segments, of which some were given up; others have left its table. */
function world(segments: number) {
  const store = new MemoryStore();
  let nowMs = NOW_MS;
  const table = new Map<number, SegmentRecord>();
  for (let number = 0; number < segments; number++)
    table.set(number, {
      ...{ class: 0, k: 3, slots: Array.from({ length: SHARDS }, () => null) },
      ...{ shardBytes: SHARD, spooled: false, createdMs: NOW_MS },
    });
  let state: LeavingComponents["live"]["state"];
  const components: LeavingComponents = {
    catalog: {
      ...{ store, owner: KEYS.owner },
      segments: {
        get: ({ number }: SegmentRef) => table.get(number),
        async *all() {
          for (const [number, record] of table) yield [{ incarnation: 0, number }, record] as const;
        },
      },
    },
    live: {
      get state() {
        return state;
      },
    },
    clock: { wallMs: () => nowMs },
  };
  const leaving = new Leaving(components, UPKEEP_SETTINGS);
  let epoch = 0;
  return {
    leaving,
    /** As a prune a day and more after the one before. */
    async giveUp(first: number, count: number) {
      const before = state;
      if (before !== undefined) {
        const refs = before.givenUp.flatMap(([, runs]) =>
          runs.flatMap(([from, many]) =>
            Array.from({ length: many }, (_, i) => ({ incarnation: 0, number: from + i })),
          ),
        );
        await store.write(leaving.noteOps(refs, before.timeMs), { sync: true });
        for (const { number } of refs) table.delete(number);
      }
      state = {
        ...{
          incarnation: LIFE,
          epoch: ++epoch,
          timeMs: nowMs,
          record: new Uint8Array(),
          list: new Uint8Array(),
        },
        ...{ peers: [], givenUp: [[0, [[first, count]]]], freedBytes: 0 },
      };
    },
    pass(ms: number) {
      nowMs += ms;
    },
  };
}

it("what is given up takes the quota until holders have deleted it, over later prunes, and no longer", async () => {
  const { leaving, giveUp, pass } = world(10);
  const all = 10 * SHARD * SHARDS;
  expect([await leaving.bytes(), await leaving.quotaUsedBytes()]).toEqual([0, all]);
  await giveUp(0, 2);
  expect([await leaving.bytes(), await leaving.quotaUsedBytes()]).toEqual([2 * SHARD * SHARDS, all]);
  pass(2 * DAY_MS);
  await giveUp(2, 1);
  expect([await leaving.bytes(), await leaving.quotaUsedBytes()]).toEqual([3 * SHARD * SHARDS, all]);
  pass(14 * DAY_MS + 13 * HOUR_MS);
  expect(await leaving.bytes()).toBe(SHARD * SHARDS);
  pass(2 * DAY_MS);
  expect([await leaving.bytes(), await leaving.quotaUsedBytes()]).toEqual([0, 7 * SHARD * SHARDS]);
});

it("prunes of a year are few entries", async () => {
  const { leaving, giveUp, pass } = world(2000);
  for (let day = 0; day < 365; day++) {
    await giveUp(day * 5, 5);
    pass(DAY_MS);
  }
  // Those that are up to 16 days old.
  expect(await leaving.bytes()).toBe(16 * 5 * SHARD * SHARDS);
});
