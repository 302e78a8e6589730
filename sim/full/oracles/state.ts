import { toHex } from "../../../src/base/bytes.ts";
import { segmentKey, shardKey } from "../../../src/base/ids.ts";
import type { SimMachine } from "../machine.ts";
import type { World } from "../world.ts";
import { checkLocked, whyNot } from "./deletion.ts";

/** Looks at all disks and all nodes, as no node can, for what must never be so. Cheap enough for every virtual hour. */
export function checkState(world: World): void {
  for (const machine of world.machines) {
    if (machine.isDead) continue;
    checkPromises(world, machine);
    checkRoom(world, machine);
    checkQuotas(world, machine);
    checkScrub(world, machine);
    if (machine.isOn) checkSuspicions(world, machine);
    if (machine.isOn) checkVersions(world, machine);
    world.deletions.look(machine);
  }
  checkLocked(world);
}

/** Nothing that a machine knew is an older version now. */
export function checkVersions(world: World, machine: SimMachine): void {
  if (machine.wasRolledBack) return;
  const honest = world.machines.filter((one) => one.isHonest && !one.wasRolledBack);
  const keys = honest.flatMap(({ identity }) => [identity.node.publicKey, identity.keys.signer.publicKey]);
  const wrong = world.versions.look(machine, new Set(keys.map(toHex)));
  if (wrong !== undefined) world.violate("versions", wrong, machine);
}

/** What a holder gave a receipt for lies on its disk, unless an injected fault took it. */
function checkPromises(world: World, machine: SimMachine): void {
  const { truth } = world;
  if (!machine.isHonest) return;
  for (const { machine: holder, shard } of truth.receipts.values()) {
    if (holder !== machine || truth.isDamaged(machine, shard) || truth.isIntact(machine, shard)) continue;
    if (whyNot(world, machine, shard) === undefined) {
      // Deleted rightly by a program that died before it could say so.
      truth.released(machine, shard);
      continue;
    }
    world.violate("acknowledged-kept", `${shardKey(shard)} was acknowledged and is not on the disk`, machine);
    return;
  }
}

function checkRoom(world: World, machine: SimMachine): void {
  const { capacityBytes } = machine.init.plan;
  const usedBytes = machine.shardDisk.usedBytes();
  if (usedBytes > capacityBytes)
    world.violate("capacity", `${usedBytes} bytes are kept, and there is room for ${capacityBytes}`, machine);
}

/** What an owner's shards here cost the swarm, whole segments counted, is no more than it may have there. */
function checkQuotas(world: World, machine: SimMachine): void {
  const { quotaBytes } = world.plan.world;
  if (quotaBytes === undefined) return;
  const segments = new Map<string, { owner: string; bytes: number }>();
  for (const { id, bytes } of machine.shardDisk.sorted()) {
    const n = world.truth.segments.get(segmentKey(id))?.n ?? 1;
    segments.set(segmentKey(id), { owner: id.owner, bytes: bytes * n });
  }
  // Whoever founds a swarm has no bound.
  const founder = world.machines[0]?.identity.keys.owner;
  for (const [owner, of] of Map.groupBy(segments.values(), (segment) => segment.owner)) {
    const used = of.reduce((sum, { bytes }) => sum + bytes, 0);
    if (owner !== founder && used > quotaBytes)
      world.violate("quota", `an owner has ${used} bytes here, and may have ${quotaBytes}`, machine);
  }
}

/** Of the time in which a bad shard has to be found: the scrub has one period, and the machine its other work. */
const SCRUB_SLACK = 1.3;

/** What rotted in a store that was read all the time is out of service one period later. */
function checkScrub(world: World, machine: SimMachine): void {
  const { truth, plan, scheduler } = world;
  const sinceMs = Math.max(machine.onSinceMs, machine.troubledUntilMs);
  if (!machine.isOn || !machine.isHonest || machine.process.isPaused) return;
  for (const { machine: holder, shard, atMs } of truth.damaged.values()) {
    const knownMs = scheduler.nowMs - Math.max(atMs, sinceMs);
    const isInService = machine.shardDisk.get(shard) !== undefined;
    if (holder !== machine || !isInService || knownMs < plan.world.scrubPeriodMs * SCRUB_SLACK) continue;
    if (truth.isIntact(machine, shard)) continue;
    world.violate("scrub-finds", `${shardKey(shard)} is bad since ${Math.round(atMs / 1000)} s`, machine);
  }
}

/** Nobody holds anything against a machine that was always honest and that no fault took anything from. */
function checkSuspicions(world: World, machine: SimMachine): void {
  const { audits, presence } = machine.node;
  for (const [peer, { trust }] of presence.holders()) {
    const suspect = world.byPeer(peer);
    const why = audits.book.suspicion(peer) ?? (trust.kind === "suspect" ? trust : undefined);
    if (why === undefined || suspect === undefined || !suspect.isHonest || suspect.wasRolledBack) continue;
    if ([...world.truth.damaged.values()].some(({ machine: hit }) => hit === suspect)) continue;
    world.violate(
      "no-false-blame",
      `${suspect.name} is suspect and did nothing: ${JSON.stringify(why)}`,
      machine,
    );
  }
}
