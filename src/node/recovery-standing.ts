import { isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { type SegmentRecord, SegmentSet, type SnapshotEntry } from "../catalog/index.ts";
import { ProtectionCensus, type SwarmView } from "../exchange/index.ts";
import type { Imported } from "./catalog-import.ts";

/** What a snapshot is worth by what members said that they hold. */
export interface FoundSnapshot {
  readonly entry: SnapshotEntry;
  /** As in the list of snapshots; absent where it was not looked at. */
  readonly state?: string;
  /** Segments of which fewer shards were claimed than it takes; absent where it was not looked at. */
  readonly segmentsMissing?: number;
  /** Of the others, those for which shards of nodes are needed that were removed; absent where it was not looked at. */
  readonly segmentsAtRemoved?: number;
  readonly fromHead?: string;
}

/** The newest ones are looked at: each takes reading its manifest. */
const LOOKED_AT_MAX = 32;

/** All snapshots that the recovery has found, newest first. */
export async function foundSnapshots(
  imported: Imported,
  init: { readonly view: SwarmView; readonly keepers: readonly PeerId[]; readonly signal: AbortSignal },
): Promise<FoundSnapshot[]> {
  const { catalog, maps, trees, rescued } = imported;
  const fromHead = new Map(rescued.map(({ entry, headId }) => [entry.sequence, headId]));
  const census = new ProtectionCensus({ catalog, maps, view: init.view });
  const found: FoundSnapshot[] = [];
  for (const [at, entry] of (await catalog.snapshots()).reverse().entries()) {
    const head = fromHead.get(entry.sequence);
    const origin = head === undefined ? {} : { fromHead: head };
    if (at >= LOOKED_AT_MAX) {
      found.push({ entry, ...origin });
      continue;
    }
    try {
      const { needs } = await trees.manifest(entry, init.signal);
      const needed = [...SegmentSet.fromRanges(needs)];
      const missing = needed.filter((ref) => isShortOf(catalog.segments.orUnknown(ref), () => true));
      const atMembers = (peer: PeerId): boolean => init.view.placeOf(peer) !== undefined;
      const short = needed.filter((ref) => isShortOf(catalog.segments.orUnknown(ref), atMembers));
      const { state } = census.report(needed, init.keepers);
      found.push({
        entry,
        state: entry.partial ? "partial" : state,
        segmentsMissing: missing.length,
        segmentsAtRemoved: short.length - missing.length,
        ...origin,
      });
    } catch (error) {
      init.signal.throwIfAborted();
      if (!isFault(error)) throw error;
      // Not even its manifest can be had now.
      found.push({ entry, state: "pending", segmentsMissing: 1, ...origin });
    }
  }
  return found;
}

/** Whether fewer than k shards are known to be with such holders. */
function isShortOf({ slots, k }: SegmentRecord, counts: (peer: PeerId) => boolean): boolean {
  return slots.filter((slot) => slot !== null && counts(slot.peer)).length < k;
}
