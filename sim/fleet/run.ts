import { segmentSurvival } from "../../src/placement/index.ts";
import { Scheduler } from "../scheduler.ts";
import type { Fleet } from "./fleet.ts";
import type { Sample } from "./ledger.ts";
import { FleetModel, YEAR_MS } from "./model.ts";

export interface FleetReport {
  readonly nodes: number;
  readonly sites: number;
  readonly years: number;
  readonly profile: string;
  readonly notes: readonly string[];
  /** What the rows survive at the end, the worst of them. */
  readonly survives: { readonly sites: number; readonly nodes: number };
  readonly outages: number;
  readonly nodesLost: number;
  readonly sitesLost: number;
  readonly rotten: number;
  readonly shardsRepaired: number;
  readonly bytesRepaired: number;
  /** A year, in the mean and at most, over one node's uplink. */
  readonly bytesSentPerNodeYear: { readonly mean: number; readonly most: number };
  readonly leastMargin: number;
  readonly timesAtRisk: number;
  readonly longestAtRiskMs: number;
  /** Rows of too few shards that their living owners gave again. */
  readonly givenAgain: number;
  readonly rows: number;
  readonly rowsLost: number;
  readonly bytesLost: number;
  readonly events: number;
  readonly hash: string;
  readonly samples: readonly Sample[];
}

const SAMPLES = 240;

/** The years of a fleet from a seed. */
export async function runFleet(fleet: Fleet, seed: string): Promise<FleetReport> {
  const scheduler = await Scheduler.create();
  const model = new FleetModel(fleet, seed, scheduler);
  const endMs = fleet.years * YEAR_MS;
  const everyMs = endMs / SAMPLES;
  const sample = (): void => {
    model.ledger.sample();
    scheduler.after(everyMs, sample);
  };
  sample();
  await scheduler.run(endMs);
  model.ledger.close();
  const { ledger, nodes, rows } = model;
  const sent = nodes.map(({ sentBytes }) => sentBytes / fleet.years);
  return {
    nodes: nodes.length,
    sites: fleet.sites.length,
    years: fleet.years,
    profile: `${fleet.class.k}+${fleet.class.m}`,
    notes: fleet.notes,
    survives: survivalOf(model),
    outages: ledger.outages,
    nodesLost: ledger.losses,
    sitesLost: ledger.siteLosses,
    rotten: ledger.rotten,
    shardsRepaired: ledger.shardsRepaired,
    bytesRepaired: ledger.bytesRepaired,
    bytesSentPerNodeYear: {
      mean: sent.reduce((sum, bytes) => sum + bytes, 0) / sent.length,
      most: Math.max(...sent),
    },
    leastMargin: ledger.leastMargin,
    timesAtRisk: ledger.timesAtRisk,
    longestAtRiskMs: ledger.longestAtRiskMs,
    givenAgain: ledger.givenAgain,
    rows: rows.length,
    rowsLost: ledger.rowsGone,
    bytesLost: ledger.bytesGone,
    events: scheduler.events,
    hash: scheduler.trace.hex(),
    samples: ledger.samples,
  };
}

function survivalOf({ rows, fleet }: FleetModel): { sites: number; nodes: number } {
  const { k, m } = fleet.class;
  const all = rows
    .filter(({ isGone }) => !isGone)
    .map((row) => {
      const shards = row.slots.flatMap((holder, index) =>
        holder === undefined || row.shards[index] !== "good"
          ? []
          : [{ index, peer: holder.peer, site: holder.site, host: holder.placement.host }],
      );
      return segmentSurvival({ k, n: k + m, shards });
    });
  return {
    sites: Math.min(...all.map(({ sites }) => sites)),
    nodes: Math.min(...all.map(({ nodes }) => nodes)),
  };
}
