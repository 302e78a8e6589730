import { type SegmentId, segmentKey } from "../../../src/base/ids.ts";
import type { SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** Of a disk: what a shard, and what else is written meanwhile, surely fits into. */
const ROOM_BYTES = 2 ** 20;

/**
 * At the end of a calm: a site that has more of a segment than its class allows, because a repair had no better place for a
 * shard or because somebody came back, has handed it on, where a machine of another site can take it.
 */
export function checkSpread(world: World): void {
  // Whoever has no quota left takes nothing, and which that are is for no oracle to say.
  if (world.plan.world.quotaBytes !== undefined) return;
  for (const machine of world.living()) {
    if (!machine.isOn || !machine.isHonest || machine.wasRolledBack || machine.node.isFenced) continue;
    const { owner } = machine.node.repository.catalog;
    for (const id of world.truth.needed()) if (id.owner === owner) checkSegment(world, machine, id);
  }
}

function checkSegment(world: World, machine: SimMachine, id: SegmentId): void {
  const { catalog, maps } = machine.node.repository;
  const incarnation = catalog.state.incarnations.indexOf(id.incarnation);
  const record = catalog.segments.get({ incarnation, number: id.number });
  // What an earlier life saved is its holders' business.
  if (record === undefined || incarnation !== catalog.currentIncarnation) return;
  const { cap } = maps.class(incarnation, record.class);
  const holders = record.slots.flatMap((slot) => {
    const holder = slot === null ? undefined : world.byPeer(slot.peer);
    return holder === undefined || holder.isDead ? [] : [holder];
  });
  const atSite = Map.groupBy(holders, ({ site }) => site);
  const full = [...atSite].find(([, ofSite]) => ofSite.length > cap)?.[0];
  if (full === undefined) return;
  const other = world
    .living()
    .find(
      (one) =>
        one !== machine &&
        !holders.includes(one) &&
        (atSite.get(one.site)?.length ?? 0) < cap &&
        mayTake(machine, one),
    );
  world.label(other === undefined ? "calm: nowhere else for a shard" : "calm: a site has too much");
  if (other === undefined) return;
  world.violate(
    "site-rule",
    `${segmentKey(id)}: still more than ${cap} shards at ${full}, and ${other.name} could take one`,
    machine,
  );
}

/** It is up and well, has room, and the owner holds nothing against it. */
function mayTake(owner: SimMachine, one: SimMachine): boolean {
  if (!one.isOn || !one.isHonest || one.wasRolledBack) return false;
  const holder = owner.node.presence.holders().get(one.peer);
  if (holder?.liveness.state !== "alive" || holder.trust.kind !== "trusted" || holder.isOverfull)
    return false;
  return one.shardDisk.usedBytes() + ROOM_BYTES < one.init.plan.capacityBytes;
}
