import { describe, expect, test } from "vitest";
import { planOf } from "../../../sim/full/generate.ts";
import { FAULT_KINDS, readPlan, writePlan } from "../../../sim/full/plan.ts";
import { runPlan } from "../../../sim/full/run.ts";
import { readReedSolomonWasm } from "../../../src/adapters/workers/reed-solomon-wasm.ts";
import { HOUR_MS } from "../../../src/base/units.ts";
import { createWasmCodec } from "../../../src/erasure/index.ts";

const codec = createWasmCodec(readReedSolomonWasm());

/** A small world for a few hours: what a test has time for. */
function smallPlan(seed: string) {
  const plan = planOf(seed, { nodes: 3, sites: 3, beyond: false });
  const stormMs = HOUR_MS;
  const within = <T extends { readonly atMs: number }>(items: readonly T[]): T[] =>
    items.filter(({ atMs }) => atMs < stormMs);
  return {
    ...plan,
    world: { ...plan.world, stormMs, settleMs: HOUR_MS / 2 },
    workload: within(plan.workload),
    faults: within(plan.faults),
  };
}

describe("the full tier", () => {
  test("a plan runs the same twice, in both ways of draining, and keeps every rule", async () => {
    const plan = smallPlan("same");
    const [one, other] = [await runPlan({ plan, codec }), await runPlan({ plan, codec, prefer: "by-turns" })];
    expect(one.violations).toEqual([]);
    expect(one.labels.get("snapshot: done")).toBeGreaterThan(1);
    expect(one.labels.get("restore after the storm")).toBeGreaterThan(0);
    expect(other.hash).toBe(one.hash);
    expect(other.events).toBe(one.events);
  });

  test("another seed is another run", async () => {
    const [one, other] = [
      await runPlan({ plan: smallPlan("one"), codec }),
      await runPlan({ plan: smallPlan("other"), codec }),
    ];
    expect(one.hash).not.toBe(other.hash);
  });
});

describe("plans", () => {
  test("are plain data: written and read again they are the same", () => {
    for (let seed = 0; seed < 50; seed++) {
      const plan = planOf(String(seed));
      expect(readPlan(writePlan(plan))).toEqual(plan);
    }
  });

  test("what is no plan is said to be none", () => {
    expect(() => readPlan('{"v":1,"seed":"x"}')).toThrow(/no plan/);
    const plan = planOf("1");
    expect(() => readPlan(JSON.stringify({ ...plan, faults: [{ kind: "earthquake", atMs: 1 }] }))).toThrow(
      /no plan/,
    );
  });

  test("every kind of fault is drawn by some seed", () => {
    const kinds = new Set<string>();
    for (let seed = 0; seed < 300; seed++)
      for (const { kind } of planOf(String(seed)).faults) kinds.add(kind);
    expect([...kinds].sort()).toEqual([...FAULT_KINDS].sort());
  });
});
