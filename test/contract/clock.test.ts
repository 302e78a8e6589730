import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../sim/clock.ts";
import { SeededRng } from "../../sim/rng.ts";
import { systemClock, systemRng } from "../../src/adapters/system.ts";
import { type Rng, randomInt } from "../../src/ports/rng.ts";
import { clockContract } from "./clock.ts";

clockContract("system", () => ({ clock: systemClock, pass: (ms) => systemClock.sleep(ms) }));
clockContract("virtual", () => {
  const clock = new VirtualClock();
  return { clock, pass: (ms) => clock.advance(ms) };
});

describe("VirtualClock", () => {
  it("stands still while nobody advances it, and crosses years in no time", async () => {
    const clock = new VirtualClock(0);
    let woken = 0;
    const every = (async () => {
      for (; woken < 365; woken++) await clock.sleep(86_400_000);
    })();
    await clock.advance(86_400_000 * 364);
    expect(woken).toBe(364);
    await clock.until(every, 86_400_000);
    expect(clock.wallMs()).toBe(86_400_000 * 365);
    await expect(clock.until(new Promise(() => {}), 1_000)).rejects.toThrow("1000 ms");
  });

  it("wakes sleepers of one time in the order of going to sleep", async () => {
    const clock = new VirtualClock();
    const rng = new SeededRng(3);
    const woken: [number, number][] = [];
    for (let n = 0; n < 500; n++) {
      const ms = rng.below(20);
      void clock.sleep(ms).then(() => woken.push([ms, n]));
    }
    await clock.advance(20);
    expect(woken).toEqual([...woken].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
    expect(woken.length).toBe(500);
  });
});

describe.each<[string, () => Rng]>([
  ["system", () => systemRng],
  ["seeded", () => new SeededRng("seed")],
])("Rng: %s", (_, make) => {
  it("gives as many bytes as asked, all values, none twice in a row of draws", () => {
    const rng = make();
    for (const length of [0, 1, 3, 4, 5, 32, 1000]) expect(rng.bytes(length).length).toBe(length);
    expect(new Set(rng.bytes(20_000)).size).toBe(256);
    expect(new Set(Array.from({ length: 500 }, () => Buffer.from(rng.bytes(16)).toString("hex"))).size).toBe(
      500,
    );
  });

  it("floats are even over [0, 1)", () => {
    const rng = make();
    const counts = new Array<number>(10).fill(0);
    for (let n = 0; n < 20_000; n++) {
      const at = randomInt(rng, 10);
      counts[at] = (counts[at] ?? 0) + 1;
    }
    // 2,000 each, with a standard deviation of 42.
    for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(300);
  });
});

describe("SeededRng", () => {
  it("repeats itself, and a fork does not depend on what was drawn", () => {
    const [a, b] = [new SeededRng(7), new SeededRng("7")];
    expect(a.bytes(33)).toEqual(b.bytes(33));
    b.float();
    expect(a.fork("x").float()).toBe(b.fork("x").float());
    expect(a.fork("x").float()).not.toBe(a.fork("y").float());
    expect(Buffer.from(new SeededRng("golden").bytes(8)).toString("hex")).toMatchInlineSnapshot(
      `"565abd3c9ea68b8d"`,
    );
  });

  it("shuffles without losing any", () => {
    const items = Array.from({ length: 50 }, (_, n) => n);
    const shuffled = new SeededRng(1).shuffled(items);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items);
  });
});
