import type { Incarnation, PeerId } from "../base/ids.ts";
import type { Catalog, SegmentRanges, SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps } from "../exchange/index.ts";
import { partitionOf } from "../placement/index.ts";
import { LOCK_BITS_BYTES_MAX } from "../wire/lock.ts";
import { type OwnAcknowledgement, type OwnLockStanding, rowName } from "./own-book.ts";
import { butNot, isNone, type RowBits, setBit } from "./row-bits.ts";

/** Segments of one row that a snapshot needs: what one statement is about. */
export interface NeededRow extends RowBits {
  readonly life: Incarnation;
  /** Position of the life. */
  readonly incarnation: number;
  readonly class: number;
}

/** Of a row, who has to keep which of them. */
export interface AssignedRow {
  readonly row: NeededRow;
  readonly byPeer: ReadonlyMap<PeerId, Uint8Array>;
  readonly unplaced: boolean;
}

const SPAN_MAX = LOCK_BITS_BYTES_MAX * 8;

/** What a snapshot needs, row by row; a long row in several parts. */
export function neededRows(catalog: Catalog, maps: OwnerMaps, needs: SegmentRanges): NeededRow[] {
  const rows = new Map<string, { at: Omit<NeededRow, "bits" | "first">; numbers: number[] }>();
  for (const [incarnation, list] of needs) {
    const life = catalog.state.incarnations[incarnation];
    if (life === undefined) continue;
    for (const [first, count] of list)
      for (let number = first; number < first + count; number++) {
        const ofClass = catalog.segments.orUnknown({ incarnation, number }).class;
        const partitions = maps.map(incarnation).classes.get(ofClass)?.partitions ?? 1;
        const name = `${incarnation}/${ofClass}/${partitionOf(number, partitions)}`;
        const known = rows.get(name);
        if (known === undefined)
          rows.set(name, { at: { life, incarnation, class: ofClass, partitions }, numbers: [number] });
        else known.numbers.push(number);
      }
  }
  return [...rows.values()].flatMap(({ at, numbers }) => split(at, numbers));
}

function split(at: Omit<NeededRow, "bits" | "first">, numbers: number[]): NeededRow[] {
  const { partitions } = at;
  numbers.sort((a, b) => a - b);
  const parts = Map.groupBy(numbers, (number) => Math.floor(number / partitions / SPAN_MAX));
  return [...parts.values()].map((part) => {
    const first = part[0] ?? 0;
    const bits = new Uint8Array(Math.floor(((part.at(-1) ?? 0) - first) / partitions / 8) + 1);
    for (const number of part) setBit(bits, (number - first) / partitions);
    return { ...at, first, bits };
  });
}

/** By the map; where no map of an earlier life is known, by what was heard of who has the shards. */
export function assigned(catalog: Catalog, maps: OwnerMaps, self: PeerId, row: NeededRow): AssignedRow {
  const byPeer = new Map<PeerId, Uint8Array>();
  let unplaced = false;
  for (let at = 0; at < row.bits.length * 8; at++) {
    if ((((row.bits[at >> 3] ?? 0) >> (at & 7)) & 1) === 0) continue;
    const ref = { incarnation: row.incarnation, number: row.first + at * row.partitions };
    for (const peer of holdersOf(catalog, maps, ref, row.class)) {
      if (peer === undefined || peer === self) {
        unplaced = true;
        continue;
      }
      const bits = byPeer.get(peer) ?? new Uint8Array(row.bits.length);
      setBit(bits, at);
      byPeer.set(peer, bits);
    }
  }
  return { row, byPeer, unplaced };
}

function holdersOf(
  catalog: Catalog,
  maps: OwnerMaps,
  ref: SegmentRef,
  classId: number,
): readonly (PeerId | undefined)[] {
  const slots = maps.slots(ref, classId);
  return slots.length > 0 ? slots : catalog.segments.orUnknown(ref).slots.map((slot) => slot?.peer);
}

/** Rows of which a holder has not acknowledged all that it is to keep. */
export function missingOf(
  rows: readonly AssignedRow[],
  peer: PeerId,
  acknowledged: OwnAcknowledgement | undefined,
): NeededRow[] {
  const known = new Map(acknowledged?.rows.map((row) => [rowName(row), row.bits]));
  return rows.flatMap(({ row, byPeer }) => {
    const wanted = byPeer.get(peer);
    if (wanted === undefined) return [];
    return isNone(butNot(wanted, known.get(rowName(row)) ?? new Uint8Array(0))) ? [] : [row];
  });
}

export function standingOf(
  rows: readonly AssignedRow[],
  acknowledged: ReadonlyMap<PeerId, OwnAcknowledgement>,
): OwnLockStanding {
  const holders = new Set(rows.flatMap(({ byPeer }) => [...byPeer.keys()]));
  const done = [...holders].filter((peer) => missingOf(rows, peer, acknowledged.get(peer)).length === 0);
  const ends = [...holders].flatMap((peer) => acknowledged.get(peer)?.untilMs ?? []);
  return {
    ...{ holders: holders.size, done: done.length, unplaced: rows.some(({ unplaced }) => unplaced) },
    ...(ends.length === 0 ? {} : { untilMs: Math.min(...ends) }),
  };
}
