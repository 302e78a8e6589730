import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readReedSolomonWasm } from "../../src/adapters/workers/reed-solomon-wasm.ts";
import { must } from "../../src/base/assert.ts";
import { DAY_MS, MINUTE_MS, parseDuration, SECOND_MS } from "../../src/base/units.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";
import { SIM_EXIT, type SimExit, type SimOptions } from "../command.ts";
import { planIn } from "../scenario/load.ts";
import { type CampaignTotals, cpuMs, type Failure, plansOf, runCampaign } from "./campaign.ts";
import type { Wishes } from "./generate.ts";
import { recordRun } from "./ledger.ts";
import { FAULT_KINDS, type FaultKind, type Plan, writePlan } from "./plan.ts";
import type { RunResult } from "./run.ts";

const SHRINK_MS = MINUTE_MS;
/** Of the log of a failing run. */
const LINES_SHOWN = 40;
const SEEDS_MAX = 1e9;

/** `cairn sim run` of the full tier. */
export async function runFull(options: SimOptions): Promise<SimExit> {
  const wishes = {
    nodes: numberOf(options.nodes),
    nodesMax: numberOf(options["nodes-max"]),
    sites: numberOf(options.sites),
    beyond: options.beyond,
    deletion: options.deletion,
    kinds: options.faults?.split(",").map(kindOf),
  };
  const seed = options.seed ?? String(randomInt(1, 2 ** 40));
  const { plan: given, expected } = await givenPlan(options.scenario, seed);
  const plans = given === undefined ? plansOf(seed, amountOf(options), wishes) : [given];
  const timeMs = options.time === undefined ? Number.POSITIVE_INFINITY : durationOf(options.time);
  const startedMs = cpuMs();
  // Of what is loaded now, whatever becomes of the files meanwhile.
  const commit = commitNow();
  let last: RunResult | undefined;
  const { totals, failure } = await runCampaign({
    codec: createWasmCodec(readReedSolomonWasm()),
    plans,
    mayGoOn: () => cpuMs() - startedMs < timeMs,
    twiceEvery: options["check-determinism"] === true ? 1 : (numberOf(options["twice-every"]) ?? 0),
    keepGoing: options["keep-going"] === true,
    until: options.until,
    shrinkForMs: options.shrink === true ? SHRINK_MS : 0,
    onRun: (result, spentMs) => {
      last = result;
      if (options.record !== undefined) recordRun(options.record, commit, result, spentMs);
      if (options.json !== true) process.stderr.write(lineOf(result, spentMs));
    },
  });
  if (options.trace !== undefined) writeFileSync(options.trace, `${must(last, "run").lines.join("\n")}\n`);
  const missing = [...(options.require ?? []), ...expected].filter((label) => !totals.labels.has(label));
  const report = failure === undefined ? undefined : reportOf(failure, wishes, commit);
  if (options.json === true)
    process.stdout.write(`${JSON.stringify(jsonOf(totals, failure, report, missing))}\n`);
  else process.stdout.write(textOf(totals, failure, report, missing));
  if (failure !== undefined) return SIM_EXIT.violated;
  return missing.length > 0 ? SIM_EXIT.labelMissing : SIM_EXIT.held;
}

/** With a time alone, as many seeds as fit. */
function amountOf(options: SimOptions): number {
  return numberOf(options.count) ?? (options.time === undefined ? 1 : SEEDS_MAX);
}

export function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`"${text}" is not a whole number above 0`);
  return value;
}

/** Throws for what is no time. */
export function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new Error(`"${text}" is not a time such as 180s`);
  return ms;
}

function kindOf(text: string): FaultKind {
  const kind = FAULT_KINDS.find((one) => one === text);
  if (kind === undefined) throw new Error(`"${text}" is no fault; there are ${FAULT_KINDS.join(", ")}`);
  return kind;
}

async function givenPlan(
  scenario: string | undefined,
  seed: string,
): Promise<{ plan: Plan | undefined; expected: readonly string[] }> {
  return scenario === undefined ? { plan: undefined, expected: [] } : await planIn(scenario, seed);
}

function lineOf({ plan, events, virtualMs, hash, violations }: RunResult, spentMs: number): string {
  const what = violations[0] === undefined ? "ok" : `VIOLATED ${violations[0].oracle}`;
  const { nodes } = plan.world;
  const days = (virtualMs / DAY_MS).toFixed(2);
  return `seed ${plan.seed}: ${nodes.length} nodes, ${plan.faults.length} faults, ${days} days, ${events} events, ${(spentMs / SECOND_MS).toFixed(1)} s, ${hash}: ${what}\n`;
}

