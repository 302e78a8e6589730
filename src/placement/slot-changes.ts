import { compareBytes } from "../base/bytes.ts";
import type { PeerId } from "../base/ids.ts";
import {
  type GenerationAt,
  generationsOf,
  moveSlot,
  type PlacementMap,
  type SlotVersion,
  updateSlot,
} from "./map.ts";

/** A repair record's word about one slot; that it is justified and signed was checked before it comes here. */
export interface SlotChange extends GenerationAt, SlotVersion {
  readonly slot: number;
  readonly peer: PeerId;
  /** Position of the new holder among the candidates of the row: `candidateRank`. */
  readonly rank: number;
  /** Of the record: decides between two repairs alike in everything else. */
  readonly hash: Uint8Array;
}

/** Newer first: the owner's version, then the number of repairs. Above 0 when `a` is newer. */
export function compareVersions(a: SlotVersion, b: SlotVersion): number {
  return a.ownerVersion - b.ownerVersion || a.repairs - b.repairs;
}

/** Of two repairs of one slot the one that holds: newer version, then lower rank, then lower hash. */
export function winningChange(a: SlotChange, b: SlotChange): SlotChange {
  const newer = compareVersions(a, b);
  if (newer !== 0) return newer > 0 ? a : b;
  if (a.rank !== b.rank) return a.rank < b.rank ? a : b;
  return compareBytes(a.hash, b.hash) <= 0 ? a : b;
}

/**
 * The map as it stands after repairs: the owner's map with the winning change of each slot. Whoever knows the same
 * changes gets the same map, in whatever order they came. A change counts only on the owner's version that it was
 * made for: the owner's next version supersedes it, and one for a version not seen yet waits for that map.
 */
export function withRepairs(map: PlacementMap, changes: readonly SlotChange[]): PlacementMap {
  const winners = new Map<string, SlotChange>();
  for (const change of changes) {
    if (!applies(map, change)) continue;
    const key = `${change.classId}/${change.partition}/${change.fromSegment}/${change.slot}`;
    const rival = winners.get(key);
    winners.set(key, rival === undefined ? change : winningChange(rival, change));
  }
  let result = map;
  for (const { peer, ownerVersion, repairs, ...at } of winners.values()) {
    result = updateSlot(result, at, at.slot, () => ({ peer, ownerVersion, repairs }));
  }
  return result;
}

function applies(map: PlacementMap, change: SlotChange): boolean {
  const row = map.classes.get(change.classId)?.rows[change.partition];
  const generation = row?.find((one) => one.fromSegment === change.fromSegment);
  const slot = generation?.slots[change.slot];
  return slot !== undefined && slot.ownerVersion === change.ownerVersion && slot.repairs < change.repairs;
}

/** What the owner does when it comes back and agrees: the repaired slots become its own word, one version later. */
export function adoptRepairs(map: PlacementMap, changes: readonly SlotChange[]): PlacementMap {
  const repaired = withRepairs(map, changes);
  let result = map;
  for (const { classId, partition, fromSegment, slots } of generationsOf(repaired)) {
    slots.forEach(({ peer }, slot) => {
      result = moveSlot(result, { classId, partition, fromSegment }, slot, peer);
    });
  }
  return result;
}
