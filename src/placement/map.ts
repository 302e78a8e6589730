import { assert, must } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { type PlacementClass, sameClass } from "./profile.ts";
import type { Slot } from "./row.ts";

/**
 * Which of two statements about a slot is newer: the owner's version first, then the number of repairs since. The
 * owner counts its version up and starts repairs at 0; a repair keeps the version and counts repairs up.
 */
export interface SlotVersion {
  readonly ownerVersion: number;
  readonly repairs: number;
}

export interface MapSlot extends SlotVersion {
  readonly peer: Slot;
}

/** Who holds the shards of the segments of one row, from one segment number until the next generation begins. */
export interface Generation {
  readonly fromSegment: number;
  /** Slot i holds shard index i; n of them. */
  readonly slots: readonly MapSlot[];
}

/** Generations of one partition, by strictly rising `fromSegment`. */
export type Row = readonly Generation[];

export interface ClassRows {
  readonly class: PlacementClass;
  /** `rows.length`; fixed for the class, because it decides which row a segment is in. */
  readonly partitions: number;
  readonly rows: readonly Row[];
}

/**
 * Where an owner's shards are, for one incarnation: an immutable value. A class keeps its id for ever: it is what
 * descriptors and index entries name. A class may be absent, when its record has not been found (yet).
 */
export interface PlacementMap {
  /** By class id. */
  readonly classes: ReadonlyMap<number, ClassRows>;
}

/** Names one generation of one row. */
export interface GenerationAt {
  readonly classId: number;
  readonly partition: number;
  readonly fromSegment: number;
}

export const EMPTY_MAP: PlacementMap = { classes: new Map() };

export const PARTITIONS = 256;
export const PARTITIONS_SMALL = 16;
/** Up to this many holders a class has 16 partitions: 256 rows would be copies of a few possible ones. */
export const SMALL_SWARM_HOLDERS_MAX = 12;

// What a reader accepts is never exceeded by a writer: a map that its own format refuses would be lost.
export const CLASS_ID_MAX = 65_535;
export const PARTITIONS_MAX = 4096;
/** Of one row; one more for each refusal or loss met by new segments, so that `pruneGenerations` keeps far below. */
export const GENERATIONS_MAX = 4096;

/** Partitions for a class opened in a swarm with so many holders (the owner's own node not counted). */
export function partitionsFor(holders: number): number {
  return holders <= SMALL_SWARM_HOLDERS_MAX ? PARTITIONS_SMALL : PARTITIONS;
}

/** Segment numbers count from 0, so that consecutive segments go through all rows in turn. */
export function partitionOf(segmentNumber: number, partitions: number): number {
  assert(Number.isSafeInteger(segmentNumber) && segmentNumber >= 0, "segments are numbered from 0");
  return segmentNumber % partitions;
}

/**
 * The map with this class in it, and the id of the class; one that is there already is used again. Throws
 * `UNSUPPORTED` when the map is full of classes.
 */
export function openClass(
  map: PlacementMap,
  of: PlacementClass,
  partitions: number,
): { readonly map: PlacementMap; readonly classId: number } {
  assert(partitions >= 1 && partitions <= PARTITIONS_MAX, "a class has a bounded number of partitions");
  for (const [classId, known] of map.classes) {
    if (sameClass(known.class, of) && known.partitions === partitions) return { map, classId };
  }
  const classId = Math.max(-1, ...map.classes.keys()) + 1;
  requireRoom(classId <= CLASS_ID_MAX, `${CLASS_ID_MAX} kinds of coding and spread`);
  const { k, m, cap } = of;
  const rows: Row[] = Array.from({ length: partitions }, () => []);
  return { map: withClass(map, classId, { class: { k, m, cap }, partitions, rows }), classId };
}

/** The map with one class put in its place, as when its record arrives. */
export function withClass(map: PlacementMap, classId: number, rows: ClassRows): PlacementMap {
  return { classes: new Map([...map.classes, [classId, rows]]) };
}

function classRows(map: PlacementMap, classId: number): ClassRows {
  return must(map.classes.get(classId), "class of the placement map");
}

export function rowOf(map: PlacementMap, classId: number, partition: number): Row {
  return must(classRows(map, classId).rows[partition], "row of the placement map");
}

/** The generation that a segment's shards are placed by; `undefined` when its class or row is not (yet) there. */
export function generationOf(
  map: PlacementMap,
  classId: number,
  segmentNumber: number,
): Generation | undefined {
  const known = map.classes.get(classId);
  const row = known?.rows[partitionOf(segmentNumber, known.partitions)];
  return row?.findLast((generation) => generation.fromSegment <= segmentNumber);
}

/** Holder of each shard index of a segment; empty when its class or row is not (yet) there. */
export function slotsOf(map: PlacementMap, classId: number, segmentNumber: number): Slot[] {
  return generationOf(map, classId, segmentNumber)?.slots.map((slot) => slot.peer) ?? [];
}

