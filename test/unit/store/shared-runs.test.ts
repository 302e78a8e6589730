import { expect, it } from "vitest";
import { SharedRuns } from "../../../src/adapters/store/shared-runs.ts";

it("whoever asks while a run is under way is served by the next one, which all of them share", async () => {
  const ends: (() => void)[] = [];
  const runs = new SharedRuns(() => new Promise<void>((resolve) => ends.push(resolve)));
  const served: string[] = [];
  const ask = (who: string) => runs.run().then(() => served.push(who));
  const all = [ask("first"), ask("second"), ask("third")];
  expect(ends.length).toBe(1);
  ends[0]?.();
  await all[0];
  expect(served).toEqual(["first"]);
  await Promise.resolve();
  expect(ends.length).toBe(2);
  const late = ask("late");
  ends[1]?.();
  await Promise.all(all);
  expect(served.slice(1).sort()).toEqual(["second", "third"]);
  while (ends.length < 3) await Promise.resolve();
  ends[2]?.();
  await late;
  expect(runs.idle).toBe(true);
});

it("a failure reaches those it served, and nobody else", async () => {
  let count = 0;
  const runs = new SharedRuns(async () => {
    await Promise.resolve();
    if (++count === 1) throw new Error("disk");
  });
  const outcomes = await Promise.allSettled([runs.run(), runs.run(), runs.run()]);
  expect(outcomes.map((one) => one.status)).toEqual(["rejected", "fulfilled", "fulfilled"]);
  expect(count).toBe(2);
});
