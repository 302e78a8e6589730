import { describe, expect, test } from "vitest";
import { isFault } from "../../../src/base/fault.ts";
import {
  adoptRepairs,
  classFromData,
  classToData,
  compareVersions,
  EMPTY_MAP,
  type GenerationAt,
  generationOf,
  holdersOf,
  moveSlot,
  NO_HOLDER,
  openClass,
  openGeneration,
  type PlacementMap,
  type PlacementMapData,
  partitionOf,
  partitionsFor,
  peersOfMap,
  pruneGenerations,
  rowOf,
  type SlotChange,
  slotsOf,
  winningChange,
  withClass,
  withRepairs,
} from "../../../src/placement/index.ts";
import { mapBody } from "../../../src/wire/head.ts";
import { peerNamed } from "./nodes.ts";

const [a, b, c, d] = [peerNamed("a"), peerNamed("b"), peerNamed("c"), peerNamed("d")];
const OF = { k: 1, m: 1, cap: 1 };
const at = (fromSegment: number, partition = fromSegment % 4): GenerationAt => ({
  classId: 0,
  partition,
  fromSegment,
});

/** One class 1+1 of four partitions; partition 1 has generations from 1 (a, b) and from 9 (a, c). */
function sample(): PlacementMap {
  const { map } = openClass(EMPTY_MAP, OF, 4);
  return openGeneration(openGeneration(map, at(1), [a, b]), at(9), [a, c]);
}

describe("classes and partitions", () => {
  test("a class that is there is used again; others get the next id", () => {
    const first = openClass(EMPTY_MAP, OF, 16);
    expect(first.classId).toBe(0);
    expect(openClass(first.map, { ...OF }, 16)).toEqual({ map: first.map, classId: 0 });
    const second = openClass(first.map, { ...OF, cap: 2 }, 16);
    expect(second.classId).toBe(1);
    expect(openClass(second.map, OF, 256).classId).toBe(2);
    expect(EMPTY_MAP.classes.size).toBe(0);
    // A class whose record is missing keeps its id free of others.
    const sparse = withClass(EMPTY_MAP, 7, { class: OF, partitions: 1, rows: [[]] });
    expect(openClass(sparse, { ...OF, cap: 2 }, 1).classId).toBe(8);
  });

  test("segments go through the partitions in turn", () => {
    expect([0, 1, 15, 16, 255, 256].map((number) => partitionOf(number, 16))).toEqual([0, 1, 15, 0, 15, 0]);
    expect(partitionsFor(8)).toBe(16);
    expect(partitionsFor(12)).toBe(16);
    expect(partitionsFor(13)).toBe(256);
  });
});

