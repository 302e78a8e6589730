import { expect, test } from "vitest";
import { planOf } from "../../../sim/full/generate.ts";
import type { Plan } from "../../../sim/full/plan.ts";
import { minimised, shrinkPlan } from "../../../sim/full/shrink.ts";
import { SeededRng } from "../../../sim/rng.ts";

test("what is left over fails, and nothing of it can be left out", async () => {
  const rng = new SeededRng("ddmin");
  for (let round = 0; round < 40; round++) {
    const items = Array.from({ length: 1 + rng.below(60) }, (_, index) => index);
    const needed = rng.shuffled(items).slice(0, 1 + rng.below(4));
    const fails = async (some: readonly number[]) => needed.every((one) => some.includes(one));
    expect(await minimised(items, fails)).toEqual([...needed].sort((a, b) => a - b));
  }
  expect(await minimised([1, 2, 3], async () => true)).toEqual([]);
});

test("a plan is shrunk to the fault and the step that its violation needs, for as long as it needs them", async () => {
  const plan = planOf("12");
  const [fault] = plan.faults.filter((one) => "forMs" in one && one.forMs > 100_000);
  const step = plan.workload[1];
  if (fault === undefined || step === undefined) throw new Error("the seed has no such plan any more");
  const stillBreaks = async ({ faults, workload }: Plan) =>
    workload.includes(step) &&
    faults.some(
      (one) => one.kind === fault.kind && one.atMs === fault.atMs && "forMs" in one && one.forMs > 50_000,
    );
  const { plan: least, isComplete } = await shrinkPlan({ plan, stillBreaks, mayGoOn: () => true }, 1e9);
  expect(isComplete).toBe(true);
  expect(least.workload).toEqual([step]);
  expect(least.faults).toHaveLength(1);
  expect(least.faults[0]).toMatchObject({ kind: fault.kind });
  const [{ forMs } = { forMs: 0 }] = least.faults.flatMap((one) => ("forMs" in one ? [one] : []));
  expect(forMs).toBeGreaterThan(50_000);
  expect(forMs).toBeLessThan(100_001);
});

test("without time left nothing is tried any more", async () => {
  const plan = planOf("12");
  const shrunk = await shrinkPlan({ plan, stillBreaks: async () => true, mayGoOn: () => false }, 1e9);
  expect(shrunk).toEqual({ plan, runs: 0, isComplete: false });
});
