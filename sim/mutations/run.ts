import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { SeededRng } from "../rng.ts";
import { CANARY, MUTATIONS, type Mutation } from "./table.ts";

export const HOOK = fileURLToPath(new URL("./hook.ts", import.meta.url));
const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const PLANS = fileURLToPath(new URL("../../test/sim/regressions", import.meta.url));
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const report = z.object({
  seeds: z.number(),
  cpuMs: z.number(),
  violations: z.array(z.object({ oracle: z.string(), message: z.string() })).optional(),
});

export interface Caught {
  readonly mutation: Mutation;
  /** Broke the rule that is named. */
  readonly isCaught: boolean;
  /** What was broken first, whatever it was. */
  readonly by: string | undefined;
  readonly seeds: number;
  readonly cpuMs: number;
}

export function mutationsNamed(name: string): readonly Mutation[] {
  const all = [CANARY, ...MUTATIONS];
  const found = name === "all" ? all : all.filter((mutation) => mutation.name === name);
  if (found.length === 0)
    throw new Error(`there is no bug "${name}"; there are: ${all.map((one) => one.name).join("; ")}`);
  return found;
}

/** The canary, then the others in their order, beginning with one that follows from the word: another share every time. */
export function mutationsFrom(all: readonly Mutation[], word: string): readonly Mutation[] {
  const rest = all.filter((mutation) => mutation !== CANARY);
  const start = word === "" ? 0 : new SeededRng(word).below(Math.max(1, rest.length));
  return [...all.filter((mutation) => mutation === CANARY), ...rest.slice(start), ...rest.slice(0, start)];
}

/** Runs its plan and then seeds, with the bug, in a process of its own until a rule is broken, or the seeds are used up. */
export async function tryMutation(mutation: Mutation, seed: string): Promise<Caught> {
  const planned =
    mutation.plan === undefined ? undefined : await tryRuns(mutation, [join(PLANS, `${mutation.plan}.json`)]);
  if (planned?.isCaught === true) return planned;
  const faults = mutation.faults === undefined ? [] : ["--faults", mutation.faults.join(",")];
  const deletion = mutation.deletion === true ? ["--deletion"] : [];
  const count = ["--count", String(mutation.withinSeeds), "--nodes-max", "6"];
  const caught = await tryRuns(mutation, ["--seed", seed, ...count, ...deletion, ...faults]);
  return { ...caught, cpuMs: caught.cpuMs + (planned?.cpuMs ?? 0) };
}

async function tryRuns(mutation: Mutation, what: readonly string[]): Promise<Caught> {
  const argv = ["--import", HOOK, MAIN, "run", "--json", "--until", mutation.oracle, ...what];
  const { stdout, status } = await node(argv, { ...process.env, CAIRN_SIM_BUG: mutation.name });
  if (status !== 0 && status !== 1)
    throw new Error(`the simulator failed with "${mutation.name}": ${stdout}`);
  const { seeds, cpuMs, violations = [] } = report.parse(JSON.parse(stdout));
  const [first] = violations;
  return {
    mutation,
    isCaught: violations.some(({ oracle }) => oracle === mutation.oracle),
    by: first === undefined ? undefined : `${first.oracle}: ${first.message}`,
    seeds,
    cpuMs,
  };
}

function node(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<{ stdout: string; status: number }> {
  return new Promise((resolve) => {
    const options = { env: environment, maxBuffer: OUTPUT_BYTES_MAX };
    execFile(process.execPath, [...argv], options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : 2;
      resolve({ stdout: status > 1 ? stdout + stderr : stdout, status });
    });
  });
}
