import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Plan, readPlan } from "../full/plan.ts";
import { Scenario } from "./scenario.ts";

export interface LoadedPlan {
  readonly plan: Plan;
  /** Labels that must come up. */
  readonly expected: readonly string[];
}

/** A plan from JSON, or from a scenario in TypeScript; throws with what is wrong with it. */
export async function planIn(file: string, seed: string): Promise<LoadedPlan> {
  if (!/\.[mc]?[jt]s$/.test(file)) return { plan: readPlan(readFileSync(file, "utf8")), expected: [] };
  const loaded: unknown = await import(pathToFileURL(resolve(file)).href);
  const write = typeof loaded === "object" && loaded !== null ? Reflect.get(loaded, "default") : undefined;
  if (typeof write !== "function")
    throw new Error(`${file} has no scenario: its default export is a function that is given one`);
  const scenario = new Scenario(seed);
  await Reflect.apply(write, undefined, [scenario]);
  // What a file says is held against the shape of plans, whatever its types were.
  return { plan: readPlan(JSON.stringify(scenario.plan())), expected: scenario.expected };
}
