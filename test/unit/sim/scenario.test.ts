import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { runPlan } from "../../../sim/full/run.ts";
import { planIn } from "../../../sim/scenario/load.ts";
import { Scenario } from "../../../sim/scenario/scenario.ts";
import { readReedSolomonWasm } from "../../../src/adapters/workers/reed-solomon-wasm.ts";
import { HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { createWasmCodec } from "../../../src/erasure/index.ts";

const EXAMPLE = join(import.meta.dirname, "../../../sim/scenarios/site-cut-while-saving.ts");
const directories: string[] = [];

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function file(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "cairn-scenario-"));
  directories.push(directory);
  const name = join(directory, "scenario.ts");
  writeFileSync(name, text);
  return name;
}

describe("a scenario in TypeScript", () => {
  test("says swarm, steps and faults; the plan has them in the order of their times", () => {
    const s = new Scenario("7");
    s.swarm({ nodes: 4, sites: 2, storm: "2h", settle: "30m" });
    s.at("1h")
      .restore(0, 1)
      .fault({ kind: "cut", for: "10m", a: [0], b: [1] });
    s.every("45m", (at, round) => at.snapshot(round));
    const plan = s.plan();
    expect(plan.world.nodes.map(({ site }) => site)).toEqual(["s0", "s1", "s0", "s1"]);
    expect(plan.world).toMatchObject({ stormMs: 2 * HOUR_MS, settleMs: HOUR_MS / 2 });
    expect(plan.workload.map(({ atMs, do: what, node }) => [atMs / MINUTE_MS, what, node])).toEqual([
      [45, "snapshot", 0],
      [60, "restore", 0],
      [90, "snapshot", 1],
    ]);
    expect(plan.faults).toEqual([{ kind: "cut", atMs: HOUR_MS, forMs: 10 * MINUTE_MS, a: [0], b: [1] }]);
  });

  test("makes the same plan of the same seed, and another one of another", async () => {
    const [one, same, other] = [
      await planIn(EXAMPLE, "1"),
      await planIn(EXAMPLE, "1"),
      await planIn(EXAMPLE, "2"),
    ];
    expect(same).toEqual(one);
    expect(other.plan.workload).not.toEqual(one.plan.workload);
  });

  test("the example keeps every rule, and what it expects comes up", async () => {
    const { plan, expected } = await planIn(EXAMPLE, "1");
    const result = await runPlan({ plan, codec: createWasmCodec(readReedSolomonWasm()) });
    expect(result.violations).toEqual([]);
    expect(expected.filter((label) => !result.labels.has(label))).toEqual([]);
  });

  test("what is none is said to be none", async () => {
    await expect(planIn(file("export const x = 1;"), "1")).rejects.toThrow(/no scenario/);
    await expect(planIn(file("export default () => {};"), "1")).rejects.toThrow(/what the swarm is/);
    const unfit =
      'export default (s) => { s.swarm({ nodes: 3 }); s.at("1m").fault({ kind: "earthquake" }); };';
    await expect(planIn(file(unfit), "1")).rejects.toThrow(/no plan/);
    const time = 'export default (s) => { s.swarm({ nodes: 3 }); s.at("soon").snapshot(0); };';
    await expect(planIn(file(time), "1")).rejects.toThrow(/not a time/);
  });
});
