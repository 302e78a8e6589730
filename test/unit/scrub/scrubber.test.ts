import { describe, expect, it } from "vitest";
import { SeededRng } from "../../../sim/rng.ts";
import { shardKey } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import type { ScrubReport } from "../../../src/scrub/index.ts";
import { heldId, ScrubWorld } from "../../support/scrub-world.ts";

// What one round finds, what it leaves alone, and what it remembers over restarts.

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);

async function world(count: number): Promise<ScrubWorld> {
  const made = new ScrubWorld();
  await made.hold(numbers(count));
  return made;
}

describe("a round", () => {
  it("finds exactly what was flipped, cut, deleted and exchanged, and sets it aside", async () => {
    const w = await world(100);
    const rng = new SeededRng("damage");
    expect(w.data.flipBit(heldId(7), rng)).toBe(true);
    expect(w.data.truncate(heldId(20), 999)).toBe(true);
    expect(w.data.loseFile(heldId(33))).toBe(true);
    expect(w.data.swap(heldId(50), heldId(71))).toBe(true);
    w.data.unreadable.add(shardKey(heldId(99)));
    const scrubber = w.scrubber();
    const report = await w.scrubNow(scrubber);
    expect(report).toMatchObject({ scanned: 100, corrupt: 6, quarantined: 6, complete: true });
    expect(await w.setAside()).toEqual([
      [7, "wrong"],
      [20, "truncated"],
      [33, "missing"],
      [50, "wrong"],
      [71, "wrong"],
      [99, "unreadable"],
    ]);
    expect(sorted((await w.run(w.shards.list(undefined, 1000))).map(({ id }) => id.number))).toEqual(
      numbers(100).filter((n) => ![7, 20, 33, 50, 71, 99].includes(n)),
    );
    expect(w.logged("shard-quarantined").map(({ shard, kind }) => [shard, kind])).toContainEqual([
      shardKey(heldId(33)),
      "missing",
    ]);
    expect(w.logged("scrub-round")).toMatchObject([{ scanned: 100, corrupt: 6, quarantined: 6 }]);
    expect(await w.run(scrubber.waiting())).toBe(6);
    const again = await w.scrubNow(scrubber);
    expect(again).toMatchObject({ scanned: 94, corrupt: 0, quarantined: 0, complete: true });
  });

  it("drops what was kept aside once the shard is held again as it should be", async () => {
    const w = await world(5);
    w.data.flipBit(heldId(2), new SeededRng("x"));
    const scrubber = w.scrubber();
    await w.scrubNow(scrubber);
    expect(await w.run(scrubber.waiting())).toBe(1);
    await w.hold([2]);
    expect(await w.run(scrubber.waiting())).toBe(0);
    expect(await w.setAside()).toHaveLength(1);
    await w.scrubNow(scrubber);
    expect(await w.setAside()).toEqual([]);
    expect((await w.run(w.shards.list(undefined, 10))).length).toBe(5);
  });

  it("begins at another place on each node, and reads everything from there once", async () => {
    const first = new Set<number | undefined>();
    for (let seed = 0; seed < 6; seed++) {
      const w = await world(40);
      for (let n = 0; n < seed; n++) w.rng.float();
      const report = await w.scrubNow(w.scrubber());
      expect(report.scanned).toBe(40);
      expect(sorted(w.read)).toEqual(numbers(40));
      first.add(w.read[0]);
    }
    expect(first.size).toBeGreaterThan(2);
  });
});

describe("a disk that is not there", () => {
  it("stops the node from serving instead of condemning what is on it, and is noticed when it is back", async () => {
    const w = await world(50);
    const scrubber = w.scrubber();
    w.data.pulledOut = "not mounted";
    const report = await w.scrubNow(scrubber);
    expect(report).toMatchObject({ corrupt: 0, quarantined: 0, complete: false });
    expect(w.watch.state).toMatchObject({ state: "gone", reason: "not mounted" });
    expect(() => w.watch.requireServing()).toThrow();
    expect((await w.run(w.watch.space())).freeBytes).toBe(0);
    expect(await w.setAside()).toEqual([]);
    w.data.pulledOut = undefined;
    expect((await w.run(w.watch.look())).state).toBe("serving");
    expect(await w.scrubNow(scrubber)).toMatchObject({ scanned: 50, corrupt: 0 });
    expect(w.log.map(({ event }) => event).filter((event) => event.startsWith("shards-disk"))).toEqual([
      "shards-disk-gone",
      "shards-disk-back",
    ]);
  });

  it("is told by many shards that cannot be read at once; three of fifty are bad shards", async () => {
    const w = await world(50);
    for (const n of numbers(50)) if (n % 5 !== 0) w.data.unreadable.add(shardKey(heldId(n)));
    const scrubber = w.scrubber();
    expect(await w.scrubNow(scrubber)).toMatchObject({ quarantined: 0, complete: false });
    expect(w.watch.state.state).toBe("gone");
    expect((await w.run(w.watch.look())).state).toBe("gone");
    w.data.unreadable.clear();
    for (const n of [3, 4, 5]) w.data.unreadable.add(shardKey(heldId(n)));
    expect((await w.run(w.watch.look())).state).toBe("serving");
    expect(await w.scrubNow(scrubber)).toMatchObject({ quarantined: 3, complete: true });
  });

  it("is given up for lost by an operator: then everything on it is", async () => {
    const w = await world(10);
    w.data.pulledOut = "not mounted";
    await w.run(w.watch.look());
    await w.run(w.watch.accept());
    expect(w.watch.state.state).toBe("serving");
    expect(await w.scrubNow(w.scrubber())).toMatchObject({ scanned: 10, quarantined: 10 });
  });
});

