import { describe, expect, test } from "vitest";
import { calibrationOf, compare, intervalOf, tableOf } from "../../../sim/calibration/compare.ts";
import { lossInEventTier } from "../../../sim/calibration/event-tier.ts";
import { lossInFullTier } from "../../../sim/calibration/full-tier.ts";
import type { LossRun } from "../../../sim/calibration/model.ts";
import { drawOf, quantilesOf, readCalibration, writtenCalibration } from "../../../sim/fleet/calibration.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { readReedSolomonWasm } from "../../../src/adapters/workers/reed-solomon-wasm.ts";
import { MINUTE_MS, SECOND_MS } from "../../../src/base/units.ts";
import { createWasmCodec } from "../../../src/erasure/index.ts";

const SOURCE = { commit: "c", node: "v", seed: "s", runs: 3 };

function run(knownS: number, wholeS: number, bytesPerLostByte: number): LossRun {
  return { knownMs: knownS * SECOND_MS, wholeMs: wholeS * SECOND_MS, bytesPerLostByte };
}

describe("the event tier's calibration", () => {
  test("quantiles give back what they were made of", () => {
    const values = Array.from({ length: 101 }, (_, at) => at);
    const quantiles = quantilesOf(values.toReversed());
    expect(quantiles).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    const rng = new SeededRng("quantiles");
    const drawn = Array.from({ length: 2000 }, () => drawOf(quantiles, rng));
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...drawn)).toBeLessThanOrEqual(100);
    expect(intervalOf(drawn)).toMatchObject({ mean: expect.closeTo(50, -1) });
  });

  test("the event tier does what it was told by runs", async () => {
    const runs = [run(400, 700, 2.9), run(400, 700, 2.9), run(400, 700, 2.9)];
    const found = await lossInEventTier("told", calibrationOf(runs, SOURCE));
    expect(found.knownMs).toBeCloseTo(400 * SECOND_MS, -3);
    // Besides, a shard takes its time over the line.
    expect(found.wholeMs / SECOND_MS).toBeGreaterThanOrEqual(700);
    expect(found.wholeMs / SECOND_MS).toBeLessThan(705);
    expect(found.bytesPerLostByte).toBeCloseTo(2.9);
  });

  test("tiers that differ are told apart, and those that do not are not", () => {
    const some = Array.from({ length: 50 }, (_, at) =>
      run(370 + (at % 5), 600 + (at % 3), 2.8 + (at % 4) / 50),
    );
    const others = some.map((one) => ({ ...one, wholeMs: one.wholeMs + 10 * SECOND_MS }));
    expect(compare(some, some).every(({ overlaps }) => overlaps)).toBe(true);
    expect(compare(some, others).map(({ overlaps }) => overlaps)).toEqual([true, false, true]);
    expect(tableOf(compare(some, others), 50)).toContain("| NO |");
  });

  test("what is committed can be read, and is written as it was", () => {
    const calibration = readCalibration();
    expect(JSON.parse(writtenCalibration(calibration))).toEqual(calibration);
  });

  test("a run of each tier: a lost node is known and made good, in about the same time and for about the same bytes", async () => {
    const codec = createWasmCodec(readReedSolomonWasm());
    const full = await lossInFullTier("test", codec);
    expect(full).toEqual(await lossInFullTier("test", codec));
    const event = await lossInEventTier("test");
    for (const { knownMs, wholeMs, bytesPerLostByte } of [full, event]) {
      expect(knownMs).toBeGreaterThan(5 * MINUTE_MS);
      expect(knownMs).toBeLessThan(9 * MINUTE_MS);
      expect(wholeMs).toBeGreaterThan(9 * MINUTE_MS);
      expect(wholeMs).toBeLessThan(14 * MINUTE_MS);
      expect(bytesPerLostByte).toBeGreaterThan(1.9);
      expect(bytesPerLostByte).toBeLessThan(3.2);
    }
  });
});
