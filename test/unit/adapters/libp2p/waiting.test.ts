import { expect, test } from "vitest";
import { IdleGuard, raceAbort } from "../../../../src/adapters/libp2p/idle-guard.ts";
import { isStray } from "../../../../src/adapters/libp2p/process-guard.ts";
import { acquireBytesWithin, acquirePlace } from "../../../../src/adapters/libp2p/waiting.ts";
import { ByteBudget, Semaphore } from "../../../../src/base/concurrency.ts";

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("the guard fires when nothing moves, and not before", async () => {
  const guard = new IdleGuard({ idleMs: 60, onIdle: () => new Error("idle") });
  for (let turn = 0; turn < 6; turn++) {
    await wait(25);
    guard.touch();
  }
  expect(guard.signal.aborted).toBe(false);
  await wait(200);
  expect(guard.signal.reason).toMatchObject({ message: "idle" });
});

test("held time and progress elsewhere do not count; a closed guard never fires", async () => {
  let elsewhereMs = 0;
  const held = new IdleGuard({ idleMs: 40, onIdle: () => new Error("idle") });
  const elsewhere = new IdleGuard({
    idleMs: 40,
    onIdle: () => new Error("idle"),
    elsewhereMs: () => elsewhereMs,
  });
  const closed = new IdleGuard({ idleMs: 40, onIdle: () => new Error("idle") });
  closed.close();
  await held.hold(async () => {
    for (let turn = 0; turn < 15; turn++) {
      await wait(10);
      elsewhereMs = performance.now();
    }
  });
  expect([held, elsewhere, closed].map((guard) => guard.signal.aborted)).toEqual([false, false, false]);
  await wait(200);
  expect([held, elsewhere, closed].map((guard) => guard.signal.aborted)).toEqual([true, true, false]);
});

test("the caller's signal wins, with its reason, also when it was aborted before", async () => {
  const controller = new AbortController();
  const reason = new Error("mine");
  const guard = new IdleGuard({ idleMs: 10_000, onIdle: () => new Error("idle"), signal: controller.signal });
  controller.abort(reason);
  expect(guard.signal.reason).toBe(reason);
  const late = new IdleGuard({ idleMs: 10_000, onIdle: () => new Error("idle"), signal: controller.signal });
  expect(late.signal.reason).toBe(reason);
});

test("what comes after the abort is undone", async () => {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<number>();
  const undone: number[] = [];
  const raced = raceAbort(promise, controller.signal, (value) => undone.push(value)).catch(
    (error: unknown) => error,
  );
  controller.abort("enough");
  expect(await raced).toBe("enough");
  resolve(7);
  await wait(0);
  expect(undone).toEqual([7]);
});

test("an aborted wait leaks neither a place nor bytes", async () => {
  const places = new Semaphore(1);
  const budget = new ByteBudget(10);
  await places.acquire();
  await budget.acquire(10);
  const controller = new AbortController();
  const waits = [acquirePlace(places, controller.signal), budget.acquire(5, controller.signal)].map((each) =>
    each.catch((error: unknown) => error),
  );
  controller.abort("enough");
  expect(await Promise.all(waits)).toEqual(["enough", "enough"]);
  places.release();
  budget.release(10);
  await wait(0);
  expect(budget.usedBytes).toBe(0);
  await acquirePlace(places, new AbortController().signal);
});

test("bytes that do not come in time are not taken later", async () => {
  const budget = new ByteBudget(10);
  const signal = new AbortController().signal;
  expect(await acquireBytesWithin(budget, 10, { waitMs: 20 }, signal)).toBe(true);
  expect(await acquireBytesWithin(budget, 1, { waitMs: 20 }, signal)).toBe(false);
  budget.release(10);
  await wait(0);
  expect(budget.usedBytes).toBe(0);
});

test("the wait for bytes lasts as long as something moves", async () => {
  const budget = new ByteBudget(10);
  const signal = new AbortController().signal;
  await budget.acquire(10);
  let movedMs = 0;
  const moving = setInterval(() => {
    movedMs = performance.now();
  }, 5);
  let outcome: boolean | undefined;
  const waiting = acquireBytesWithin(budget, 1, { waitMs: 200, movedMs: () => movedMs }, signal).then(
    (isThere) => {
      outcome = isThere;
    },
  );
  await wait(700);
  expect(outcome).toBeUndefined();
  clearInterval(moving);
  await waiting;
  expect(outcome).toBe(false);
});

test("only errors with frames of the network libraries and none of ours are strays", () => {
  const withStack = (...frames: string[]): Error => {
    const error = new Error("x");
    error.stack = ["Error: x", ...frames.map((frame) => `    at f (${frame}:1:1)`)].join("\n");
    return error;
  };
  const library = "file:///opt/cairn/node_modules/@libp2p/utils/dist/src/abstract-message-stream.js";
  const ours = "file:///opt/cairn/src/node/core.ts";
  expect(isStray(withStack(library, "node:internal/process/task_queues"))).toBe(true);
  expect(isStray(withStack(library, ours))).toBe(false);
  expect(isStray(withStack(ours))).toBe(false);
  expect(isStray(withStack("file:///opt/cairn/node_modules/fastify/lib/x.js"))).toBe(false);
  expect(isStray(withStack())).toBe(false);
  expect(isStray("text")).toBe(false);
});