describe("in the background", () => {
  const PERIOD = { periodMs: 10 * DAY_MS };

  it("goes on where it was after a restart, and holds the bound over many", async () => {
    const w = await world(60);
    let worstMs = 0;
    for (let day = 0; day < 40; day++) {
      const scrubber = w.scrubber(PERIOD);
      scrubber.start();
      await w.pass(14 * HOUR_MS);
      const { oldestUnverifiedMs } = await w.run(scrubber.status());
      worstMs = Math.max(worstMs, oldestUnverifiedMs);
      // Never less than is true, and not much more.
      expect(oldestUnverifiedMs).toBeGreaterThanOrEqual(w.oldestAgeMs() - 1000);
      expect(oldestUnverifiedMs).toBeLessThanOrEqual(w.oldestAgeMs() + DAY_MS);
      await w.run(scrubber.stop());
      // Every night it is off.
      await w.pass(10 * HOUR_MS);
    }
    expect(worstMs).toBeLessThanOrEqual(10 * DAY_MS);
    expect(worstMs).toBeGreaterThan(6 * DAY_MS);
    const rounds = w.logged("scrub-round");
    expect(rounds.length).toBeGreaterThanOrEqual(4);
    for (const round of rounds) expect(round).toMatchObject({ scanned: 60, corrupt: 0 });
    // Each round read each shard once: nothing was read anew because of a restart.
    expect(w.read.length).toBeLessThanOrEqual((rounds.length + 1) * 60);
  });

  it("looks at a sample at once after a stop that was none, the newest included", async () => {
    const w = await world(300);
    const before = w.scrubber(PERIOD);
    before.start();
    await w.pass(HOUR_MS);
    w.crash();
    await w.pass(HOUR_MS);
    await w.hold([1000], w.clock.wallMs());
    w.data.flipBit(heldId(1000), new SeededRng("x"));
    w.read.length = 0;
    const scrubber = w.scrubber(PERIOD);
    scrubber.start();
    await w.pass(1000);
    expect(w.logged("scrub-sample")).toMatchObject([{ corrupt: 1, quarantined: 1 }]);
    expect(w.logged("scrub-sample")[0]?.["scanned"]).toBeGreaterThanOrEqual(48);
    expect(await w.setAside()).toEqual([[1000, "wrong"]]);
    await w.run(scrubber.stop());
    // In order this time.
    const next = w.scrubber(PERIOD);
    next.start();
    await w.pass(1000);
    expect(w.logged("scrub-sample")).toHaveLength(1);
    await w.run(next.stop());
  });

  it("pauses, over a restart too, and resumes; a round that is asked for runs all the same", async () => {
    const w = await world(20);
    const scrubber = w.scrubber(PERIOD);
    await w.run(scrubber.pause());
    scrubber.start();
    await w.pass(3 * DAY_MS);
    expect(w.read).toEqual([]);
    expect((await w.scrubNow(scrubber)).scanned).toBe(20);
    await w.run(scrubber.stop());
    const next = w.scrubber(PERIOD);
    next.start();
    await w.pass(8 * DAY_MS);
    expect(w.read.length).toBe(20);
    expect(await w.run(next.status())).toMatchObject({ paused: true });
    await w.run(next.resume());
    await w.pass(8 * DAY_MS);
    expect(w.read.length).toBeGreaterThan(20);
    await w.run(next.stop());
  });

  it("a round that was interrupted goes on, and no byte's turn comes later for it", async () => {
    const w = await world(80);
    const scrubber = w.scrubber(PERIOD);
    await w.scrubNow(scrubber);
    await w.pass(DAY_MS);
    const stop = new AbortController();
    const reason = new Error("enough");
    const half: Promise<ScrubReport> = scrubber.now(stop.signal, ({ scanned }) => {
      if (scanned === 30) stop.abort(reason);
    });
    await expect(w.run(half)).rejects.toBe(reason);
    // What the second round did not reach was read a day ago.
    expect((await w.run(scrubber.status())).oldestUnverifiedMs).toBeGreaterThanOrEqual(
      w.oldestAgeMs() - 1000,
    );
    expect(w.oldestAgeMs()).toBeGreaterThanOrEqual(DAY_MS);
    const seen = new Set(w.read.slice(80));
    expect(seen.size).toBe(30);
    scrubber.start();
    await w.pass(9 * DAY_MS);
    expect(new Set(w.read.slice(80)).size).toBe(80);
    await w.run(scrubber.stop());
  });
});
