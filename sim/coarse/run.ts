import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../../src/base/units.ts";
import type { ErasureCodec } from "../../src/erasure/index.ts";
import { cpuMs } from "../full/campaign.ts";
import { Faults } from "../full/faults.ts";
import type { Plan } from "../full/plan.ts";
import { type RunResult, runWorld } from "../full/run.ts";
import { Workload } from "../full/workload.ts";
import type { World } from "../full/world.ts";
import { foundAll, sharedEntries } from "./founding.ts";
import { checkCoarse, checkKnown, checkRestorable } from "./oracles.ts";
import { type CoarseShape, coarseWishes, factorOf } from "./plan.ts";
import { membershipOf, Traffic } from "./traffic.ts";

/** What a large swarm costs, and what its nodes tell each other. */
export interface CoarseFigures {
  /** Processor time until everybody runs and has heard of everybody. */
  setUpCpuMs: number;
  /** Processor time of the hours that follow, and their number. */
  stormCpuMs: number;
  stormMs: number;
  events: number;
  heapBytesPerNode: number;
  /** In an hour in which nothing happens, of each node, in and out together, by kind of request. */
  quiet: ReadonlyMap<string, number>;
  /** The same over the hours with faults. */
  busy: ReadonlyMap<string, number>;
}

export interface CoarseResult extends RunResult {
  readonly figures: CoarseFigures;
  readonly membershipQuiet: number;
  readonly membershipBusy: number;
}

export interface CoarseInit {
  readonly plan: Plan;
  readonly codec: ErasureCodec;
  readonly clocks: CoarseShape["clocks"];
}

const START_MS = HOUR_MS;
/** Until the news of the start have gone around, by the field's clocks. */
const WARM_UP_MS = HOUR_MS / 2;
const QUIET_MS = HOUR_MS;
const LOOK_EVERY_MS = 2 * HOUR_MS;
const CALM_MS = 2 * DAY_MS;

/** The same core as in the full tier, in a swarm whose members need not join one after the other. */
export async function runCoarse(
  { plan, codec, clocks }: CoarseInit,
  onStage: (stage: string) => void = () => {},
): Promise<CoarseResult> {
  const figures: CoarseFigures = {
    ...{ setUpCpuMs: 0, stormCpuMs: 0, stormMs: plan.world.stormMs, events: 0, heapBytesPerNode: 0 },
    ...{ quiet: new Map(), busy: new Map() },
  };
  const wishes = { ...coarseWishes(clocks), decodeEntry: sharedEntries() };
  const heapBefore = heapBytes();
  const result = await runWorld({ plan, codec, wishes }, (world) =>
    live(world, { figures, heapBefore, onStage, factor: factorOf(clocks) }),
  );
  const { quiet, busy } = figures;
  return { ...result, figures, membershipQuiet: membershipOf(quiet), membershipBusy: membershipOf(busy) };
}

interface Watch {
  readonly figures: CoarseFigures;
  readonly heapBefore: number;
  readonly onStage: (stage: string) => void;
  readonly factor: number;
}

async function live(world: World, { figures, heapBefore, onStage, factor }: Watch): Promise<void> {
  const { scheduler, plan } = world;
  const nodes = plan.world.nodes.length;
  const traffic = new Traffic(0);
  world.onExchange = (answered) => traffic.count(answered);
  const beganMs = cpuMs();
  const tell = (what: string): void => onStage(`${((cpuMs() - beganMs) / SECOND_MS).toFixed(1)} s: ${what}`);
  await world.until(
    world.begin(() => foundAll(world)),
    START_MS,
  );
  tell("the rosters are there");
  await world.until(
    world.begin(() => startAll(world)),
    START_MS,
  );
  tell("all nodes run");
  await pass(world, WARM_UP_MS * factor);
  figures.setUpCpuMs = cpuMs() - beganMs;
  tell("everybody has heard of everybody");
  traffic.clear(scheduler.nowMs);
  await pass(world, QUIET_MS);
  figures.quiet = traffic.kilobitsPerSecond(nodes, scheduler.nowMs);
  figures.heapBytesPerNode = (heapBytes() - heapBefore) / nodes;
  tell("an hour in which nothing happens");
  checkKnown(world, factor);
  await storm(world, { figures, traffic, nodes, factor }, tell);
}

async function storm(
  world: World,
  {
    figures,
    traffic,
    nodes,
    factor,
  }: { figures: CoarseFigures; traffic: Traffic; nodes: number; factor: number },
  tell: (what: string) => void,
): Promise<void> {
  const { scheduler, plan } = world;
  const { stormMs, settleMs } = plan.world;
  const [faults, workload] = [new Faults(world), new Workload(world)];
  const [startedMs, startedEvents] = [cpuMs(), scheduler.events];
  faults.schedule(scheduler.nowMs);
  workload.schedule(scheduler.nowMs);
  traffic.clear(scheduler.nowMs);
  for (let leftMs = stormMs; leftMs > 0; leftMs -= LOOK_EVERY_MS) {
    await pass(world, Math.min(leftMs, LOOK_EVERY_MS));
    checkCoarse(world);
  }
  figures.stormCpuMs = cpuMs() - startedMs;
  figures.events = scheduler.events - startedEvents;
  figures.busy = traffic.kilobitsPerSecond(nodes, scheduler.nowMs);
  tell("the storm is over");
  faults.heal();
  for (const machine of world.living()) world.startAgain(machine);
  await pass(world, settleMs + HOUR_MS * factor);
  checkCoarse(world);
  checkKnown(world, factor);
  await world.until(
    world.begin(() => checkRestorable(world, workload)),
    CALM_MS,
  );
  tell("everything came back");
}

async function startAll(world: World): Promise<void> {
  for (const machine of world.machines) {
    world.plugIn(machine);
    await machine.start();
  }
}

async function pass(world: World, ms: number): Promise<void> {
  await world.until(world.scheduler.sleep(ms), ms + MINUTE_MS);
}

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}
