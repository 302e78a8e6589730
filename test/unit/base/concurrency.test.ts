import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BoundedQueue,
  ByteBudget,
  KeyedMutex,
  mapLimit,
  Semaphore,
  TaskPool,
} from "../../../src/base/concurrency.ts";

/** A promise that the test settles, and whether it is settled: order is decided here, never by time. */
function gate(): { readonly opened: Promise<void>; open(): void; fail(error: unknown): void } {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve, fail: reject };
}

/** Lets everything run that waits for nothing but microtasks. */
async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe("Semaphore", () => {
  test("lets so many in, and the next in order as places become free", async () => {
    const semaphore = new Semaphore(2);
    const gates = [gate(), gate(), gate(), gate()];
    const began: number[] = [];
    const runs = gates.map(({ opened }, i) =>
      semaphore.run(async () => {
        began.push(i);
        await opened;
        return i;
      }),
    );
    await settle();
    expect(began).toEqual([0, 1]);
    gates[1]?.open();
    await settle();
    expect(began).toEqual([0, 1, 2]);
    for (const { open } of gates) open();
    expect(await Promise.all(runs)).toEqual([0, 1, 2, 3]);
  });

  test("a task that fails gives its place back", async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await semaphore.run(async () => 7)).toBe(7);
    expect(() => new Semaphore(0)).toThrow();
  });
});

describe("ByteBudget", () => {
  test("never lends more than the whole, except alone", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 15 }), { maxLength: 30 }), async (sizes) => {
        const budget = new ByteBudget(10);
        let held: number[] = [];
        const order: number[] = [];
        const tasks = sizes.map(async (bytes, i) => {
          await budget.acquire(bytes);
          order.push(i);
          held.push(bytes);
          const used = held.reduce((sum, one) => sum + one, 0);
          expect(used <= 10 || held.length === 1).toBe(true);
          expect(budget.usedBytes).toBeGreaterThanOrEqual(used);
          await Promise.resolve();
          held = held.toSpliced(held.indexOf(bytes), 1);
          budget.release(bytes);
        });
        await Promise.all(tasks);
        expect(order).toEqual(sizes.map((_, i) => i));
        expect(budget.usedBytes).toBe(0);
      }),
    );
  });

  test("small ones do not overtake a large one that waits", async () => {
    const budget = new ByteBudget(10);
    await budget.acquire(6);
    const order: string[] = [];
    const large = budget.acquire(8).then(() => order.push("large"));
    const small = budget.acquire(1).then(() => order.push("small"));
    await settle();
    expect(order).toEqual([]);
    budget.release(6);
    await Promise.all([large, small]);
    expect(order).toEqual(["large", "small"]);
    expect(() => budget.release(10)).toThrow("no more is released");
  });

  test("who gives up takes nothing, and those behind it do not wait for it", async () => {
    const budget = new ByteBudget(10);
    await budget.acquire(6);
    const controller = new AbortController();
    const large = budget.acquire(8, controller.signal);
    const order: string[] = [];
    const small = budget.acquire(2).then(() => order.push("small"));
    await settle();
    expect(order).toEqual([]);
    controller.abort(new Error("enough"));
    await expect(large).rejects.toThrow("enough");
    await small;
    expect(budget.usedBytes).toBe(8);
    await expect(budget.acquire(1, controller.signal)).rejects.toThrow("enough");
    budget.release(8);
    await settle();
    expect(budget.usedBytes).toBe(0);
  });

  test("who gives up after it was given the bytes has them", async () => {
    const budget = new ByteBudget(10);
    await budget.acquire(10);
    const controller = new AbortController();
    const next = budget.acquire(4, controller.signal);
    budget.release(10);
    controller.abort(new Error("too late"));
    await next;
    expect(budget.usedBytes).toBe(4);
  });
});

describe("KeyedMutex", () => {
  test("one after the other for a key, side by side for two, on after a failure", async () => {
    const mutex = new KeyedMutex();
    const first = gate();
    const log: string[] = [];
    const a1 = mutex.run("a", async () => {
      log.push("a1");
      await first.opened;
    });
    const a2 = mutex.run("a", async () => log.push("a2"));
    const b = mutex.run("b", async () => log.push("b"));
    await b;
    expect(log).toEqual(["a1", "b"]);
    first.fail(new Error("a1 failed"));
    await expect(a1).rejects.toThrow("a1 failed");
    await a2;
    expect(log).toEqual(["a1", "b", "a2"]);
    expect(await mutex.run("a", async () => 5)).toBe(5);
  });
});

