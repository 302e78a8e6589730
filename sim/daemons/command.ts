import { randomInt } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SECOND_MS } from "../../src/base/units.ts";
import { SIM_EXIT, type SimExit, type SimOptions } from "../command.ts";
import { readPlan, writePlan } from "../full/plan.ts";
import { HOOK, mutationsNamed } from "../mutations/run.ts";
import { type DaemonWishes, daemonPlanOf } from "./generate.ts";
import { type Lab, probeLab, sweepStale } from "./lab.ts";
import type { Environment } from "./program.ts";
import { type DaemonRun, runDaemons } from "./run.ts";
import { DAEMON_FAULT_KINDS, refusalOf, type Script, scriptOf } from "./script.ts";

/** Of what happened in a run that broke a rule. */
const LINES_SHOWN = 80;
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** What the command line gives, read. */
export interface DaemonsInit {
  readonly options: SimOptions;
  readonly numberOf: (text: string | undefined) => number | undefined;
}

/** `cairn sim run --layer daemons`. */
export async function runDaemonLayer({ options, numberOf }: DaemonsInit): Promise<SimExit> {
  refuseOptions(options);
  const wishes: DaemonWishes = {
    nodes: numberOf(options.nodes),
    sites: numberOf(options.sites),
    beyond: options.beyond,
    kinds: options.faults?.split(",").map(kindOf),
  };
  for (const left of sweepStale()) say(`removed what a run left that was killed: ${left}`);
  const abilities = probeLab();
  if ("whyNot" in abilities)
    throw new Error(`this machine cannot run daemons in networks of their own: ${abilities.whyNot}`);
  const first = options.seed ?? String(randomInt(1, 2 ** 40));
  const count = options.scenario === undefined ? (numberOf(options.count) ?? 1) : 1;
  const environment = options.bug === undefined ? {} : withBug(options.bug);
  const runs: DaemonRun[] = [];
  for (let at = 0; at < count; at++) {
    const seed = seedAt(first, at, count);
    const plan =
      options.scenario === undefined
        ? daemonPlanOf(seed, wishes)
        : readPlan(readFileSync(options.scenario, "utf8"));
    const script = scriptOf(plan, abilities);
    sayWhatDiffers(script, options["as-far-as-possible"] === true);
    say(`seed ${plan.seed}: ${plan.faults.map(({ kind }) => kind).join(" ") || "no faults"}`);
    const run = await cleanedUp((onLab) => runDaemons({ plan, script, environment, onLab, say }));
    runs.push(run);
    if (options.trace !== undefined) writeFileSync(options.trace, `${run.lines.join("\n")}\n`);
    say(lineOf(run));
    if (run.violations.length > 0 && options.json !== true)
      process.stdout.write(`${reportOf(run, options)}\n`);
    if (run.violations.length > 0 && options["keep-going"] !== true) break;
  }
  const failed = runs.filter(({ violations }) => violations.length > 0);
  if (options.json === true) process.stdout.write(`${JSON.stringify(jsonOf(runs))}\n`);
  else process.stdout.write(`${sumOf(runs)}\n`);
  return failed.length > 0 ? SIM_EXIT.violated : SIM_EXIT.held;
}

/** What has a meaning for simulated swarms alone is no silent wish. */
function refuseOptions(options: SimOptions): void {
  const meaningless = [
    "time",
    "nodes-max",
    "until",
    "shrink",
    "check-determinism",
    "twice-every",
    "record",
    "require",
  ] as const;
  for (const name of meaningless)
    if (options[name] !== undefined)
      throw new Error(`--${name} is for simulated swarms: real time runs once, and never twice the same`);
}

/** The daemons load their source through a hook that puts this bug of the table into it. */
function withBug(name: string): Environment {
  const [mutation] = mutationsNamed(name);
  if (mutation === undefined || name === "all") throw new Error("--bug takes the name of one bug");
  return { NODE_OPTIONS: `--import=${HOOK}`, CAIRN_SIM_BUG: mutation.name };
}

function kindOf(text: string) {
  const kind = DAEMON_FAULT_KINDS.find((one) => one === text);
  if (kind === undefined)
    throw new Error(
      `"${text}": ${refusalOf(text) ?? "there is no such fault"}; daemons can have ${DAEMON_FAULT_KINDS.join(", ")}`,
    );
  return kind;
}

