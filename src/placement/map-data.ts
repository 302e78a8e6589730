import { must } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { type PeerId, SEGMENT_NUMBER_MAX } from "../base/ids.ts";
import {
  CLASS_ID_MAX,
  type ClassRows,
  GENERATIONS_MAX,
  type Generation,
  type MapSlot,
  PARTITIONS_MAX,
  type Row,
} from "./map.ts";
import { SHARDS_MAX } from "./profile.ts";

/** The rows of one class as they are signed and sent: numbers and lists, every peer written once. */
export interface PlacementMapData {
  readonly class: number;
  readonly k: number;
  readonly m: number;
  readonly cap: number;
  readonly partitions: number;
  /** Sorted as text, each once; slots name positions in this list. */
  readonly peers: PeerId[];
  /** Partition -> generations, both rising; partitions not used yet are absent. */
  readonly rows: [number, GenerationData[]][];
}

export interface GenerationData {
  readonly from: number;
  /** n positions in `peers`, or `NO_HOLDER`. */
  readonly slots: number[];
  /** [owner version, repairs] of each slot, or none at all when every slot is at [1, 0]. */
  readonly versions: [number, number][];
}

/** In a slot that nobody holds yet. Above every position that `MAP_PEERS_MAX` allows. */
export const NO_HOLDER = 65_535;
export const MAP_PEERS_MAX = 4096;

export function classToData(classId: number, of: ClassRows): PlacementMapData {
  const slots = of.rows.flatMap((row) => row.flatMap((generation) => generation.slots));
  const named = slots.map((slot) => slot.peer).filter((peer) => peer !== undefined);
  const peers = [...new Set(named)].sort();
  const positions = new Map(peers.map((peer, position) => [peer, position]));
  const rows = of.rows.map((row, partition): [number, GenerationData[]] => [
    partition,
    row.map((generation) => generationToData(generation, positions)),
  ]);
  return {
    class: classId,
    k: of.class.k,
    m: of.class.m,
    cap: of.class.cap,
    partitions: of.partitions,
    peers,
    rows: rows.filter(([, generations]) => generations.length > 0),
  };
}

function generationToData(generation: Generation, positions: ReadonlyMap<PeerId, number>): GenerationData {
  const isNew = generation.slots.every(({ ownerVersion, repairs }) => ownerVersion === 1 && repairs === 0);
  return {
    from: generation.fromSegment,
    slots: generation.slots.map(({ peer }) =>
      peer === undefined ? NO_HOLDER : must(positions.get(peer), "position of a peer"),
    ),
    versions: isNew
      ? []
      : generation.slots.map(({ ownerVersion, repairs }): [number, number] => [ownerVersion, repairs]),
  };
}

/** Throws `FORMAT_INVALID` for what no rows can be. */
export function classFromData(data: PlacementMapData): {
  readonly classId: number;
  readonly rows: ClassRows;
} {
  const { k, m, cap, partitions, peers } = data;
  check(isWhole(data.class, 0, CLASS_ID_MAX), "the class id is impossible");
  check(isWhole(k, 1, SHARDS_MAX) && isWhole(m, 0, SHARDS_MAX - k), "the code is impossible");
  check(isWhole(cap, 1, SHARDS_MAX), "the cap is impossible");
  check(isWhole(partitions, 1, PARTITIONS_MAX), "the number of partitions is impossible");
  check(peers.length <= MAP_PEERS_MAX, "too many peers");
  check(new Set(peers).size === peers.length, "a peer is listed twice");
  const rows: Row[] = Array.from({ length: partitions }, () => []);
  let previous = -1;
  for (const [partition, generations] of data.rows) {
    check(isWhole(partition, 0, partitions - 1), "a row is of no partition");
    check(partition > previous, "the rows are out of order");
    previous = partition;
    rows[partition] = rowFromData(generations, partition, data);
  }
  return { classId: data.class, rows: { class: { k, m, cap }, partitions, rows } };
}

function rowFromData(
  generations: readonly GenerationData[],
  partition: number,
  { k, m, partitions, peers }: PlacementMapData,
): Row {
  check(isWhole(generations.length, 1, GENERATIONS_MAX), "a row has no or too many generations");
  let previous = -1;
  return generations.map((generation) => {
    const { from } = generation;
    check(isWhole(from, 0, SEGMENT_NUMBER_MAX), "a generation has an impossible beginning");
    check(from > previous, "the generations of a row are out of order");
    check(from % partitions === partition, "a generation begins with another row's segment");
    previous = from;
    return { fromSegment: from, slots: slotsFromData(generation, k + m, peers) };
  });
}

function slotsFromData({ slots, versions }: GenerationData, n: number, peers: readonly PeerId[]): MapSlot[] {
  check(slots.length === n, "a generation has not one slot for every shard");
  check(versions.length === 0 || versions.length === n, "versions are given for some slots only");
  return slots.map((position, index) => {
    const [ownerVersion, repairs] = versions[index] ?? [1, 0];
    check(position === NO_HOLDER || isWhole(position, 0, peers.length - 1), "a slot names no peer");
    check(isWhole(ownerVersion, 1, Number.MAX_SAFE_INTEGER), "a slot has an impossible owner version");
    check(isWhole(repairs, 0, Number.MAX_SAFE_INTEGER), "a slot has an impossible number of repairs");
    return { peer: position === NO_HOLDER ? undefined : peers[position], ownerVersion, repairs };
  });
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

function check(holds: boolean, reason: string): void {
  if (!holds) throw new Fault({ code: "FORMAT_INVALID", what: "placement map", reason });
}