/** The peers that hold something of a segment, each once. */
export function holdersOf(map: PlacementMap, classId: number, segmentNumber: number): PeerId[] {
  return [...new Set(slotsOf(map, classId, segmentNumber).filter((peer) => peer !== undefined))];
}

/** Every peer named in any row: with the candidates, the owner's pool. Sorted. */
export function peersOfMap(map: PlacementMap): PeerId[] {
  const peers = new Set<PeerId>();
  for (const generation of generationsOf(map)) {
    for (const { peer } of generation.slots) if (peer !== undefined) peers.add(peer);
  }
  return [...peers].sort();
}

export function* generationsOf(map: PlacementMap): Generator<GenerationAt & Generation> {
  for (const [classId, { rows }] of map.classes) {
    for (const [partition, row] of rows.entries()) {
      for (const generation of row) yield { classId, partition, ...generation };
    }
  }
}

/**
 * New segments of a row, from `fromSegment` on, go to these holders: when the row is first used, and when a refusal, a
 * loss or a full peer makes new segments go elsewhere. Older generations stay as they are. A generation that begins
 * at the same segment is replaced (nothing was placed by it alone), its changed slots one owner version later; one
 * with the same holders as the newest changes nothing. Throws `UNSUPPORTED` when the row is full.
 */
export function openGeneration(map: PlacementMap, at: GenerationAt, slots: readonly Slot[]): PlacementMap {
  const { class: of, partitions } = classRows(map, at.classId);
  assert(slots.length === of.k + of.m, "a generation has a slot for every shard");
  assert(partitionOf(at.fromSegment, partitions) === at.partition, "a row begins with a segment of its own");
  const row = rowOf(map, at.classId, at.partition);
  const last = row.at(-1);
  assert(last === undefined || last.fromSegment <= at.fromSegment, "generations are opened in order");
  if (last?.slots.every(({ peer }, index) => peer === slots[index])) return map;
  const replaced = last?.fromSegment === at.fromSegment ? last : undefined;
  requireRoom(
    row.length < GENERATIONS_MAX || replaced !== undefined,
    `${GENERATIONS_MAX} changes of one row`,
  );
  const generation: Generation = {
    fromSegment: at.fromSegment,
    slots: slots.map((peer, index) => ownerSlot(replaced?.slots[index], peer)),
  };
  return withRow(map, at, [...(replaced === undefined ? row : row.slice(0, -1)), generation]);
}

function requireRoom(hasRoom: boolean, of: string): void {
  if (!hasRoom) throw new Fault({ code: "UNSUPPORTED", what: `The placement map is full: it has ${of}.` });
}

function ownerSlot(before: MapSlot | undefined, peer: Slot): MapSlot {
  if (before === undefined) return { peer, ownerVersion: 1, repairs: 0 };
  if (before.peer === peer) return before;
  return { peer, ownerVersion: before.ownerVersion + 1, repairs: 0 };
}

/** The owner's word: from now on shard `slot` of this generation is at `peer` (repair, drain, cap, a refusal). */
export function moveSlot(map: PlacementMap, at: GenerationAt, slot: number, peer: Slot): PlacementMap {
  return updateSlot(map, at, slot, (before) => ownerSlot(before, peer));
}

/** The segments of a partition, first and last included, whose shards an older generation places. */
export interface GenerationSpan {
  readonly classId: number;
  readonly partition: number;
  readonly firstSegment: number;
  readonly lastSegment: number;
}

/**
 * Leaves out generations by which nothing is kept any more, which bounds the rows: `isNeeded` is asked for every one but
 * the newest of a row. The generation before takes over the empty span.
 */
export function pruneGenerations(
  map: PlacementMap,
  isNeeded: (span: GenerationSpan) => boolean,
): PlacementMap {
  const classes = new Map<number, ClassRows>();
  for (const [classId, known] of map.classes) {
    const rows = known.rows.map((row, partition) =>
      row.filter((generation, position) => {
        const next = row[position + 1];
        if (next === undefined) return true;
        const lastSegment = next.fromSegment - known.partitions;
        return isNeeded({ classId, partition, firstSegment: generation.fromSegment, lastSegment });
      }),
    );
    classes.set(classId, { ...known, rows });
  }
  return { classes };
}

export function updateSlot(
  map: PlacementMap,
  at: GenerationAt,
  slot: number,
  change: (before: MapSlot) => MapSlot,
): PlacementMap {
  const row = rowOf(map, at.classId, at.partition);
  const position = row.findIndex((generation) => generation.fromSegment === at.fromSegment);
  const generation = must(row[position], "generation of the placement map");
  const before = must(generation.slots[slot], "slot of a generation");
  const after = change(before);
  if (after === before) return map;
  const slots = generation.slots.with(slot, after);
  return withRow(map, at, row.with(position, { ...generation, slots }));
}

function withRow(
  map: PlacementMap,
  at: { readonly classId: number; readonly partition: number },
  row: Row,
): PlacementMap {
  const known = classRows(map, at.classId);
  return withClass(map, at.classId, { ...known, rows: known.rows.with(at.partition, row) });
}
