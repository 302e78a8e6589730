import { type SegmentId, segmentKey } from "../../../src/base/ids.ts";
import type { ProtectionReport } from "../../../src/node/index.ts";
import { generationOf } from "../../../src/placement/index.ts";
import type { SimMachine } from "../machine.ts";
import { holdingKey, type TrueSnapshot } from "../truth.ts";
import type { World } from "../world.ts";

/** A shard of one segment, and who has it. */
export interface Copy {
  readonly index: number;
  readonly peer: string;
  readonly site: string;
}

/** A swarm in which every choice of nodes can be tried out. */
const NODES_MAX = 14;

/**
 * An owner may say of a snapshot only what is so. What it cannot know yet counts for it: a shard that it has a receipt for
 * and that only an injected fault took since. Everything else is counted anew, choice by choice.
 */
export function checkAcknowledged(
  world: World,
  machine: SimMachine,
  snapshot: TrueSnapshot,
  said: ProtectionReport,
): void {
  const truths = snapshot.segments.map((id) => promised(world, id));
  // Of a segment of which nobody holds anything it is not known how many shards it needs: one at least.
  const k = snapshot.segments.map((id) => world.truth.segments.get(segmentKey(id))?.k ?? 1);
  const margin = Math.min(...truths.map((copies, at) => distinct(copies) - (k[at] ?? 1)));
  const short = snapshot.id.slice(0, 12);
  if (said.survival.margin > margin)
    world.violate("honest-status", `${short}: margin ${said.survival.margin}, and it is ${margin}`, machine);
  const claims = [
    { what: "site", claimed: said.survival.sites, groupOf: (copy: Copy): string => copy.site },
    { what: "peer", claimed: said.survival.nodes, groupOf: (copy: Copy): string => copy.peer },
  ];
  for (const { what, claimed, groupOf } of claims) {
    const real = Math.min(...truths.map((copies, at) => losable(copies, k[at] ?? 1, groupOf)));
    if (claimed > real)
      world.violate("honest-status", `${short}: survives ${claimed} ${what}s, and it is ${real}`, machine);
  }
  const isSafe = said.state === "safe" || said.state === "full";
  if (isSafe && truths.some((copies, at) => losable(copies, k[at] ?? 1, ({ site }) => site) < 1))
    world.violate("honest-status", `${short} is called ${said.state} and does not survive a site`, machine);
}

/** Shards that holders have promised and that are there, or were taken by an injected fault. */
function promised(world: World, id: SegmentId): Copy[] {
  const { truth } = world;
  const segment = truth.segments.get(segmentKey(id));
  return world.machines.flatMap((holder) =>
    [...(segment?.shards.keys() ?? [])].flatMap((index) => {
      const shard = { ...id, index };
      const isPromised = truth.receipts.has(holdingKey(holder.peer, shard));
      const isThere = truth.isIntact(holder, shard) || truth.isDamaged(holder, shard);
      return isPromised && isThere ? [{ index, peer: holder.peer, site: holder.site }] : [];
    }),
  );
}

export function distinct(copies: readonly Copy[]): number {
  return new Set(copies.map(({ index }) => index)).size;
}

/** By trying every choice: the most groups of which any may vanish so that k distinct shards remain. */
export function losable(copies: readonly Copy[], k: number, groupOf: (copy: Copy) => string): number {
  const groups = [...new Set(copies.map(groupOf))];
  if (distinct(copies) < k) return 0;
  if (groups.length > NODES_MAX) return Number.POSITIVE_INFINITY;
  let least = groups.length;
  for (let choice = 0; choice < 2 ** groups.length; choice++) {
    const lost = new Set(groups.filter((_, at) => (choice >> at) & 1));
    if (
      lost.size > 0 &&
      lost.size <= least &&
      distinct(copies.filter((copy) => !lost.has(groupOf(copy)))) < k
    )
      least = lost.size - 1;
  }
  return least;
}

/**
 * No site has more shards of a segment than its class allows, and nobody keeps its own. A repair may go past the cap where
 * what is left would not survive a site's loss; it says so of that shard or row, and only such shards are left out.
 */
export function checkPlacement(world: World, machine: SimMachine, snapshot: TrueSnapshot): void {
  const { catalog, maps } = machine.node.repository;
  for (const id of snapshot.segments) {
    const incarnation = catalog.state.incarnations.indexOf(id.incarnation);
    const record = catalog.segments.get({ incarnation, number: id.number });
    if (record === undefined) continue;
    const { cap } = maps.class(incarnation, record.class);
    const from = generationOf(maps.map(incarnation), record.class, id.number)?.fromSegment;
    const partition = maps.partitionIn(incarnation, record.class, id.number);
    const row = `${id.owner} ${id.incarnation.slice(0, 8)}/${record.class}/${partition}/${from}`;
    const isSaidOver = (index: number, peer: string): boolean =>
      [segmentKey(id), row].some((where) => world.repairs.overCap.has(`${where}#${index} ${peer}`));
    const atSite = new Map<string, number>();
    for (const [index, slot] of record.slots.entries()) {
      const holder = slot === null ? undefined : world.byPeer(slot.peer);
      if (holder === undefined || isSaidOver(index, holder.peer)) continue;
      atSite.set(holder.site, (atSite.get(holder.site) ?? 0) + 1);
      if (holder === machine)
        world.violate("site-rule", `${segmentKey(id)}: the owner keeps a shard of its own`, machine);
    }
    const most = Math.max(0, ...atSite.values());
    if (most > cap)
      world.violate(
        "site-rule",
        `${segmentKey(id)}: ${most} shards at one site, and ${cap} are allowed`,
        machine,
      );
  }
}