describe("generations", () => {
  test("a segment belongs to the newest generation that began at or before it", () => {
    const map = sample();
    expect(slotsOf(map, 0, 1)).toEqual([a, b]);
    expect(slotsOf(map, 0, 5)).toEqual([a, b]);
    expect(slotsOf(map, 0, 9)).toEqual([a, c]);
    expect(slotsOf(map, 0, 401)).toEqual([a, c]);
    expect(holdersOf(map, 0, 9)).toEqual([a, c]);
    expect(generationOf(map, 0, 2)).toBeUndefined();
    expect(slotsOf(map, 5, 1)).toEqual([]);
    expect(holdersOf(map, 5, 1)).toEqual([]);
    expect(peersOfMap(map)).toEqual([a, b, c].sort());
  });

  test("opening one leaves the older map and the older generations as they were", () => {
    const before = sample();
    const after = openGeneration(before, at(13), [d, undefined]);
    expect(slotsOf(before, 0, 13)).toEqual([a, c]);
    expect(slotsOf(after, 0, 13)).toEqual([d, undefined]);
    expect(holdersOf(after, 0, 13)).toEqual([d]);
    expect(slotsOf(after, 0, 9)).toEqual([a, c]);
  });

  test("one that begins at the same segment is replaced, with new versions where it differs", () => {
    const map = openGeneration(sample(), at(9), [a, d]);
    expect(rowOf(map, 0, 1)).toHaveLength(2);
    expect(generationOf(map, 0, 9)?.slots).toEqual([
      { peer: a, ownerVersion: 1, repairs: 0 },
      { peer: d, ownerVersion: 2, repairs: 0 },
    ]);
  });

  test("one with the holders of the newest changes nothing", () => {
    const map = sample();
    expect(openGeneration(map, at(13), [a, c])).toBe(map);
  });

  test("what cannot be is refused", () => {
    expect(() => openGeneration(sample(), at(5), [a, d])).toThrow("in order");
    expect(() => openGeneration(sample(), at(14, 1), [a, d])).toThrow("segment of its own");
    expect(() => openGeneration(sample(), at(13), [a])).toThrow("a slot for every shard");
  });

  test("those that nothing needs any more are left out, the newest never", () => {
    const map = openGeneration(sample(), at(13), [d, c]);
    const asked: unknown[] = [];
    const pruned = pruneGenerations(map, (span) => {
      asked.push(span);
      return span.firstSegment !== 9;
    });
    expect(asked).toEqual([
      { classId: 0, partition: 1, firstSegment: 1, lastSegment: 5 },
      { classId: 0, partition: 1, firstSegment: 9, lastSegment: 9 },
    ]);
    expect(rowOf(pruned, 0, 1).map(({ fromSegment }) => fromSegment)).toEqual([1, 13]);
    expect(slotsOf(pruned, 0, 13)).toEqual([d, c]);
  });
});

describe("slots", () => {
  const change = (changes: Partial<SlotChange>): SlotChange => ({
    ...at(1),
    slot: 1,
    peer: c,
    ownerVersion: 1,
    repairs: 1,
    rank: 3,
    hash: Uint8Array.of(5),
    ...changes,
  });

  test("the owner's move counts its version up, and starts repairs anew", () => {
    const repaired = withRepairs(sample(), [change({ repairs: 4 })]);
    const moved = moveSlot(repaired, at(1), 1, d);
    expect(generationOf(moved, 0, 1)?.slots[1]).toEqual({ peer: d, ownerVersion: 2, repairs: 0 });
    expect(moveSlot(moved, at(1), 1, d)).toBe(moved);
    expect(slotsOf(moved, 0, 9)).toEqual([a, c]);
  });

  test("newer wins, then lower rank, then lower hash", () => {
    const base = change({});
    for (const better of [
      change({ ownerVersion: 2, repairs: 0, rank: 9 }),
      change({ repairs: 2, rank: 9 }),
      change({ rank: 2, hash: Uint8Array.of(9) }),
      change({ hash: Uint8Array.of(4) }),
    ]) {
      expect(winningChange(base, better)).toBe(better);
      expect(winningChange(better, base)).toBe(better);
    }
    expect(compareVersions({ ownerVersion: 2, repairs: 0 }, { ownerVersion: 1, repairs: 9 })).toBeGreaterThan(
      0,
    );
  });

  test("repairs give the same map in whatever order they are heard", () => {
    const changes = [
      change({ peer: d }),
      change({ peer: c, rank: 1 }),
      change({ peer: d, repairs: 2, rank: 7 }),
      change({ slot: 0, peer: d }),
      change({ ...at(9), slot: 1, peer: b }),
    ];
    const expected = withRepairs(sample(), changes);
    expect(slotsOf(expected, 0, 1)).toEqual([d, d]);
    expect(slotsOf(expected, 0, 9)).toEqual([a, b]);
    for (let i = 0; i < changes.length; i++) {
      expect(withRepairs(sample(), [...changes.slice(i), ...changes.slice(0, i)])).toEqual(expected);
      expect(withRepairs(withRepairs(sample(), changes.slice(0, i)), changes.slice(i))).toEqual(expected);
    }
  });

  test("a repair made for another version of the owner's, or for no slot, is left aside", () => {
    const map = moveSlot(sample(), at(1), 1, d);
    const strays = [
      change({ ownerVersion: 1 }),
      change({ ownerVersion: 3 }),
      change({ ownerVersion: 2, fromSegment: 5 }),
      change({ ownerVersion: 2, slot: 2 }),
      change({ ownerVersion: 2, classId: 1 }),
      change({ ownerVersion: 2, partition: 9 }),
    ];
    expect(withRepairs(map, strays)).toBe(map);
  });

  test("the owner adopts repairs as its own next word", () => {
    const adopted = adoptRepairs(sample(), [change({ peer: d, repairs: 3 })]);
    expect(generationOf(adopted, 0, 1)?.slots).toEqual([
      { peer: a, ownerVersion: 1, repairs: 0 },
      { peer: d, ownerVersion: 2, repairs: 0 },
    ]);
  });
});