/** `5` and a count of 3: the seeds 5, 6, 7. A word gets numbers behind it. */
function seedAt(first: string, at: number, count: number): string {
  if (count === 1) return first;
  return /^\d{1,15}$/.test(first) ? String(Number(first) + at) : `${first}-${at}`;
}

function sayWhatDiffers({ refused, notes }: Script, leavesOut: boolean): void {
  for (const note of notes) say(`otherwise than in the simulator: ${note}`);
  if (refused.length === 0) return;
  const list = refused.map((what) => `  ${what}`).join("\n");
  if (!leavesOut)
    throw new Error(
      `daemons cannot do all of this plan; --as-far-as-possible leaves out what they cannot:\n${list}`,
    );
  say(`left out, for daemons cannot do it:\n${list}`);
}

/** Takes the lab down when this process is told to end, too. */
async function cleanedUp(run: (onLab: (lab: Lab) => void) => Promise<DaemonRun>): Promise<DaemonRun> {
  let lab: Lab | undefined;
  const ends = Object.entries(SIGNALS).map(([signal, status]) => {
    const end = (): never => {
      say(`${signal}: cleaning up`);
      lab?.dispose();
      return process.exit(status);
    };
    process.on(signal, end);
    return () => process.off(signal, end);
  });
  try {
    return await run((made) => {
      lab = made;
    });
  } finally {
    for (const end of ends) end();
  }
}

function lineOf({ plan, violations, durationMs }: DaemonRun): string {
  const what = violations[0] === undefined ? "ok" : `VIOLATED ${violations[0].oracle}`;
  return `seed ${plan.seed}: ${plan.world.nodes.length} daemons, ${plan.faults.length} faults, ${(durationMs / SECOND_MS).toFixed(0)} s: ${what}`;
}

/** Writes the plan down, so that it can be run again. */
function reportOf({ plan, violations, lines, labels }: DaemonRun, options: SimOptions): string {
  const file = join(tmpdir(), `cairn-sim-daemons-${plan.seed.replaceAll(/[^\w.-]/g, "_")}.json`);
  writeFileSync(file, writePlan(plan));
  const replay =
    options.scenario === undefined
      ? [
          `cairn sim run --layer daemons --seed ${plan.seed} --nodes ${plan.world.nodes.length}`,
          ...(options.sites === undefined ? [] : [`--sites ${options.sites}`]),
          ...(options.faults === undefined ? [] : [`--faults ${options.faults}`]),
          ...(options.beyond === true ? ["--beyond"] : []),
        ].join(" ")
      : `cairn sim run --layer daemons ${options.scenario}`;
  return [
    ...lines.slice(-LINES_SHOWN),
    "",
    ...[...labels].sort().map(([label, times]) => `${label}: ${times}`),
    "",
    `VIOLATED, seed ${plan.seed}, Node ${process.version}:`,
    ...violations.map(
      ({ oracle, message, atMs, node }) =>
        `  ${oracle}: ${message} (${node ?? "world"}, ${(atMs / SECOND_MS).toFixed(1)} s)`,
    ),
    `plan: ${JSON.stringify(plan)}`,
    `replay (real time: the same plan, not the same run): ${replay}`,
    `or: cairn sim run --layer daemons ${file}`,
  ].join("\n");
}

function sumOf(runs: readonly DaemonRun[]): string {
  const failed = runs.filter(({ violations }) => violations.length > 0).length;
  const seconds = runs.reduce((sum, { durationMs }) => sum + durationMs, 0) / SECOND_MS;
  const labels = new Map<string, number>();
  for (const run of runs)
    for (const [label, times] of run.labels) labels.set(label, (labels.get(label) ?? 0) + times);
  return [
    ...[...labels].sort().map(([label, times]) => `${label}: ${times}`),
    `${runs.length} runs${failed === 0 ? "" : ` (${failed} FAILED)`}, ${seconds.toFixed(0)} s`,
    ...(failed === 0 ? ["all rules held"] : []),
  ].join("\n");
}

function jsonOf(runs: readonly DaemonRun[]): unknown {
  return {
    ok: runs.every(({ violations }) => violations.length === 0),
    node: process.version,
    runs: runs.map(({ plan, violations, labels, durationMs }) => ({
      seed: plan.seed,
      durationMs: Math.round(durationMs),
      violations,
      labels: Object.fromEntries([...labels].sort()),
      ...(violations.length > 0 ? { plan } : {}),
    })),
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
