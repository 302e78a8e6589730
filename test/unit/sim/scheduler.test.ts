import { describe, expect, test } from "vitest";
import { raiseGuard } from "../../../sim/guard.ts";
import { NodeClock, WORLD_BEGINS_MS } from "../../../sim/node-clock.ts";
import { SimProcess } from "../../../sim/process.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { Scheduler } from "../../../sim/scheduler.ts";

describe.each(["at-once", "by-turns"] as const)("a scheduler that drains %s", (prefer) => {
  test("lets things happen by time, then by order of asking, whatever the order of asking was", async () => {
    const scheduler = await Scheduler.create({ prefer });
    expect(scheduler.drainKind).toBe(prefer);
    const rng = new SeededRng("order");
    const asked = Array.from({ length: 5000 }, (_, index) => ({ timeMs: rng.below(300), index }));
    const happened: { timeMs: number; index: number }[] = [];
    for (const one of asked) scheduler.at(one.timeMs, () => happened.push(one));
    await scheduler.run(1000);
    expect(happened).toEqual([...asked].sort((a, b) => a.timeMs - b.timeMs || a.index - b.index));
    expect(scheduler.nowMs).toBe(1000);
    expect(scheduler.events).toBe(5000);
  });

  test("follows an event through its awaits before the next one happens", async () => {
    const scheduler = await Scheduler.create({ prefer });
    const log: string[] = [];
    scheduler.at(1, () => {
      void (async () => {
        for (let step = 0; step < 20; step++) await undefined;
        log.push("first is through");
      })();
    });
    scheduler.at(1, () => log.push("second"));
    await scheduler.run(2);
    expect(log).toEqual(["first is through", "second"]);
  });

  test("what was cancelled does not happen, also when its slot is used again", async () => {
    const scheduler = await Scheduler.create({ prefer });
    const log: string[] = [];
    const early = scheduler.at(1, () => log.push("early"));
    await scheduler.run(1);
    scheduler.at(2, () => log.push("later"));
    scheduler.cancel(early);
    const never = scheduler.at(3, () => log.push("never"));
    scheduler.cancel(never);
    await scheduler.run(10);
    expect(log).toEqual(["early", "later"]);
  });
});

async function traceOf(prefer: "at-once" | "by-turns", seed: string): Promise<string> {
  const scheduler = await Scheduler.create({ prefer });
  const rng = new SeededRng(seed);
  const clock = new NodeClock(scheduler);
  const walk = async (left: number): Promise<void> => {
    for (let step = 0; step < left; step++) await clock.sleep(rng.below(50));
    scheduler.trace.mix(left);
  };
  for (let walker = 0; walker < 20; walker++) scheduler.at(walker, () => void walk(30 + walker));
  await scheduler.run(10_000);
  return scheduler.trace.hex();
}

test("the same seed leaves the same trace, in both ways of draining, and another seed another one", async () => {
  const trace = await traceOf("at-once", "a");
  expect(await traceOf("at-once", "a")).toBe(trace);
  expect(await traceOf("by-turns", "a")).toBe(trace);
  expect(await traceOf("at-once", "b")).not.toBe(trace);
});

test("a machine's clock is wrong as it is told, and counts who sleeps", async () => {
  const scheduler = await Scheduler.create();
  const clock = new NodeClock(scheduler, { skewMs: 5000, rate: 2 });
  let wokenAtMs = 0;
  void clock.sleep(1000).then(() => {
    wokenAtMs = scheduler.nowMs;
  });
  const ended = new AbortController();
  const aborted = clock.sleep(1000, ended.signal).catch((error: unknown) => error);
  expect(clock.sleeping).toBe(2);
  ended.abort("enough");
  expect(await aborted).toBe("enough");
  await scheduler.run(600);
  expect(wokenAtMs).toBe(500);
  expect(clock.sleeping).toBe(0);
  expect(clock.monotonicMs()).toBe(1200);
  expect(clock.wallMs()).toBe(WORLD_BEGINS_MS + 1200 + 5000);
});

test("a paused process sees nothing until it goes on, one that is over sees nothing any more", async () => {
  const scheduler = await Scheduler.create();
  const process = new SimProcess();
  const clock = process.port(new NodeClock(scheduler));
  const log: string[] = [];
  const sleeper = async (name: string, ms: number): Promise<void> => {
    await clock.sleep(ms);
    log.push(`${name} at ${scheduler.nowMs}`);
  };
  scheduler.at(0, () => {
    void sleeper("a", 10);
    void sleeper("b", 20);
    void sleeper("c", 40);
  });
  scheduler.at(5, () => process.pause());
  scheduler.at(30, () => process.resume());
  scheduler.at(35, () => process.end());
  await scheduler.run(100);
  expect(log).toEqual(["a at 30", "b at 30"]);
});

test("what reaches past the ports fails loudly while the core runs, and works otherwise", async () => {
  const scheduler = await Scheduler.create();
  const guard = raiseGuard(() => scheduler.isRunning);
  const strays: (() => unknown)[] = [
    () => Date.now(),
    () => new Date(),
    () => Math.random(),
    () => performance.now(),
    () => process.hrtime(),
    () => setTimeout(() => {}, 1),
    () => setImmediate(() => {}),
    () => AbortSignal.timeout(1),
    () => crypto.randomUUID(),
    () => crypto.getRandomValues(new Uint8Array(1)),
    () => crypto.subtle.digest("SHA-256", new Uint8Array(1)),
  ];
  const caught: unknown[] = [];
  for (const [at, stray] of strays.entries())
    scheduler.at(at, () => {
      try {
        stray();
      } catch (error) {
        caught.push(error);
      }
    });
  scheduler.at(50, () => expect(new Date(5).getTime()).toBe(5));
  await scheduler.run(100);
  const { stray } = guard;
  expect(Date.now()).toBeGreaterThan(0);
  guard.release();
  expect(caught.map(String)).toEqual(
    strays.map(() => expect.stringContaining("in the core: the run could not be replayed")),
  );
  expect(stray).toHaveLength(strays.length);
  expect(Date.now.name).toBe("now");
});

test("a clock goes on while a program waits for less than it can tell", async () => {
  const scheduler = await Scheduler.create();
  await scheduler.run(30_000_000);
  const clock = new NodeClock(scheduler);
  const endMs = clock.monotonicMs() + 1e-6;
  let waits = 0;
  scheduler.after(0, () => {
    void (async () => {
      while (clock.monotonicMs() < endMs && waits < 10_000) {
        waits++;
        await clock.sleep(1e-9);
      }
    })();
  });
  await scheduler.run(30_000_001);
  expect(waits).toBeLessThan(10);
});
