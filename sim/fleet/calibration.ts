import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { SeededRng } from "../rng.ts";

const QUANTILES = 11;
/** What was seen, at 0, 10, ..., 100 % of the runs. */
const quantiles = z.array(z.number()).length(QUANTILES);

const calibration = z
  .object({
    v: z.literal(1),
    /** What the runs of the full tier were made with; their seeds are `<seed>-0` and so on. */
    source: z
      .object({ commit: z.string(), node: z.string(), seed: z.string(), runs: z.int().min(1) })
      .strict(),
    /** From when a node may be called unreachable until everybody calls it absent, in times between beats. */
    reportsBeats: quantiles,
    /** From when a shard is due until all are back, in times between assessments. */
    startAssessments: quantiles,
    /** What repair sends, as a share of k + 1 shards for each one lost. */
    bytesShares: quantiles,
  })
  .strict();
export type Calibration = z.output<typeof calibration>;

export const CALIBRATION_FILE = join(import.meta.dirname, "calibration.json");

export function readCalibration(file = CALIBRATION_FILE): Calibration {
  return calibration.parse(JSON.parse(readFileSync(file, "utf8")));
}

export function writtenCalibration(value: Calibration): string {
  const text = JSON.stringify(calibration.parse(value), undefined, 2);
  // A row of numbers is one line.
  return `${text.replaceAll(/\[[^\]]*\]/g, (row) => row.replaceAll(/\s+/g, " ").replace("[ ", "[").replace(" ]", "]"))}\n`;
}

/** Of the values, at 0, 10, ..., 100 %. */
export function quantilesOf(values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  return Array.from({ length: QUANTILES }, (_, at) => {
    const place = Math.round((at / (QUANTILES - 1)) * (sorted.length - 1));
    return Math.round((sorted[place] ?? 0) * 1e4) / 1e4;
  });
}

/** One that is distributed as they say. */
export function drawOf(values: readonly number[], rng: SeededRng): number {
  const place = rng.float() * (values.length - 1);
  const below = Math.floor(place);
  const low = values[below] ?? 0;
  return low + ((values[below + 1] ?? low) - low) * (place - below);
}
