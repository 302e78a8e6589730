import { beforeEach, describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { incarnationOf } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { liveSpans, PaperHolder, shardOf, signLive } from "../../support/collecting.ts";
import { LIFE } from "../../support/repairs.ts";

const SECOND_LIFE = incarnationOf(new Uint8Array(16).fill(9));
const ALL = Array.from({ length: 100 }, (_, number) => number);
const omitting = (numbers: readonly number[], epoch: number) =>
  signLive([liveSpans(LIFE, 100, new Set(numbers))], epoch);

let holder: PaperHolder;

beforeEach(async () => {
  holder = new PaperHolder();
  holder.hold(ALL);
  await holder.round();
});

const held = () => ALL.filter((number) => holder.has(number)).length;

describe("what a live set omits", () => {
  it("is held for 48 hours, then lies in the trash for 14 days, then is gone; the rest stays", async () => {
    await holder.take(omitting([3, 4], 1));
    await holder.round();
    await holder.pass(47 * HOUR_MS);
    expect([holder.isTrash(3), holder.collector.status().waiting]).toEqual([false, 2]);
    await holder.pass(2 * HOUR_MS);
    expect([holder.isTrash(3), holder.has(3)]).toEqual([true, true]);
    await holder.pass(13 * DAY_MS);
    expect(held()).toBe(100);
    await holder.pass(2 * DAY_MS);
    expect([holder.has(3), holder.has(4), held()]).toEqual([false, false, 98]);
    expect(holder.collector.status().deleted).toEqual({ shards: 2, bytes: 200 });
    expect(holder.collector.isGivenUp(shardOf(3))).toBe(true);
    holder.certified = SECOND_LIFE;
    expect(holder.collector.isGivenUp(shardOf(3))).toBe(true);
    expect(holder.collector.isGivenUp(shardOf(5))).toBe(false);
  });

  it("is kept alive while it waits and while the brake holds it, and no longer when it is in the trash", async () => {
    const leaving = () => ALL.filter((number) => holder.collector.isLeaving(shardOf(number))).length;
    await holder.take(omitting(ALL.slice(0, 30), 1));
    await holder.round();
    await holder.pass(47 * HOUR_MS);
    expect(leaving()).toBe(0);
    await holder.pass(2 * HOUR_MS);
    expect([leaving(), held()]).toEqual([20, 100]);
    await holder.pass(15 * DAY_MS);
    expect([leaving(), held()]).toEqual([20, 80]);
    holder.certified = SECOND_LIFE;
    expect(leaving()).toBe(0);
  });

  it("comes back with a later live set, waiting or in the trash, and its time begins anew", async () => {
    await holder.take(omitting([3], 1));
    await holder.pass(3 * DAY_MS);
    expect(holder.isTrash(3)).toBe(true);
    await holder.take(omitting([], 2));
    expect(holder.isTrash(3)).toBe(false);
    await holder.pass(30 * DAY_MS);
    expect(holder.has(3)).toBe(true);
    await holder.take(omitting([3], 3));
    await holder.round();
    await holder.pass(15 * DAY_MS);
    expect(holder.has(3)).toBe(true);
    await holder.pass(3 * DAY_MS);
    expect(holder.has(3)).toBe(false);
  });

  it("comes back with a put", async () => {
    await holder.take(omitting([3], 1));
    await holder.pass(3 * DAY_MS);
    await holder.collector.putAgain(shardOf(3));
    expect(holder.isTrash(3)).toBe(false);
    await holder.pass(15 * DAY_MS);
    expect(holder.has(3)).toBe(true);
  });

  it("stays while a lock holds or the copy is promised, and comes out of the trash for it", async () => {
    holder.locked.add(3);
    holder.promised.add(4);
    await holder.take(omitting([3, 4, 5], 1));
    await holder.pass(3 * DAY_MS);
    expect([3, 4, 5].map((number) => holder.isTrash(number))).toEqual([false, false, true]);
    holder.locked.add(5);
    await holder.pass(60 * DAY_MS);
    expect(held()).toBe(100);
  });

  it("is wanted again when the recovery key has certified another life: no thief's last word counts", async () => {
    await holder.take(omitting(ALL.slice(0, 20), 1));
    await holder.pass(3 * DAY_MS);
    expect(holder.collector.status().trash.shards).toBe(20);
    holder.certified = SECOND_LIFE;
    expect(holder.isTrash(3)).toBe(false);
    await holder.pass(60 * DAY_MS);
    expect([held(), holder.collector.status().trash.shards]).toEqual([100, 0]);
  });

  it("stays while this node is cut off, and after a fork", async () => {
    holder.mayAct = false;
    await holder.take(omitting([3], 1));
    await holder.pass(60 * DAY_MS);
    holder.mayAct = true;
    await holder.take(omitting([4], 2));
    await expect(holder.take(omitting([5], 2))).rejects.toThrow();
    await holder.pass(60 * DAY_MS);
    expect(held()).toBe(100);
  });
});

describe("a holder that was away for a year", () => {
  it("does not delete what a live set that it missed lists again", async () => {
    await holder.take(omitting([3, 4], 1));
    await holder.pass(2 * DAY_MS + 13.9 * DAY_MS);
    await holder.clock.advance(365 * DAY_MS);
    holder.restart();
    await holder.pass(DAY_MS);
    expect(held()).toBe(100);
    await holder.take(omitting([4], 2));
    await holder.pass(4 * DAY_MS);
    expect([holder.has(3), holder.has(4), holder.isTrash(3)]).toEqual([true, false, false]);
  });

  it("counts none of it: time passes while it runs", async () => {
    await holder.take(omitting([3], 1));
    await holder.pass(DAY_MS);
    await holder.clock.advance(365 * DAY_MS);
    holder.restart();
    await holder.pass(12 * HOUR_MS);
    expect(holder.isTrash(3)).toBe(false);
  });
});

describe("the brake", () => {
  it("lets a fifth go and keeps the rest until a second key", async () => {
    await holder.take(omitting(ALL.slice(0, 30), 1));
    await holder.pass(4 * DAY_MS);
    expect(holder.collector.status()).toMatchObject({
      trash: { shards: 20 },
      braked: [{ waitingBytes: 1000, removedBytes: 2000, baseBytes: 10_000 }],
    });
    holder.released = true;
    await holder.round();
    expect(holder.collector.status()).toMatchObject({ trash: { shards: 30 }, braked: [] });
  });

  it("says for how long what it keeps waits, and lets it go then: a first month needs nobody's word", async () => {
    await holder.pass(DAY_MS);
    holder.hold(Array.from({ length: 400 }, (_, at) => 1000 + at));
    await holder.take(omitting(ALL.slice(0, 30), 1));
    await holder.pass(4 * DAY_MS);
    const [braked] = holder.collector.status().braked;
    const { roomInMs = 0, waitingBytes } = must(braked, "braked");
    expect(waitingBytes).toBe(1000);
    // On the 32nd day the window begins with the second one, on which 500 were held.
    expect(roomInMs).toBeGreaterThan(25 * DAY_MS);
    expect(roomInMs).toBeLessThan(28 * DAY_MS);
    await holder.pass(roomInMs - 2 * DAY_MS);
    expect(holder.collector.status().braked).toHaveLength(1);
    await holder.pass(3 * DAY_MS);
    expect(holder.collector.status().braked).toEqual([]);
  });

  it("sums what goes little by little, over restarts: ten times 19 % is no way round", async () => {
    for (let day = 0; day < 20; day++) {
      await holder.take(omitting(ALL.slice(0, Math.min(95, 19 * Math.floor(day / 2 + 1))), day + 1));
      await holder.pass(DAY_MS);
      holder.restart();
      expect(held() - holder.collector.status().trash.shards).toBeGreaterThanOrEqual(80);
    }
    await holder.pass(DAY_MS);
    expect(held()).toBeGreaterThanOrEqual(80);
  });

  it("measures by what was held before: junk that is added first makes no room", async () => {
    await holder.pass(DAY_MS);
    holder.hold(Array.from({ length: 200 }, (_, at) => 1000 + at));
    await holder.take(omitting(ALL, 1));
    await holder.pass(25 * DAY_MS);
    expect(held()).toBe(80);
  });

  it("opens again as its window slides", async () => {
    await holder.take(omitting(ALL.slice(0, 40), 1));
    await holder.pass(31 * DAY_MS);
    expect(held()).toBe(80);
    await holder.pass(20 * DAY_MS);
    expect(held()).toBeLessThan(80);
    expect(held()).toBeGreaterThanOrEqual(60);
  });
});

describe("a holder of many shards", () => {
  it("rests nine times as long as a round took, however often live sets come in, and misses none", async () => {
    holder.listMs = MINUTE_MS;
    holder.lists = 0;
    const minutes = async (count: number, each: () => void = () => {}): Promise<void> => {
      for (let minute = 0; minute < count; minute++) {
        each();
        await holder.clock.advance(MINUTE_MS);
      }
    };
    holder.collector.start();
    await minutes(120, () => holder.collector.wake());
    // Two lists make a round.
    expect(holder.lists).toBeGreaterThan(8);
    expect(holder.lists).toBeLessThanOrEqual(14);
    await minutes(60);
    holder.collector.wake();
    await minutes(3);
    // That round has looked at all of them; what comes in now is looked at after the rest, and not six hours later.
    await holder.take(omitting([3], 1));
    holder.collector.wake();
    await minutes(60);
    expect(holder.collector.status().waiting).toBe(1);
    await holder.collector.stop();
  });
});
