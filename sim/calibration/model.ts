import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import type { UpkeepSettings } from "../../src/upkeep/index.ts";
import { UPKEEP } from "../full/machine.ts";
import type { NodePlan, Plan } from "../full/plan.ts";

/**
 * The small swarm that both tiers live through: one node of five, one at each site, keeps data of which any two of three shards are
 * enough; one that holds some is lost for good. Clocks are short, in about the proportions of the field's.
 */
export const NODES = 5;
export const PROFILE = { k: 2, m: 1 } as const;

export const MODEL_UPKEEP: UpkeepSettings = {
  ...UPKEEP,
  liveness: {
    ...UPKEEP.liveness,
    unreachableAfterMs: 6 * MINUTE_MS,
    beatSlackMs: 15 * MINUTE_MS,
    reportValidMs: 24 * MINUTE_MS,
    returnStableMs: 6 * MINUTE_MS,
  },
  grace: { byMarginMs: [10 * MINUTE_MS], firstWithOwnerMs: 10 * MINUTE_MS },
  beatEveryMs: MINUTE_MS,
  assessEveryMs: 2 * MINUTE_MS,
};

/** Nobody is lost before beats have gone around. */
export const BEGIN_MS = 15 * MINUTE_MS;
/** The loss falls anywhere between two beats and two assessments. */
export const PHASE_MS = 4 * MINUTE_MS;
/** By then it is made good, or it never will be. */
export const END_MS = 2 * HOUR_MS;
export const LOOK_EVERY_MS = 2000;

/** What the loss of one node led to. */
export interface LossRun {
  /** From the loss until everybody calls the node absent. */
  readonly knownMs: number;
  /** From the loss until every segment has all its shards again. */
  readonly wholeMs: number;
  /** That repair sent, for each byte that was lost. */
  readonly bytesPerLostByte: number;
}

export function modelPlan(seed: string): Plan {
  const node = (index: number): NodePlan => ({
    site: `s${index}`,
    ...{ capacityBytes: 2 ** 28, bytesPerSecond: 1.25e6, syncMs: 2, skewMs: 0, rate: 1 },
  });
  return {
    v: 1,
    seed,
    world: {
      nodes: Array.from({ length: NODES }, (_, index) => node(index)),
      ...{ latencyMs: 20, stormMs: END_MS, settleMs: 0, scrubPeriodMs: 30 * 24 * HOUR_MS },
      ...{ syncEveryMs: MINUTE_MS, beyond: true },
    },
    workload: [],
    faults: [],
  };
}
