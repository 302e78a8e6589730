import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { gather } from "../../../src/exchange/gather.ts";

type Answer = "ok" | "fails" | "hangs";

/** Asks for shards that behave as told; returns what came, what was asked for, and how long it took. */
async function run(
  answers: readonly Answer[],
  job: { wanted: readonly number[]; need: number; shunned?: ReadonlySet<number> },
): Promise<{
  have: number[];
  complete: boolean;
  asked: number[];
  slow: number[];
  tookMs: number;
  aborted: number[];
}> {
  const clock = new VirtualClock();
  const asked: number[] = [];
  const slow: number[] = [];
  const aborted: number[] = [];
  const gathering = gather({
    ...job,
    indexes: answers.map((_, index) => index),
    clock,
    onSlow: (index) => slow.push(index),
    fetch: async (index, signal) => {
      asked.push(index);
      signal.addEventListener("abort", () => aborted.push(index));
      const answer = answers[index];
      if (answer === "hangs") return await clock.sleep(20_000).then(() => undefined);
      await clock.sleep(100);
      return answer === "ok" ? `shard ${index}` : undefined;
    },
  });
  const { have, complete } = await clock.until(gathering, 600_000);
  const tookMs = clock.monotonicMs();
  return { have: [...have.keys()].sort((a, b) => a - b), complete, asked, slow, tookMs, aborted };
}

describe("gathering shards", () => {
  it("asks for the wanted ones alone while they come", async () => {
    const { have, complete, asked } = await run(["ok", "ok", "ok", "ok"], { wanted: [1], need: 3 });
    expect({ have, complete, asked }).toEqual({ have: [1], complete: true, asked: [1] });
  });

  it("asks for k others when a wanted one cannot be had", async () => {
    const { have, complete, asked } = await run(["ok", "fails", "ok", "ok", "ok"], { wanted: [1], need: 3 });
    expect({ have, complete, asked }).toEqual({ have: [0, 2, 3], complete: true, asked: [1, 0, 2, 3] });
  });

  it("spares a single slow shard with one round of others", async () => {
    const answers: Answer[] = ["ok", "hangs", "ok", "ok", "ok", "ok", "ok"];
    const { complete, asked, tookMs } = await run(answers, { wanted: [1], need: 4 });
    expect(complete).toBe(true);
    expect(asked).toEqual([1, 0, 2, 3, 4]);
    expect(tookMs).toBeLessThan(4000);
  });

  it("asks for one more when one of a whole set is slow", async () => {
    const { complete, asked } = await run(["ok", "ok", "hangs", "ok", "ok"], { wanted: [0, 1, 2], need: 3 });
    expect(complete).toBe(true);
    expect(asked).toEqual([0, 1, 2, 3]);
  });

  it("says which were so slow that others were asked", async () => {
    const { slow } = await run(["ok", "ok", "hangs", "ok"], { wanted: [0, 1, 2], need: 3 });
    expect(slow).toEqual([2]);
  });

  it("asks the shunned last, and waits for none of them while others do", async () => {
    const answers: Answer[] = ["hangs", "ok", "ok", "ok"];
    const { asked, tookMs } = await run(answers, { wanted: [0, 1], need: 2, shunned: new Set([0]) });
    expect(asked).toEqual([1, 2]);
    expect(tookMs).toBe(100);
  });

  it("asks the shunned too when the others cannot do without them", async () => {
    const answers: Answer[] = ["ok", "fails", "ok", "fails"];
    const { asked, complete } = await run(answers, { wanted: [0], need: 2, shunned: new Set([0]) });
    expect(complete).toBe(true);
    expect(asked).toEqual([1, 2, 3, 0]);
  });

  it("stops what is still under way when it has enough", async () => {
    const { aborted } = await run(["ok", "ok", "hangs", "ok"], { wanted: [0, 1, 2], need: 3 });
    expect(aborted).toContain(2);
  });

  it("says when too few can be had, after trying all", async () => {
    const { complete, have, asked } = await run(["ok", "fails", "hangs", "fails"], {
      wanted: [0, 1],
      need: 2,
    });
    expect({ complete, have }).toEqual({ complete: false, have: [0] });
    expect(new Set(asked)).toEqual(new Set([0, 1, 2, 3]));
  });

  it("throws what is not a peer's doing, and the reason of its signal", async () => {
    const clock = new VirtualClock();
    const job = { wanted: [0], need: 1, indexes: [0], clock };
    const broken = gather({ ...job, fetch: () => Promise.reject(new Error("a bug")) });
    await expect(clock.until(broken, 1000)).rejects.toThrow("a bug");
    const controller = new AbortController();
    const waiting = gather({
      ...job,
      signal: controller.signal,
      fetch: (_, signal) =>
        clock.sleep(1e6, signal).then(
          () => "late",
          () => undefined,
        ),
    });
    controller.abort(new Error("enough"));
    await expect(clock.until(waiting, 10_000)).rejects.toThrow("enough");
  });
});
