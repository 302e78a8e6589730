import { AUDIT_EVERY_MS } from "../../../src/audit/index.ts";
import { type SegmentId, shardKey } from "../../../src/base/ids.ts";
import { MINUTE_MS } from "../../../src/base/units.ts";
import type { SimMachine } from "../machine.ts";
import type { World } from "../world.ts";

/** After a start, or after a holder was back: connections come first, and the first turn comes at some time within this. */
const BEGIN_MS = 15 * MINUTE_MS;
/** Holders have turns, about one a minute. */
const TURN_MS = 2 * MINUTE_MS;

/** When an owner that is up knows of every whole shard that a holder has thrown away. */
export function foundWithinMs(world: World): number {
  const { auditEveryMs = AUDIT_EVERY_MS } = world.plan.world;
  return auditEveryMs * 1.5 + BEGIN_MS + TURN_MS * world.machines.length;
}

/**
 * Of what a holder threw away no owner goes on counting: it lies elsewhere, or is known to be lost, or the holder is suspect.
 * Looked at when everything has been well for as long as that may take.
 */
export function checkFound(world: World): void {
  if (world.plan.world.settleMs < foundWithinMs(world)) return;
  for (const machine of world.living()) {
    if (!machine.isOn || !machine.isHonest || machine.wasRolledBack || machine.node.isFenced) continue;
    const { owner } = machine.node.repository.catalog;
    for (const id of world.truth.needed()) if (id.owner === owner) checkSegment(world, machine, id);
  }
}

function checkSegment(world: World, machine: SimMachine, id: SegmentId): void {
  const { catalog } = machine.node.repository;
  const incarnation = catalog.state.incarnations.indexOf(id.incarnation);
  const record = catalog.segments.get({ incarnation, number: id.number });
  if (record === undefined || incarnation !== catalog.currentIncarnation) return;
  for (const [index, slot] of record.slots.entries()) {
    const holder = slot === null ? undefined : world.byPeer(slot.peer);
    if (slot === null || holder?.isOn !== true || holder.wasRolledBack) continue;
    const shard = { ...id, index };
    if (holder.shardDisk.get(shard) !== undefined) continue;
    const damage = world.truth.damageOf(holder, shard);
    const isFresh = damage !== undefined && world.scheduler.nowMs - damage.atMs < foundWithinMs(world);
    const isKnown =
      machine.node.losses.lost.of(shard, slot.peer) !== undefined ||
      machine.node.audits.book.suspicion(slot.peer) !== undefined;
    world.label(isKnown ? "calm: a loss is known" : "calm: a loss is to be found");
    if (isKnown || isFresh) continue;
    world.violate("cheaters-found", `${shardKey(shard)} is not at ${holder.name}, and counts`, machine);
  }
}
