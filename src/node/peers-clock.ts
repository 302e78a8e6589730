import type { PeerId } from "../base/ids.ts";
import type { Catalog } from "../catalog/index.ts";

/** The newest: what the clock was before decides nothing now. A few, because one may have been placed late. */
const SEGMENTS_LOOKED_AT = 8;
/** Fewer peers than that prove nothing: one of them may be the one that is wrong. */
export const PEERS_MIN = 2;

/** What receipts say of this machine's clock. */
export interface ClockEvidence {
  /** What it was ahead of its peers'. */
  readonly aheadMs: number;
  /** By this machine's clock: what it did later nobody has seen. */
  readonly asOfMs: number;
  readonly peers: number;
}

/**
 * What this machine's clock is ahead of its peers', by the times in their receipts for its newest segments; `undefined`
 * where nobody has signed any. A receipt is given after the segment was made, so that of each peer the
 * smallest difference counts; of the peers the middle one, so that less than half of them can say nothing false.
 *
 * @param segmentsMax how many of the newest, at most the default
 */
export async function clockEvidence(
  catalog: Pick<Catalog, "segments" | "currentIncarnation">,
  segmentsMax = SEGMENTS_LOOKED_AT,
): Promise<ClockEvidence | undefined> {
  const newest: ReadonlyMap<PeerId, number>[] = [];
  let asOfMs = 0;
  for await (const [ref, record] of catalog.segments.all({ reverse: true })) {
    if (ref.incarnation !== catalog.currentIncarnation || record.createdMs === 0) continue;
    const later = new Map<PeerId, number>();
    for (const slot of record.slots)
      if (slot?.signature !== undefined) later.set(slot.peer, slot.timeMs - record.createdMs);
    if (later.size > 0) asOfMs = Math.max(asOfMs, record.createdMs);
    if (newest.push(later) >= Math.min(segmentsMax, SEGMENTS_LOOKED_AT)) break;
  }
  const smallest = new Map<PeerId, number>();
  for (const later of newest)
    for (const [peer, ms] of later)
      smallest.set(peer, Math.min(ms, smallest.get(peer) ?? Number.POSITIVE_INFINITY));
  const differences = [...smallest.values()].sort((a, b) => a - b);
  const middle = differences[Math.floor(differences.length / 2)];
  return middle === undefined ? undefined : { aheadMs: -middle, asOfMs, peers: differences.length };
}

/** The same, where enough of them have signed. */
export async function clockAheadOfPeersMs(
  catalog: Pick<Catalog, "segments" | "currentIncarnation">,
): Promise<number | undefined> {
  const evidence = await clockEvidence(catalog);
  return evidence === undefined || evidence.peers < PEERS_MIN ? undefined : evidence.aheadMs;
}
