import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readReedSolomonWasm } from "../../src/adapters/workers/reed-solomon-wasm.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";
import { CALIBRATION_FILE, readCalibration, writtenCalibration } from "../fleet/calibration.ts";
import { numberOf } from "../full/command.ts";
import { calibrationOf, compare, tableOf } from "./compare.ts";
import { lossInEventTier } from "./event-tier.ts";
import { lossInFullTier } from "./full-tier.ts";
import type { LossRun } from "./model.ts";

const RUNS = 200;
const PAGE = join(import.meta.dirname, "../../docs/simulator-crosscheck.md");

/** `cairn sim calibrate`: runs the full tier, and writes what the event tier takes from it. */
export async function calibrate(argv: readonly string[]): Promise<void> {
  const { runs, seed } = optionsOf(argv, "calibration");
  // Of what is loaded now, whatever becomes of the files meanwhile.
  const source = { commit: commitNow(), node: process.version, seed, runs };
  const found = await fullRuns(seed, runs);
  writeFileSync(CALIBRATION_FILE, writtenCalibration(calibrationOf(found, source)));
  process.stdout.write(`${runs} runs; see ${CALIBRATION_FILE}\n`);
}

/** `cairn sim crosscheck`: whether both tiers say the same of the same swarm, on seeds that nothing was calibrated with. */
export async function crosscheck(argv: readonly string[]): Promise<boolean> {
  const { runs, seed, docs } = optionsOf(argv, "crosscheck");
  const { source } = readCalibration();
  const commit = commitNow();
  if (source.seed === seed) throw new Error("these seeds are those of the calibration");
  const full = await fullRuns(seed, runs);
  const event: LossRun[] = [];
  for (let at = 0; at < runs; at++) event.push(await lossInEventTier(`${seed}-${at}`));
  const comparisons = compare(full, event);
  const table = tableOf(comparisons, runs);
  process.stdout.write(table);
  if (docs) writeFileSync(PAGE, pageOf(table, { seed, runs, commit }));
  return comparisons.every(({ overlaps }) => overlaps);
}

function pageOf(
  table: string,
  { seed, runs, commit }: { seed: string; runs: number; commit: string },
): string {
  const { source } = readCalibration();
  return [
    "# Two tiers on the same swarm",
    "",
    `Written by \`cairn sim crosscheck --runs ${runs} --seed ${seed} --docs\`, commit ${commit}, Node ${process.version}.`,
    `The event tier was calibrated with ${source.runs} other runs of the full one (seeds ${source.seed}-0 and on, commit ${source.commit}).`,
    "",
    table,
  ].join("\n");
}

async function fullRuns(seed: string, runs: number): Promise<LossRun[]> {
  const codec = createWasmCodec(readReedSolomonWasm());
  const found: LossRun[] = [];
  for (let at = 0; at < runs; at++) {
    found.push(await lossInFullTier(`${seed}-${at}`, codec));
    if (process.stderr.isTTY) process.stderr.write(`\r${at + 1} of ${runs}`);
  }
  return found;
}

function optionsOf(argv: readonly string[], seed: string): { runs: number; seed: string; docs: boolean } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      runs: { type: "string" },
      seed: { type: "string", default: seed },
      docs: { type: "boolean", default: false },
    },
  });
  return { ...values, runs: numberOf(values.runs) ?? RUNS };
}

function commitNow(): string {
  const args = ["rev-parse", "--short=12", "HEAD"];
  return execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).trim();
}