describe("mapLimit", () => {
  test("results are in the order of the items, whatever ends first", async () => {
    const gates = [gate(), gate(), gate()];
    let running = 0;
    let most = 0;
    const mapped = mapLimit(gates, 2, async ({ opened }, i) => {
      most = Math.max(most, ++running);
      await opened;
      running--;
      return i * 10;
    });
    await settle();
    for (const { open } of gates.toReversed()) open();
    expect(await mapped).toEqual([0, 10, 20]);
    expect(most).toBe(2);
    expect(await mapLimit([], 3, async () => 1)).toEqual([]);
  });

  test("the failure that came first is thrown, after those under way, and nothing more is begun", async () => {
    const gates = [gate(), gate(), gate()];
    const began: number[] = [];
    const ended: number[] = [];
    const mapped = mapLimit(gates, 2, async ({ opened }, i) => {
      began.push(i);
      try {
        await opened;
      } finally {
        ended.push(i);
      }
    });
    const outcome = expect(mapped).rejects.toThrow("second, but earlier");
    gates[1]?.fail(new Error("second, but earlier"));
    await settle();
    expect(ended).toEqual([1]);
    gates[0]?.fail(new Error("first, but later"));
    await outcome;
    expect(began).toEqual([0, 1]);
    expect(ended).toEqual([1, 0]);
  });

  test("no tasks at a time would leave items undone: refused", async () => {
    await expect(mapLimit([1], 0, async () => 1)).rejects.toThrow("at least one");
  });
});

describe("TaskPool", () => {
  test("add waits for a place, drain for everything", async () => {
    const pool = new TaskPool(2);
    const gates = [gate(), gate(), gate()];
    const began: number[] = [];
    const adding = (async () => {
      for (const [i, { opened }] of gates.entries()) {
        await pool.add(async () => {
          began.push(i);
          await opened;
        });
      }
    })();
    await settle();
    expect(began).toEqual([0, 1]);
    gates[0]?.open();
    await adding;
    expect(began).toEqual([0, 1, 2]);
    let drained = false;
    const draining = pool.drain().then(() => {
      drained = true;
    });
    gates[1]?.open();
    await settle();
    expect(drained).toBe(false);
    gates[2]?.open();
    await draining;
  });

  test("the first failure comes out of the next add, and of drain", async () => {
    const pool = new TaskPool(1);
    await pool.add(() => Promise.reject(new Error("first")));
    await expect(pool.add(async () => {})).rejects.toThrow("first");
    await expect(pool.add(async () => {})).rejects.toThrow("first");
    await expect(pool.drain()).rejects.toThrow("first");
  });

  test("a task that throws at once keeps no place", async () => {
    const pool = new TaskPool(1);
    await pool.add(() => {
      throw new Error("at once");
    });
    await expect(pool.drain()).rejects.toThrow("at once");
    await expect(pool.add(async () => {})).rejects.toThrow("at once");
  });
});

describe("BoundedQueue", () => {
  test("hands on in order and never holds more than its bound", async () => {
    const queue = new BoundedQueue<number>(2);
    let pushed = 0;
    const pushing = (async () => {
      for (let i = 0; i < 10; i++) {
        await queue.push(i);
        pushed++;
      }
      queue.close();
    })();
    await settle();
    expect(pushed).toBe(2);
    const got: number[] = [];
    for await (const item of queue) {
      got.push(item);
      expect(pushed).toBeLessThanOrEqual(got.length + 3);
      await settle();
    }
    await pushing;
    expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("what is in it comes out before the end or the failure", async () => {
    const queue = new BoundedQueue<string>(5);
    await queue.push("a");
    queue.close(new Error("source failed"));
    queue.close();
    const got: string[] = [];
    await expect(
      (async () => {
        for await (const item of queue) got.push(item);
      })(),
    ).rejects.toThrow("source failed");
    expect(got).toEqual(["a"]);
    await expect(queue.push("b")).rejects.toThrow("source failed");
  });

  test("a consumer that leaves early frees those who wait to push", async () => {
    const queue = new BoundedQueue<number>(1);
    await queue.push(1);
    const waiting = [queue.push(2), queue.push(3)].map((push) => push.catch((error: unknown) => error));
    for await (const _ of queue) break;
    const [second, third] = await Promise.all(waiting);
    // The place that item 1 left may have been taken before the consumer went; nobody waits for ever.
    expect([undefined, Error("the queue is closed")]).toContainEqual(second);
    expect(third).toEqual(new Error("the queue is closed"));
  });

  test("a consumer that waits is woken by an item and by the end", async () => {
    const queue = new BoundedQueue<number>(1);
    const got: number[] = [];
    const consuming = (async () => {
      for await (const item of queue) got.push(item);
    })();
    await settle();
    await queue.push(1);
    await settle();
    expect(got).toEqual([1]);
    queue.close();
    await consuming;
    expect(() => new BoundedQueue(0)).toThrow();
  });
});
