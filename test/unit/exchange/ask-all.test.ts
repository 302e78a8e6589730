import { expect, it } from "vitest";
import { Fault } from "../../../src/base/fault.ts";
import { askAll, PATIENCE_MS } from "../../../src/exchange/ask-all.ts";
import { quiet, SteeredClock } from "../../support/steered-clock.ts";

/** Peers that answer after so many milliseconds; `undefined` never, `-1` fails at once. */
async function asked(answersAfterMs: readonly (number | undefined)[]) {
  const clock = new SteeredClock();
  const beganMs = clock.monotonicMs();
  const heard: number[] = [];
  const ask = async (peer: number): Promise<boolean> => {
    const afterMs = answersAfterMs[peer];
    if (afterMs === undefined) return new Promise<never>(() => {});
    if (afterMs < 0) return false;
    await clock.sleep(afterMs);
    heard.push(peer);
    return true;
  };
  const { late } = await clock.during(askAll([...answersAfterMs.keys()], ask, { clock }));
  return { clock, late, heard, tookMs: clock.monotonicMs() - beganMs };
}

it("waits for all where all answer, however different they are within reason", async () => {
  const { late, heard, tookMs } = await asked([10, 20, 2000]);
  expect([late, heard.length]).toEqual([[], 3]);
  expect(tookMs).toBeLessThan(PATIENCE_MS + 4000);
});

it("one that hangs costs no more than the patience; an answer that comes later is still heard", async () => {
  const { late, heard, tookMs, clock } = await asked([10, 20, undefined, 8000, 15]);
  expect(late).toEqual([2, 3]);
  expect(tookMs).toBeLessThan(PATIENCE_MS + 4000);
  await clock.advance(10_000);
  await quiet();
  expect(heard).toContain(3);
});

it("peers that are all slow are given as long again as half of them took", async () => {
  const { late } = await asked([10_000, 11_000, 19_000, 60_000]);
  expect(late).toEqual([3]);
});

it("failures are no answers: where more than half fail it waits for the rest", async () => {
  const { late, heard } = await asked([-1, -1, 15_000]);
  expect([late, heard]).toEqual([[], [2]]);
});

it("a bug and an interruption come through", async () => {
  const clock = new SteeredClock();
  const broken = askAll([1], () => Promise.reject(new TypeError("bug")), { clock });
  await expect(broken).rejects.toThrow("bug");
  const stop = new AbortController();
  const interrupted = new Fault({ code: "INTERRUPTED" });
  stop.abort(interrupted);
  await expect(askAll([1], async () => true, { clock, signal: stop.signal })).rejects.toBe(interrupted);
});
