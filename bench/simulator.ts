/**
 * What the full tier of the simulator does with a second of processor time, and what a simulated node takes of memory.
 *
 *   node bench/simulator.ts [seeds] [nodes]
 *
 * Seeds 1 to N as `cairn sim run` draws them, storm and calm, rules checked. Memory: the heap that so many nodes take that
 * have joined a swarm and saved nothing, garbage collected; disks are in it.
 */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { cpuMs, plansOf, runCampaign } from "../sim/full/campaign.ts";
import { planOf } from "../sim/full/generate.ts";
import { World } from "../sim/full/world.ts";
import { Scheduler } from "../sim/scheduler.ts";
import { readReedSolomonWasm } from "../src/adapters/workers/reed-solomon-wasm.ts";
import { DAY_MS, KIB, MINUTE_MS, SECOND_MS } from "../src/base/units.ts";
import { createWasmCodec } from "../src/erasure/index.ts";

const codec = createWasmCodec(readReedSolomonWasm());
const seeds = Number(process.argv[2] ?? 10);
const nodes = Number(process.argv[3] ?? 40);

const { totals } = await runCampaign({
  codec,
  plans: plansOf("1", seeds, {}),
  mayGoOn: () => true,
  ...{ twiceEvery: 0, shrinkForMs: 0, keepGoing: true },
  onRun: () => {},
});
const cpuS = totals.cpuMs / SECOND_MS;
const years = totals.nodeMs / DAY_MS / 365.25;
console.log(`${totals.seeds} seeds, ${totals.failed} broke a rule, ${cpuS.toFixed(1)} s of processor time`);
console.log(`${Math.round(totals.events / cpuS)} events a second`);
console.log(`${((totals.seeds / cpuS) * 60).toFixed(1)} seeds a minute`);
console.log(`${(years / cpuS).toFixed(5)} node-years a second`);

const heapBefore = heapBytes();
const beganMs = cpuMs();
const scheduler = await Scheduler.create();
const world = new World({ plan: planOf("1", { nodes, sites: 5 }), scheduler, codec });
await world.setUp();
await world.until(scheduler.sleep(10 * MINUTE_MS), 11 * MINUTE_MS);
const perNode = (heapBytes() - heapBefore) / world.machines.length;
console.log(`${Math.round(perNode / KIB)} KiB of heap for each of ${world.machines.length} nodes`);
console.log(
  `${((cpuMs() - beganMs) / SECOND_MS).toFixed(1)} s to have them all join, and ten minutes of rest`,
);

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}
