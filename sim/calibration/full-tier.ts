import { must } from "../../src/base/assert.ts";
import type { ErasureCodec } from "../../src/erasure/index.ts";
import type { SimMachine } from "../full/machine.ts";
import { runWorld, summaryOf } from "../full/run.ts";
import { changeFiles, SOURCE } from "../full/workload.ts";
import type { World } from "../full/world.ts";
import {
  BEGIN_MS,
  END_MS,
  LOOK_EVERY_MS,
  type LossRun,
  MODEL_UPKEEP,
  modelPlan,
  PHASE_MS,
  PROFILE,
} from "./model.ts";

const CHANGES = 12;

/** The model as the program itself lives through it. */
export async function lossInFullTier(seed: string, codec: ErasureCodec): Promise<LossRun> {
  let found: LossRun | undefined;
  const result = await runWorld(
    { plan: modelPlan(seed), codec, wishes: { upkeep: MODEL_UPKEEP } },
    async (world) => {
      await world.setUp();
      await world.until(
        world.begin(async () => {
          found = await lose(world);
        }),
        BEGIN_MS + 2 * END_MS,
      );
    },
  );
  if (result.violations.length > 0) throw new Error(`seed ${seed}: ${summaryOf(result)}`);
  return must(found, "run of the model");
}

async function lose(world: World): Promise<LossRun> {
  const { scheduler, machines, networks } = world;
  const [owner, ...others] = machines;
  const segments = await save(world, must(owner, "owner"));
  await scheduler.sleep(BEGIN_MS + world.rng.fork("phase").float() * PHASE_MS);
  const holders = others.filter((machine) => machine.shardDisk.usedBytes() > 0);
  const victim = world.rng.fork("victim").pick(holders);
  const lostBytes = victim.shardDisk.usedBytes();
  const [diedMs, sentBytes] = [scheduler.nowMs, networks.bodyBytes()];
  world.truth.damageAll(victim);
  victim.die();
  const left = machines.filter((machine) => machine !== victim);
  const isKnown = (): boolean =>
    left.every(({ node }) => node.presence.nodes().get(victim.peer)?.state === "absent");
  const isWhole = (): boolean => segments.every((id) => world.truth.margin(id, left) >= PROFILE.m);
  const knownMs = await until(world, isKnown, diedMs);
  const wholeMs = await until(world, isWhole, diedMs);
  return { knownMs, wholeMs, bytesPerLostByte: (networks.bodyBytes() - sentBytes) / lostBytes };
}

/** Some files, all shards placed. */
async function save(world: World, owner: SimMachine) {
  for (let changes = 0; changes < CHANGES; changes++) changeFiles(owner, changes);
  const files = owner.files.contents(SOURCE);
  const source = { kind: "paths" as const, paths: [SOURCE], excludes: [], oneFileSystem: false };
  const { signal } = new AbortController();
  const { entry, protection } = await owner.node.repository.snapshot({
    ...{ source, tags: [], wait: "safe", signal, profile: PROFILE },
    onProgress: () => {},
  });
  if (protection.state !== "full") throw new Error(`the snapshot of the model is ${protection.state}`);
  const when = { atMs: world.scheduler.nowMs, isKept: true };
  return (await world.truth.acknowledged(owner.node, entry, files, when)).segments;
}

async function until(world: World, holds: () => boolean, fromMs: number): Promise<number> {
  while (!holds()) {
    if (world.scheduler.nowMs - fromMs > END_MS) throw new Error("the loss was not made good in time");
    await world.scheduler.sleep(LOOK_EVERY_MS);
  }
  return world.scheduler.nowMs - fromMs;
}
