import { describe, expect, test } from "vitest";
import { checkKnown } from "../../../sim/coarse/oracles.ts";
import { coarsePlanOf } from "../../../sim/coarse/plan.ts";
import { runCoarse } from "../../../sim/coarse/run.ts";
import { runWorld } from "../../../sim/full/run.ts";
import { readReedSolomonWasm } from "../../../src/adapters/workers/reed-solomon-wasm.ts";
import { HOUR_MS } from "../../../src/base/units.ts";
import { createWasmCodec } from "../../../src/erasure/index.ts";

const codec = createWasmCodec(readReedSolomonWasm());
const SHAPE = { nodes: 6, sites: 3, hours: 1, clocks: "coarse" } as const;

describe("the coarse tier", () => {
  test("founds a swarm at once, lets its hours pass and keeps every rule", async () => {
    const plan = coarsePlanOf("1", SHAPE);
    const result = await runCoarse({ plan, codec, clocks: "coarse" });
    expect(result.violations).toEqual([]);
    // Before the faults and after them.
    expect(result.labels.get("knows who is up")).toBeGreaterThan(SHAPE.nodes);
    expect(result.labels.get("snapshot: done")).toBeGreaterThan(0);
    expect(result.labels.get("restore after the storm")).toBeGreaterThan(0);
    expect(result.figures.quiet.get("ticks")).toBeGreaterThan(0);
    expect(result.membershipQuiet).toBeGreaterThan(0);
  });

  test("whoever is wrong about who is up breaks its rule", async () => {
    const plan = coarsePlanOf("1", { ...SHAPE, nodes: 3 });
    const result = await runWorld({ plan, codec }, async (world) => {
      await world.setUp();
      const [, , last] = world.machines;
      await world.until(world.scheduler.sleep(2 * HOUR_MS), 3 * HOUR_MS);
      checkKnown(world, 1);
      expect(world.violations).toEqual([]);
      last?.crash();
      checkKnown(world, 1);
    });
    expect(result.violations.map(({ oracle }) => oracle)).toContain("knows-who-is-up");
  });

  test("a plan follows from its seed and shape", () => {
    const [one, same, other] = [coarsePlanOf("1", SHAPE), coarsePlanOf("1", SHAPE), coarsePlanOf("2", SHAPE)];
    expect(same).toEqual(one);
    expect(other.faults).not.toEqual(one.faults);
  });
});