interface Report {
  readonly commit: string;
  readonly planFile: string;
  readonly replay: string;
  readonly replayShrunk: string;
}

/** Writes the plans down, so that they can be run again. */
function reportOf({ result, shrunk }: Failure, wishes: Wishes, commit: string): Report {
  const name = result.plan.seed.replaceAll(/[^\w.-]/g, "_");
  const planFile = join(tmpdir(), `cairn-sim-${name}.json`);
  writeFileSync(planFile, writePlan(shrunk?.plan ?? result.plan));
  const shape = [
    ...(wishes.nodes === undefined ? [] : [`--nodes ${wishes.nodes}`]),
    ...(wishes.sites === undefined ? [] : [`--sites ${wishes.sites}`]),
    ...(wishes.nodesMax === undefined ? [] : [`--nodes-max ${wishes.nodesMax}`]),
    ...(wishes.beyond === true ? ["--beyond"] : []),
    ...(wishes.deletion === true ? ["--deletion"] : []),
    ...(wishes.kinds === undefined ? [] : [`--faults ${wishes.kinds.join(",")}`]),
  ];
  return {
    commit,
    planFile,
    replay: ["cairn sim run --seed", result.plan.seed, ...shape].join(" "),
    replayShrunk: `cairn sim run ${planFile}`,
  };
}

function commitNow(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).trim();
    return `${git("rev-parse", "--short=12", "HEAD")}${git("status", "--porcelain") === "" ? "" : " with changes"}`;
  } catch {
    return "unknown";
  }
}

function jsonOf(
  totals: CampaignTotals,
  failure: Failure | undefined,
  report: Report | undefined,
  missing: readonly string[],
): unknown {
  const { labels, ...numbers } = totals;
  return {
    ok: failure === undefined && missing.length === 0,
    node: process.version,
    ...numbers,
    labels: Object.fromEntries([...labels].sort()),
    missingLabels: missing,
    ...(failure === undefined
      ? {}
      : {
          ...report,
          seed: failure.result.plan.seed,
          hash: failure.result.hash,
          violations: failure.result.violations,
          plan: failure.result.plan,
          shrunkPlan: failure.shrunk?.plan,
          lines: failure.result.lines.slice(-LINES_SHOWN),
        }),
  };
}

function textOf(
  totals: CampaignTotals,
  failure: Failure | undefined,
  report: Report | undefined,
  missing: readonly string[],
): string {
  const { seeds, events, nodeMs } = totals;
  const cpuS = Math.max(0.001, totals.cpuMs / SECOND_MS);
  const years = nodeMs / DAY_MS / 365.25;
  const speed = `${Math.round(events / cpuS)} events, ${((seeds / cpuS) * 60).toFixed(1)} seeds a minute, ${(years / cpuS).toFixed(5)} node-years a second`;
  const failed = totals.failed === 0 ? "" : ` (${totals.failed} FAILED)`;
  const sum = `${seeds} seeds${failed}, ${events} events, ${cpuS.toFixed(1)} s of processor time (a second: ${speed})\n`;
  const lacking = missing.length === 0 ? "" : `never came up: ${missing.join(", ")}\n`;
  if (failure === undefined || report === undefined)
    return `${sum}${lacking}${missing.length === 0 ? "all rules held\n" : ""}`;
  const { result, shrunk } = failure;
  const broken = result.violations.map(
    ({ oracle, message, atMs, node }) =>
      `  ${oracle}: ${message} (${node ?? "world"}, ${(atMs / SECOND_MS).toFixed(1)} s)`,
  );
  const small =
    shrunk === undefined
      ? []
      : [
          `shrunk in ${shrunk.runs} runs to ${shrunk.plan.faults.length} faults and ${shrunk.plan.workload.length} steps${shrunk.isComplete ? "" : " (out of time)"}; replay: ${report.replayShrunk}`,
          writePlan(shrunk.plan),
        ];
  return [
    ...result.lines.slice(-LINES_SHOWN),
    "",
    `VIOLATED, seed ${result.plan.seed}, commit ${report.commit}, Node ${process.version}:`,
    ...broken,
    `plan (${result.plan.faults.length} faults, ${result.plan.workload.length} steps): ${JSON.stringify(result.plan)}`,
    `replay: ${report.replay}`,
    ...small,
    sum,
  ].join("\n");
}
