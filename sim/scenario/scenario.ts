import { KIB, MIB, MINUTE_MS, parseDuration } from "../../src/base/units.ts";
import type { FaultPlan, NodePlan, Plan, Step, WorldPlan } from "../full/plan.ts";
import { SeededRng } from "../rng.ts";

/** A time such as `90s`, `10m`, `2h`. */
type Time = string;

/** A fault as a scenario says it: when comes from `at`, for how long is a time. */
type FaultOf<F extends FaultPlan> = F extends { readonly forMs: number }
  ? Omit<F, "atMs" | "forMs"> & { readonly for: Time }
  : Omit<F, "atMs">;
export type ScenarioFault = FaultPlan extends infer F ? (F extends FaultPlan ? FaultOf<F> : never) : never;

export interface SwarmShape {
  readonly nodes: number;
  /** The nodes are dealt out to them in turn. @default 3, or as many as there are nodes */
  readonly sites?: number;
  /** How long faults and work go on. @default 1h */
  readonly storm?: Time;
  /** Of the calm, before everything must have come right. @default 1h */
  readonly settle?: Time;
  /** What differs from a node as most are. */
  readonly node?: (index: number) => Partial<NodePlan>;
  /** What else differs: see `worldPlan` in sim/full/plan.ts. */
  readonly world?: Partial<Omit<WorldPlan, "nodes" | "stormMs" | "settleMs">>;
}

/** What happens at one time of the storm. Nodes are named by their number, from 0. */
export interface Moment {
  snapshot(node: number, options?: { readonly wait?: "safe" | "queued" }): Moment;
  /** The how manieth last snapshot; 0 is the newest. */
  restore(node: number, back?: number): Moment;
  verify(node: number, options?: { readonly readData?: boolean }): Moment;
  /** The owner of a machine that died comes back on a new one, by way of another node. */
  recover(node: number, via: number): Moment;
  fault(fault: ScenarioFault): Moment;
}

const NODE: NodePlan = {
  site: "s0",
  ...{ capacityBytes: 256 * MIB, bytesPerSecond: 1024 * KIB, syncMs: 2, skewMs: 0, rate: 1 },
};
const SITES = 3;

/**
 * What a scenario file is given: it says what the swarm is and what happens when, in any order; `plan` is what comes of it.
 * Loops and numbers drawn from `rng` give the same plan for the same seed.
 */
export class Scenario {
  readonly seed: string;
  readonly rng: SeededRng;
  readonly #workload: Step[] = [];
  readonly #faults: FaultPlan[] = [];
  readonly #expected: string[] = [];
  #world: WorldPlan | undefined;
  #story: string | undefined;

  constructor(seed: string) {
    this.seed = seed;
    this.rng = new SeededRng(`scenario/${seed}`);
  }

  /** One sentence: what this shows. */
  story(text: string): this {
    this.#story = text;
    return this;
  }

  swarm({
    nodes,
    sites = Math.min(SITES, nodes),
    storm = "1h",
    settle = "1h",
    node,
    world,
  }: SwarmShape): this {
    this.#world = {
      nodes: Array.from({ length: nodes }, (_, index) => ({
        ...NODE,
        site: `s${index % sites}`,
        ...node?.(index),
      })),
      ...{ latencyMs: 10, scrubPeriodMs: 24 * 60 * MINUTE_MS, syncEveryMs: MINUTE_MS / 2, beyond: false },
      ...world,
      stormMs: msOf(storm),
      settleMs: msOf(settle),
    };
    return this;
  }

  /** A time of the storm. */
  at(time: Time): Moment {
    return this.#moment(msOf(time));
  }

  /** Again and again from then on, to the end of the storm; `swarm` comes before. */
  every(time: Time, what: (at: Moment, round: number) => void): this {
    const everyMs = msOf(time);
    if (this.#world === undefined)
      throw new Error("a scenario says what the swarm is before what happens in it");
    if (everyMs <= 0) throw new Error("something happens again after some time");
    let round = 0;
    for (let atMs = everyMs; atMs < this.#world.stormMs; atMs += everyMs) what(this.#moment(atMs), round++);
    return this;
  }

  /** A label that must come up, as with `--require`: else the run ends with 3. */
  expect(label: string): this {
    this.#expected.push(label);
    return this;
  }

  get expected(): readonly string[] {
    return this.#expected;
  }

  plan(): Plan {
    if (this.#world === undefined) throw new Error("a scenario says what the swarm is");
    return {
      v: 1,
      seed: this.seed,
      ...(this.#story === undefined ? {} : { story: this.#story }),
      world: this.#world,
      workload: this.#workload.toSorted((a, b) => a.atMs - b.atMs),
      faults: this.#faults.toSorted((a, b) => a.atMs - b.atMs),
    };
  }

  #moment(atMs: number): Moment {
    const step = (one: Step): Moment => {
      this.#workload.push(one);
      return moment;
    };
    const moment: Moment = {
      snapshot: (node, { wait = "safe" } = {}) =>
        step({ atMs, do: "snapshot", node, changes: this.rng.below(1e6), wait }),
      restore: (node, back = 0) => step({ atMs, do: "restore", node, back }),
      verify: (node, { readData = false } = {}) => step({ atMs, do: "verify", node, readData }),
      recover: (node, via) => step({ atMs, do: "recover", node, via }),
      fault: (fault) => {
        this.#faults.push("for" in fault ? lasting(fault, atMs) : { ...fault, atMs });
        return moment;
      },
    };
    return moment;
  }
}

function lasting(fault: Extract<ScenarioFault, { readonly for: Time }>, atMs: number): FaultPlan {
  const { for: time, ...rest } = fault;
  return { ...rest, atMs, forMs: msOf(time) };
}

function msOf(time: Time): number {
  const ms = parseDuration(time);
  if (ms === undefined) throw new Error(`"${time}" is not a time such as 90s, 10m or 2h`);
  return ms;
}
