import type { PeerId } from "../base/ids.ts";
import type { SegmentRecord, SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps } from "../exchange/index.ts";
import { GENERATIONS_MAX, generationOf } from "../placement/index.ts";
import type { SegmentFacts } from "../upkeep/index.ts";

/** What holders have shown since their receipts, both `undefined` where nothing is known. */
export interface ShardEvidence {
  /** When the holder last proved a leaf of the shard. */
  provenMs(peer: PeerId, ref: SegmentRef, index: number): number | undefined;
  /** When the holder was last known not to have the shard, or not whole. */
  knownLostMs(peer: PeerId, ref: SegmentRef, index: number): number | undefined;
}

export const NO_EVIDENCE: ShardEvidence = { provenMs: () => undefined, knownLostMs: () => undefined };

/** One of the owner's own segments, as its catalog and its map of that life have it. */
export interface OwnSegment {
  readonly ref: SegmentRef;
  readonly record: SegmentRecord;
  readonly facts: SegmentFacts;
  /** Row and generation that say where it lies: the same for all segments that are moved together. */
  readonly generation: string;
}

/** Receipts of the catalog, newer proofs over them, and the owner's map. */
export function ownSegment(
  ref: SegmentRef,
  record: SegmentRecord,
  maps: OwnerMaps,
  evidence: ShardEvidence,
): OwnSegment {
  const n = record.slots.length;
  const byMap = maps.slots(ref, record.class);
  // After a recovery a class can be without its map: then who has acknowledged is all that is known.
  const isMapped = byMap.length === n;
  const of = maps.class(ref.incarnation, record.class);
  return {
    ref,
    record,
    facts: {
      k: record.k,
      n,
      cap: isMapped ? of.cap : n,
      slots: isMapped ? byMap : record.slots.map((slot) => slot?.peer),
      copies: record.slots.flatMap((slot, index) => {
        if (slot === null) return [];
        const { peer, timeMs } = slot;
        const vouchedMs = Math.max(timeMs, evidence.provenMs(peer, ref, index) ?? 0);
        return [{ index, peer, vouchedMs, knownLostMs: evidence.knownLostMs(peer, ref, index) }];
      }),
      ownerHasBytes: record.spooled,
    },
    generation: generationKey(ref, record, maps),
  };
}

/** By position of the life, class, row and first segment. */
export function generationKey(ref: SegmentRef, record: SegmentRecord, maps: OwnerMaps): string {
  const generation = generationOf(maps.map(ref.incarnation), record.class, ref.number);
  if (generation === undefined) return `${ref.incarnation}/${record.class}`;
  const partition = maps.partitionIn(ref.incarnation, record.class, ref.number);
  return `${ref.incarnation}/${record.class}/${partition}/${generation.fromSegment}`;
}

/**
 * The same text for segments of which the same follows: who holds what by map and receipts, and whether it counts. Times
 * are not in it; what depends on them is not to be remembered under it.
 */
export function factsKey({ facts, generation }: OwnSegment): string {
  const copies = facts.copies.map(({ index, peer, vouchedMs, knownLostMs }) => {
    const counts = knownLostMs === undefined || vouchedMs > knownLostMs;
    return `${index}@${peer}${counts ? "" : "!"}`;
  });
  return `${generation}|${facts.ownerHasBytes}|${facts.slots.join()}|${copies.join()}`;
}

/** Generations of all rows of all lives are bounded; what is remembered by them is too. */
export const REMEMBERED_MAX = 4 * GENERATIONS_MAX;
