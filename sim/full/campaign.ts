import type { ErasureCodec } from "../../src/erasure/index.ts";
import { partedAt } from "../trace-hash.ts";
import { planOf, type Wishes } from "./generate.ts";
import type { Plan } from "./plan.ts";
import { type RunResult, runPlan } from "./run.ts";
import { type Shrunk, shrinkPlan } from "./shrink.ts";

export interface CampaignInit {
  readonly codec: ErasureCodec;
  readonly plans: Iterable<Plan>;
  /** No further seed is begun once it says no. */
  readonly mayGoOn: () => boolean;
  /** Each so manieth seed runs twice, and must leave the same trace; 0: none. */
  readonly twiceEvery: number;
  readonly shrinkForMs: number;
  /** Go on after a violation; the first one is what is reported. */
  readonly keepGoing: boolean;
  /** Go on past violations of other rules than this one. */
  readonly until?: string | undefined;
  readonly onRun: (run: RunResult, cpuMs: number) => void;
}

export interface Failure {
  readonly result: RunResult;
  readonly shrunk?: Shrunk;
}

export interface CampaignTotals {
  seeds: number;
  failed: number;
  twice: number;
  cpuMs: number;
  events: number;
  virtualMs: number;
  nodeMs: number;
  readonly labels: Map<string, number>;
}

/** Runs one plan after the other; the first that breaks a rule is shrunk. */
export async function runCampaign(
  init: CampaignInit,
): Promise<{ totals: CampaignTotals; failure: Failure | undefined }> {
  const totals: CampaignTotals = {
    ...{ seeds: 0, failed: 0, twice: 0, cpuMs: 0, events: 0, virtualMs: 0, nodeMs: 0 },
    labels: new Map(),
  };
  let failure: Failure | undefined;
  for (const plan of init.plans) {
    if (totals.seeds > 0 && !init.mayGoOn()) break;
    const startedMs = cpuMs();
    const result = await runOnce(init, plan, totals);
    const spentMs = cpuMs() - startedMs;
    count(totals, result, spentMs);
    init.onRun(result, spentMs);
    if (result.violations.length === 0) continue;
    totals.failed++;
    const isSought =
      init.until === undefined || result.violations.some(({ oracle }) => oracle === init.until);
    if (failure === undefined || (isSought && init.until !== undefined))
      failure = await failureOf(init, result);
    if (isSought && !init.keepGoing) break;
  }
  return { totals, failure };
}

async function runOnce(init: CampaignInit, plan: Plan, totals: CampaignTotals): Promise<RunResult> {
  const { codec } = init;
  const result = await runPlan({ plan, codec });
  const isTwice = init.twiceEvery > 0 && totals.seeds % init.twiceEvery === 0;
  if (!isTwice || result.violations.length > 0) return result;
  totals.twice++;
  const again = await runPlan({ plan, codec });
  if (again.hash === result.hash) return result;
  const from = partedAt(result.checkpoints, again.checkpoints) ?? "the last ones";
  const message = `the same plan left two traces, ${result.hash} and ${again.hash}; they part at ${from}`;
  return { ...result, violations: [{ oracle: "determinism", message, atMs: 0 }] };
}

async function failureOf(init: CampaignInit, result: RunResult): Promise<Failure> {
  const [first] = result.violations;
  if (init.shrinkForMs <= 0 || first === undefined || first.oracle === "determinism") return { result };
  const endMs = cpuMs() + init.shrinkForMs;
  const stillBreaks = async (plan: Plan): Promise<boolean> => {
    const { violations } = await runPlan({ plan, codec: init.codec });
    return violations.some(({ oracle }) => oracle === first.oracle);
  };
  const mayGoOn = (): boolean => cpuMs() < endMs;
  return { result, shrunk: await shrinkPlan({ plan: result.plan, stillBreaks, mayGoOn }, first.atMs) };
}

function count(totals: CampaignTotals, result: RunResult, spentMs: number): void {
  totals.seeds++;
  totals.cpuMs += spentMs;
  totals.events += result.events;
  totals.virtualMs += result.virtualMs;
  totals.nodeMs += result.virtualMs * result.plan.world.nodes.length;
  for (const [label, times] of result.labels)
    totals.labels.set(label, (totals.labels.get(label) ?? 0) + times);
}

/** Of this process: the machine may have other things to do. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** `5` and a count of 3: the seeds 5, 6, 7. A word gets numbers behind it. */
export function* plansOf(seed: string, amount: number, wishes: Wishes): Generator<Plan> {
  const first = /^\d{1,15}$/.test(seed) ? Number(seed) : undefined;
  for (let at = 0; at < amount; at++) {
    if (first !== undefined) yield planOf(String(first + at), wishes);
    else yield planOf(at === 0 && amount === 1 ? seed : `${seed}-${at}`, wishes);
  }
}
