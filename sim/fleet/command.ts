import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { formatBytes, formatDuration } from "../../src/base/units.ts";
import { chartOf } from "./chart.ts";
import { type Fleet, readFleet } from "./fleet.ts";
import { type FleetReport, runFleet } from "./run.ts";

/** `cairn sim fleet FILE`: what an operator's own swarm makes of so many years. True where nothing was lost. */
export async function fleetCommand(argv: readonly string[]): Promise<boolean> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      seed: { type: "string", default: "1" },
      years: { type: "string" },
      profile: { type: "string" },
      svg: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const [file] = positionals;
  if (file === undefined) throw new Error("a fleet is needed: cairn sim fleet FILE.json");
  const read: unknown = JSON.parse(readFileSync(file, "utf8"));
  const changes = {
    ...(values.years === undefined ? {} : { years: Number(values.years) }),
    ...(values.profile === undefined ? {} : { profile: values.profile }),
  };
  const fleet = readFleet(JSON.stringify(Object.assign({}, read, changes)));
  return await letYearsGoBy(fleet, values);
}

/** `cairn sim run --tier durability`: a fleet from a file, or one of so many nodes with everything as most have it. */
export async function durabilityTier(options: {
  readonly scenario?: string | undefined;
  readonly seed?: string | undefined;
  readonly nodes?: string | undefined;
  readonly sites?: string | undefined;
  readonly json?: boolean | undefined;
  readonly numberOf: (text: string | undefined) => number | undefined;
}): Promise<boolean> {
  const { scenario, seed = "1", json = false, numberOf } = options;
  const text =
    scenario === undefined
      ? JSON.stringify(usualFleet(numberOf(options.nodes) ?? NODES, numberOf(options.sites) ?? SITES))
      : readFileSync(scenario, "utf8");
  return await letYearsGoBy(readFleet(text), { seed, json });
}

const NODES = 1000;
const SITES = 20;

function usualFleet(nodes: number, sites: number): unknown {
  const upTo = (site: number): number => Math.floor((site * nodes) / sites);
  const each = { capacity: "2TB", data: "300GB", uplink: "10Mbit/s" };
  return {
    sites: Array.from({ length: sites }, (_, site) => ({
      name: `site-${site + 1}`,
      nodes: upTo(site + 1) - upTo(site),
      ...each,
    })),
  };
}

async function letYearsGoBy(
  fleet: Fleet,
  values: { readonly seed: string; readonly json: boolean; readonly svg?: string | undefined },
): Promise<boolean> {
  const cpu = process.cpuUsage();
  const report = await runFleet(fleet, values.seed);
  const { user, system } = process.cpuUsage(cpu);
  const cpuS = (user + system) / 1e6;
  if (values.svg !== undefined) writeFileSync(values.svg, chartOf(report));
  process.stdout.write(
    values.json ? `${JSON.stringify({ ...report, seed: values.seed, cpuS })}\n` : textOf(report, cpuS),
  );
  return report.rowsLost === 0;
}

function textOf(report: FleetReport, cpuS: number): string {
  const { survives, bytesSentPerNodeYear: sent } = report;
  const lost =
    report.rowsLost === 0
      ? "nothing was lost"
      : `LOST: ${formatBytes(report.bytesLost)} (${report.rowsLost} of ${report.rows} groups of segments)`;
  return [
    `${report.nodes} nodes at ${report.sites} sites, profile ${report.profile}, ${report.years} years`,
    ...report.notes,
    lost,
    `at the end every segment survives ${survives.sites} sites or ${survives.nodes} nodes`,
    `least margin ${report.leastMargin}; ${report.timesAtRisk} times no further shard could be lost, for ${formatDuration(report.longestAtRiskMs)} at most`,
    `${report.givenAgain} times too few shards were left and the living owner gave them again`,
    `${report.nodesLost} nodes and ${report.sitesLost} sites were lost, ${report.outages} outages, ${report.rotten} shards went bad`,
    `repair moved ${formatBytes(report.bytesRepaired)} (${report.shardsRepaired} shards); a node sent ${formatBytes(sent.mean)} a year, ${formatBytes(sent.most)} at most`,
    `${report.events} events in ${cpuS.toFixed(1)} s of processor time (${((report.nodes * report.years) / cpuS).toFixed(0)} node-years a second), at most ${Math.round(process.memoryUsage().rss / (report.nodes * 1024))} KiB of memory a node`,
    "",
  ].join("\n");
}