describe("map data", () => {
  const dataOf = (map: PlacementMap): PlacementMapData => {
    const rows = map.classes.get(0);
    if (rows === undefined) throw new Error("the sample has a class 0");
    return classToData(0, rows);
  };

  test("comes back from bytes as it went, vacant and moved slots too", () => {
    const map = openGeneration(moveSlot(sample(), at(1), 0, d), at(3), [undefined, b]);
    const body = mapBody.decode(mapBody.encode({ v: 1, ...dataOf(map) }));
    const { classId, rows } = classFromData(body);
    expect(withClass(EMPTY_MAP, classId, rows)).toEqual(map);
    expect(dataOf(map).rows.map(([partition]) => partition)).toEqual([1, 3]);
    expect(dataOf(map).rows[1]?.[1][0]?.slots[0]).toBe(NO_HOLDER);
  });

  test("256 rows of 16 slots take less than 32 KiB", () => {
    const peers = Array.from({ length: 64 }, (_, i) => peerNamed(`p${i}`));
    let { map } = openClass(EMPTY_MAP, { k: 10, m: 6, cap: 1 }, 256);
    for (let p = 0; p < 256; p++) {
      const slots = Array.from({ length: 16 }, (_, i) => peers[(p * 7 + i * 3) % 64]);
      map = openGeneration(map, at(p, p), slots);
    }
    expect(mapBody.encode({ v: 1, ...dataOf(map) }).length).toBeLessThan(32 * 1024);
  });

  test.each<[string, (data: PlacementMapData) => PlacementMapData]>([
    ["a peer twice", (data) => ({ ...data, peers: [a, a, b] })],
    ["a peer that is not listed", (data) => ({ ...data, peers: data.peers.slice(0, 1) })],
    ["no data shards", (data) => ({ ...data, k: 0 })],
    ["too few slots", (data) => ({ ...data, m: 2 })],
    ["a cap of 0", (data) => ({ ...data, cap: 0 })],
    ["no partitions", (data) => ({ ...data, partitions: 0 })],
    ["a partition too many", (data) => ({ ...data, partitions: 1 })],
    ["segments of another row", (data) => ({ ...data, partitions: 3 })],
    ["a row twice", (data) => ({ ...data, rows: [...data.rows, ...data.rows] })],
    ["an empty row", (data) => ({ ...data, rows: [[1, []]] })],
    [
      "generations out of order",
      (data) => ({ ...data, rows: data.rows.map(([p, row]) => [p, row.toReversed()]) }),
    ],
    [
      "versions of some slots only",
      (data) => ({
        ...data,
        rows: data.rows.map(([p, row]) => [p, row.map((g) => ({ ...g, versions: [[1, 0]] }))]),
      }),
    ],
    ["an impossible class id", (data) => ({ ...data, class: 70_000 })],
  ])("refuses %s", (_, broken) => {
    expect(() => classFromData(broken(dataOf(sample())))).toThrow(
      expect.toSatisfy((error: unknown) => isFault(error, "FORMAT_INVALID")),
    );
  });
});
