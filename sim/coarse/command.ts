import { readReedSolomonWasm } from "../../src/adapters/workers/reed-solomon-wasm.ts";
import { DAY_MS, KIB, SECOND_MS } from "../../src/base/units.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";
import { SIM_EXIT, type SimExit, type SimOptions } from "../command.ts";
import { numberOf } from "../full/command.ts";
import { planIn } from "../scenario/load.ts";
import { type CoarseShape, coarsePlanOf } from "./plan.ts";
import { type CoarseResult, runCoarse } from "./run.ts";

const NODES = 1000;
const NODES_PER_SITE = 25;
const HOURS = 24;
const LINES_SHOWN = 40;

/** `cairn sim run --tier coarse`: one large swarm from a seed, or from a plan. */
export async function runCoarseTier(options: SimOptions): Promise<SimExit> {
  const seed = options.seed ?? "1";
  const nodes = numberOf(options.nodes) ?? NODES;
  const sites = numberOf(options.sites) ?? Math.max(1, Math.round(nodes / NODES_PER_SITE));
  const clocks = clocksOf(options.clocks);
  const shape = { nodes, sites, hours: numberOf(options.hours) ?? HOURS, clocks };
  const plan =
    options.scenario === undefined ? coarsePlanOf(seed, shape) : (await planIn(options.scenario, seed)).plan;
  const codec = createWasmCodec(readReedSolomonWasm());
  const result = await runCoarse({ plan, codec, clocks }, (stage) => {
    if (options.json !== true) process.stderr.write(`${stage}\n`);
  });
  process.stdout.write(options.json === true ? `${JSON.stringify(jsonOf(result))}\n` : textOf(result));
  return result.violations.length === 0 ? SIM_EXIT.held : SIM_EXIT.violated;
}

function clocksOf(text: string | undefined): CoarseShape["clocks"] {
  if (text === undefined || text === "coarse" || text === "field") return text ?? "coarse";
  throw new Error(`"${text}" are no clocks; there are coarse and field`);
}

/** Processor seconds for a day of the swarm, faults and all. */
export function cpuSecondsPerDay({ figures }: CoarseResult): number {
  return (figures.stormCpuMs / SECOND_MS) * (DAY_MS / figures.stormMs);
}

function textOf(result: CoarseResult): string {
  const { plan, figures, violations, events, hash } = result;
  const rates = [...figures.quiet].map(([kind, rate]) => `${kind} ${rate.toFixed(2)}`).join(", ");
  const broken = violations.map(
    ({ oracle, message, atMs, node }) =>
      `  ${oracle}: ${message} (${node ?? "world"}, ${(atMs / SECOND_MS).toFixed(0)} s)`,
  );
  return [
    ...(violations.length === 0 ? [] : [...result.lines.slice(-LINES_SHOWN), "VIOLATED:", ...broken]),
    `seed ${plan.seed}: ${plan.world.nodes.length} nodes, ${plan.faults.length} faults, ${events} events, ${hash}`,
    `processor time: ${(figures.setUpCpuMs / SECOND_MS).toFixed(1)} s until everybody runs and has heard of everybody, then ${cpuSecondsPerDay(result).toFixed(1)} s for a day`,
    `memory: ${Math.round(figures.heapBytesPerNode / KIB)} KiB of heap for each node`,
    `membership, each node in and out, with overhead: ${result.membershipQuiet.toFixed(2)} kbit/s in a quiet hour, ${result.membershipBusy.toFixed(2)} over the hours with faults`,
    `  a quiet hour, kbit/s: ${rates}`,
    violations.length === 0 ? "all rules held" : "",
    "",
  ].join("\n");
}

function jsonOf(result: CoarseResult): unknown {
  const { plan, figures, violations, events, hash, labels, membershipBusy, membershipQuiet } = result;
  return {
    ok: violations.length === 0,
    ...{ node: process.version, seed: plan.seed, nodes: plan.world.nodes.length, hash, events, violations },
    setUpCpuMs: figures.setUpCpuMs,
    cpuMsPerDay: cpuSecondsPerDay(result) * SECOND_MS,
    heapBytesPerNode: figures.heapBytesPerNode,
    membershipKilobitsPerSecond: { quiet: membershipQuiet, busy: membershipBusy },
    quietKilobitsPerSecond: Object.fromEntries(figures.quiet),
    labels: Object.fromEntries([...labels].sort()),
  };
}
