import { must } from "../../src/base/assert.ts";
import { classFor } from "../../src/placement/index.ts";
import type { Calibration } from "../fleet/calibration.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { FleetModel } from "../fleet/model.ts";
import { SeededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import { BEGIN_MS, END_MS, type LossRun, MODEL_UPKEEP, NODES, PHASE_MS, PROFILE } from "./model.ts";

const DATA_BYTES = 400_000;
const ROWS_PER_OWNER = 16;
const NOTHING = { outagesPerYear: 0, nodeLossPerYear: 0, siteLossPerYear: 0, rotPerTerabyteYear: 0 };

/** The same swarm, event by event. */
export async function lossInEventTier(seed: string, calibration?: Calibration): Promise<LossRun> {
  const scheduler = await Scheduler.create();
  const model = new FleetModel(modelFleet(), seed, scheduler, calibration);
  const rng = new SeededRng(`loss/${seed}`);
  await scheduler.run(BEGIN_MS + rng.float() * PHASE_MS);
  const owner = must(model.nodes[0], "owner");
  const rows = model.rows.filter((row) => row.owner === owner);
  const victim = rng.pick(model.nodes.filter((node) => node !== owner && node.usedBytes > 0));
  const lostBytes = victim.usedBytes;
  const diedMs = scheduler.nowMs;
  model.lose(victim);
  const knownMs = await until(scheduler, () => victim.liveness.state === "absent", diedMs);
  const wholeMs = await until(scheduler, () => rows.every(({ margin }) => margin >= PROFILE.m), diedMs);
  return { knownMs, wholeMs, bytesPerLostByte: model.ledger.bytesRepaired / lostBytes };
}

/** One node has data, at every site is one; only what the model is about happens. */
function modelFleet(): Fleet {
  const sites = Array.from({ length: NODES }, (_, index) => ({
    name: `s${index}`,
    ...{
      nodes: 1,
      capacityBytes: 2 ** 28,
      dataBytes: index === 0 ? DATA_BYTES : 0,
      uplinkBitsPerSecond: 1e7,
    },
  }));
  const others = sites.slice(1).map(({ nodes }) => nodes);
  return {
    sites,
    profile: `${PROFILE.k}+${PROFILE.m}`,
    class: classFor(PROFILE, { sites: others }).class,
    ...{ notes: [], upkeep: MODEL_UPKEEP, years: 1, rowsPerOwner: ROWS_PER_OWNER },
    churn: { ...NOTHING, outageMs: 0, replacedAfterMs: 2 * END_MS, scrubMs: END_MS },
  };
}

/** Event by event, to the one with which it holds. */
async function until(scheduler: Scheduler, holds: () => boolean, fromMs: number): Promise<number> {
  const STEP_MS = 100;
  while (!holds()) {
    if (scheduler.nowMs - fromMs > END_MS) throw new Error("the loss was not made good in time");
    await scheduler.run(scheduler.nowMs + STEP_MS);
  }
  return scheduler.nowMs - fromMs;
}
