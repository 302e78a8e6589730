import type { Catalog, SegmentRecord, SegmentRef, SnapshotEntry } from "../catalog/index.ts";
import type { ProtectionCensus } from "../exchange/index.ts";
import { lockMsOf, type OwnerLocks } from "../locks/index.ts";
import type { Clock } from "../ports/index.ts";
import type { Reachable } from "./reachable.ts";

/** By what was asked for when it was made, and by what its holders have signed. */
export function isLockedNow(
  entry: SnapshotEntry,
  { clock, locks }: { clock: Pick<Clock, "wallMs">; locks: Pick<OwnerLocks, "standingOf"> },
): boolean {
  const forMs = lockMsOf(entry);
  return forMs > 0 && (entry.timeMs + forMs > clock.wallMs() || locks.standingOf(entry) !== undefined);
}

/**
 * A segment that something on the list is read from, and that is not where it should be. What the manifests name beside the
 * segments that are read now, older copies of chunks among it, is not given up while there is one.
 */
export function unsafeSegment(
  { places, moved }: Pick<Reachable, "places" | "moved">,
  catalog: Pick<Catalog, "segments">,
  census: Pick<ProtectionCensus, "mayReuse">,
): SegmentRef | undefined {
  for (const ref of places) {
    const record = catalog.segments.get(ref);
    if (record === undefined || record.spooled || !census.mayReuse(ref, record)) return ref;
    // Of what was copied, the copy has to be with all of its holders before the first one goes.
    if (moved.has(ref) && record.slots.includes(null)) return ref;
  }
  return undefined;
}

/** Its shards, as holders have acknowledged them. */
export function acknowledgedBytes({ slots, shardBytes }: SegmentRecord): number {
  return shardBytes * slots.filter((slot) => slot !== null).length;
}
