import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { SharedBytes } from "../../../../src/adapters/libp2p/shared-bytes.ts";
import { peerIdOf } from "../../../../src/base/ids.ts";

const [A, B, C] = [peerIdOf(randomBytes(32)), peerIdOf(randomBytes(32)), peerIdOf(randomBytes(32))];
const { signal } = new AbortController();
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const pool = (waitMs = 10_000): SharedBytes =>
  new SharedBytes({ bytesMax: 100, bytesPerPeerMax: 60, waitMs });

test("of a peer no more than its share, of all no more than the whole", async () => {
  const bytes = pool(20);
  const first = await bytes.take(A, 50, signal);
  expect(await bytes.take(A, 11, signal)).toBeUndefined();
  const other = await bytes.take(B, 50, signal);
  expect(await bytes.take(C, 1, signal)).toBeUndefined();
  expect(bytes.usedBytes).toBe(100);
  first?.release();
  expect((await bytes.take(C, 50, signal)) === undefined).toBe(false);
  expect(other === undefined).toBe(false);
});

test("what shrinks makes room for the next, of the peer's share too", async () => {
  const bytes = pool();
  const first = await bytes.take(A, 60, signal);
  const second = bytes.take(A, 60, signal);
  first?.shrinkTo(30);
  expect(() => first?.shrinkTo(31)).toThrow("does not grow");
  await wait(0);
  expect(bytes.usedBytes).toBe(30);
  first?.release();
  (await second)?.release();
  expect(bytes.usedBytes).toBe(0);
});

test("what is larger than share and whole is let through alone", async () => {
  const bytes = pool();
  const large = await bytes.take(A, 1000, signal);
  let isNext = false;
  const next = bytes.take(B, 1, signal).then((taken) => {
    isNext = true;
    return taken;
  });
  await wait(10);
  expect([bytes.usedBytes, isNext]).toEqual([1000, false]);
  large?.release();
  (await next)?.release();
  expect(bytes.usedBytes).toBe(0);
});

test("whoever gives up leaves nothing behind, in neither queue", async () => {
  const bytes = pool();
  const held = [await bytes.take(A, 60, signal), await bytes.take(B, 40, signal)];
  const controller = new AbortController();
  // One waits for its share, one has that and waits for the whole.
  const waits = [bytes.take(A, 1, controller.signal), bytes.take(C, 60, controller.signal)];
  const reasons = waits.map((each) => each.catch((error: unknown) => error));
  await wait(0);
  controller.abort("enough");
  expect(await Promise.all(reasons)).toEqual(["enough", "enough"]);
  for (const each of held) each?.release();
  expect(bytes.usedBytes).toBe(0);
  const again = [await bytes.take(C, 60, signal), await bytes.take(A, 40, signal)];
  expect(bytes.usedBytes).toBe(100);
  for (const each of again) each?.release();
});

test("behind its own messages a peer waits as long as they move", async () => {
  const bytes = pool(200);
  const first = await bytes.take(A, 60, signal);
  const moving = setInterval(() => bytes.moved(A), 5);
  const second = bytes.take(A, 10, signal);
  await wait(700);
  clearInterval(moving);
  first?.release();
  expect((await second) === undefined).toBe(false);
});
