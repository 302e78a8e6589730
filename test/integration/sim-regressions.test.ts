import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readPlan } from "../../sim/full/plan.ts";
import { runPlan } from "../../sim/full/run.ts";
import { readReedSolomonWasm } from "../../src/adapters/workers/reed-solomon-wasm.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";

// Every plan that once broke a rule, shrunk, and named after what it showed.
const FOLDER = join(import.meta.dirname, "../sim/regressions");
const codec = createWasmCodec(readReedSolomonWasm());

describe("plans that once broke a rule", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));

  test.each(files)("%s", { timeout: 300_000 }, async (file) => {
    const plan = readPlan(readFileSync(join(FOLDER, file), "utf8"));
    expect(plan.story).toBeTypeOf("string");
    const { violations, lines } = await runPlan({ plan, codec });
    expect(violations, lines.slice(-40).join("\n")).toEqual([]);
  });
});
