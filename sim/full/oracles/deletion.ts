import { must } from "../../../src/base/assert.ts";
import type { Incarnation, OwnerId, SegmentId, ShardId } from "../../../src/base/ids.ts";
import { segmentKey, shardKey } from "../../../src/base/ids.ts";
import { incarnationBody } from "../../../src/wire/data.ts";
import { rulesOf } from "../deletions.ts";
import type { LogFields, SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** Follows a holder's shards on their way out, as it says it. */
export function checkCollecting(world: World, machine: SimMachine, event: string, fields: LogFields): void {
  if (event !== "shard-trashed" && event !== "shard-deleted" && event !== "shard-taken-back") return;
  const shard = must(world.truth.shardNamed(String(fields["shard"])), "shard that was put");
  const { deletions } = world;
  if (event === "shard-taken-back") deletions.takenBack(machine, shard);
  else if (event === "shard-deleted") checkDeleted(world, machine, shard);
  else checkTrashed(world, machine, shard, Number(fields["bytes"]));
}

function checkTrashed(world: World, machine: SimMachine, shard: ShardId, bytes: number): void {
  const over = world.deletions.trashed(machine, shard, bytes, rulesOf(world.plan.world.collection));
  if (over !== undefined && !world.released.has(shard.owner) && isTrueToItself(machine))
    world.violate("brake", over, machine);
}

/** Everything that entitles a holder, worked out again. */
function checkDeleted(world: World, machine: SimMachine, shard: ShardId): void {
  const wrong = whyNot(world, machine, shard);
  if (wrong !== undefined && isTrueToItself(machine)) world.violate(wrong.oracle, wrong.message, machine);
  world.truth.released(machine, shard);
}

/** Its disk was never put back: what it has said it knows. */
function isTrueToItself(machine: SimMachine): boolean {
  return machine.isHonest && !machine.wasRolledBack;
}

/** Why this holder may not be without this shard for want of interest; `undefined`: it may. */
export function whyNot(
  world: World,
  machine: SimMachine,
  shard: ShardId,
): { oracle: string; message: string } | undefined {
  const { truth, deletions, plan } = world;
  const name = shardKey(shard);
  const lockedMs = deletions.lockedForMs(machine, shard);
  if (lockedMs > 0)
    return {
      oracle: "lock-holds",
      message: `${name} is gone, and locked for ${Math.round(lockedMs / 1000)} s more`,
    };
  const { delayMs, trashMs } = rulesOf(plan.world.collection);
  const certified = certifiedBy(machine, shard.owner, world);
  const omittedMs = deletions.omittedForMs(machine, shard, certified);
  if (omittedMs === undefined)
    return { oracle: "deleted-rightly", message: `${name} is gone, and no live set in force leaves it out` };
  if (omittedMs < delayMs + trashMs)
    return {
      oracle: "deleted-rightly",
      message: `${name} is gone ${Math.round(omittedMs / 1000)} s after a live set left it out`,
    };
  const wanted = truth.kept(shard.owner).find(({ segments }) => segments.some((id) => isOf(id, shard)));
  if (wanted === undefined) return undefined;
  if (wanted.life !== (certified ?? shard.incarnation)) {
    // Nobody has told this holder that there is a life that wants it again.
    world.label("deletion: a later life wanted it");
    return undefined;
  }
  return {
    oracle: "deleted-rightly",
    message: `${name} is gone, and ${wanted.id.slice(0, 12)} needs it, saved at ${Math.round(wanted.atMs / 1000)} s`,
  };
}

function isOf(segment: SegmentId, shard: ShardId): boolean {
  return segmentKey(segment) === segmentKey(shard);
}

/** The life that the owner's recovery key certified last, as far as this machine has heard. */
function certifiedBy(machine: SimMachine, owner: OwnerId, world: World): Incarnation | undefined {
  const identity = world.machines.find((one) => one.identity.keys.owner === owner)?.identity;
  const signer = identity?.recovery.identity.publicKey;
  const said =
    signer === undefined ? undefined : machine.running?.records.get({ type: "incarnation", signer });
  return said === undefined ? undefined : incarnationBody.decode(said.body).incarnation;
}

/** Whatever locked snapshots need can be had, by all that holders have promised, until their time is over. */
export function checkLocked(world: World): void {
  for (const [id, untilMs] of world.lockedUntilMs) {
    if (world.scheduler.nowMs >= untilMs) continue;
    const snapshot = world.truth.snapshots.find((one) => one.id === id);
    for (const segment of snapshot?.segments ?? []) {
      const k = world.truth.segments.get(segmentKey(segment))?.k ?? 1;
      const there = world.truth.promisedIndexes(segment, world.machines).size;
      if (there < k)
        world.violate("lock-holds", `${segmentKey(segment)} has ${there} of ${k} shards, and is locked`);
    }
  }
}
