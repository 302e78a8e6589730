import { must } from "../base/assert.ts";
import { Semaphore } from "../base/concurrency.ts";
import type { PeerId } from "../base/ids.ts";
import type { Catalog, SegmentRef } from "../catalog/index.ts";
import {
  adoptRepairs,
  type ClassRows,
  classFromData,
  classToData,
  EMPTY_MAP,
  GENERATIONS_MAX,
  type Generation,
  type GenerationAt,
  generationOf,
  moveSlot,
  openClass,
  openGeneration,
  type PlacementClass,
  type PlacementMap,
  partitionOf,
  partitionsFor,
  peersOfMap,
  rowOf,
  type Slot,
  type SlotChange,
  slotsOf,
  withClass,
  withRepairs,
} from "../placement/index.ts";
import type { MetaOp } from "../ports/index.ts";
import { type MapBody, mapBody } from "../wire/head.ts";

const UNKNOWN_CLASS: PlacementClass = { k: 1, m: 0, cap: 1 };

/**
 * The placement maps of this owner's lives, as recorded in the catalog; only the current one changes. A change is
 * in the catalog before anything is placed by it.
 */
export class OwnerMaps {
  #version = 0;
  readonly #catalog: Catalog;
  readonly #writing = new Semaphore(1);
  /** By position of the incarnation. */
  readonly #maps: PlacementMap[];
  #encoded: { readonly map: PlacementMap; readonly bodies: readonly Uint8Array[] } | undefined;

  private constructor(catalog: Catalog, maps: PlacementMap[]) {
    this.#catalog = catalog;
    this.#maps = maps;
  }

  static async load(catalog: Catalog): Promise<OwnerMaps> {
    const maps: PlacementMap[] = [];
    for (let incarnation = 0; incarnation <= catalog.currentIncarnation; incarnation++) {
      let map = EMPTY_MAP;
      for (const body of await catalog.maps(incarnation)) {
        const { classId, rows } = classFromData(body);
        map = withClass(map, classId, rows);
      }
      maps.push(map);
    }
    return new OwnerMaps(catalog, maps);
  }

  /** Another number each time that somebody else is to hold something. */
  get version(): number {
    return this.#version;
  }

  map(incarnation: number): PlacementMap {
    return this.#maps[incarnation] ?? EMPTY_MAP;
  }

  /** The class's id in the current map; opened if there is none like it. */
  async classId(of: PlacementClass, holders: number): Promise<number> {
    const { map, classId } = openClass(this.#current(), of, partitionsFor(holders));
    if (map !== this.#current()) await this.#change(map, classId);
    return classId;
  }

  /** Of a class whose map nobody had when the repository was recovered: one that promises nothing. */
  class(incarnation: number, classId: number): PlacementClass {
    return this.map(incarnation).classes.get(classId)?.class ?? UNKNOWN_CLASS;
  }

  hasClass(incarnation: number, classId: number): boolean {
    return this.map(incarnation).classes.has(classId);
  }

  /** Row of the segment: serialise changes by it. */
  partition(classId: number, number: number): number {
    return this.partitionIn(this.#catalog.currentIncarnation, classId, number);
  }

  /** The same in any life; 0 where nobody had the map of the class when the repository was recovered. */
  partitionIn(incarnation: number, classId: number, number: number): number {
    const rows = this.map(incarnation).classes.get(classId);
    return rows === undefined ? 0 : partitionOf(number, rows.partitions);
  }

  /** Who holds, or is to hold, each shard; empty when the row is not open yet. */
  slots(ref: SegmentRef, classId: number): Slot[] {
    return slotsOf(this.map(ref.incarnation), classId, ref.number);
  }

  /**
   * This segment goes to `slots`, and so do later ones of its row, unless some of them were placed by an older
   * decision already: then it alone does.
   */
  async assign(classId: number, number: number, slots: readonly Slot[]): Promise<void> {
    const map = this.#current();
    const at = { classId, partition: this.partition(classId, number), fromSegment: number };
    const newest = rowOf(map, classId, at.partition).at(-1);
    const isNewest = newest === undefined || newest.fromSegment <= number;
    const changed =
      isNewest && !this.#hasLaterSegment(classId, number)
        ? openGeneration(map, at, slots)
        : reassigned(map, at, slots);
    await this.#change(changed, classId);
  }

  /**
   * Shards of a segment of this life lie with other holders from now on, by slot: of this segment alone, or of all of its
   * generation (always of all where the row has changed too often). `commit` writes what it is given, synced, together with who has acknowledged them.
   */
  async move(
    classId: number,
    number: number,
    holders: ReadonlyMap<number, PeerId>,
    scope: "segment" | "generation",
    commit: (op: MetaOp) => Promise<void>,
  ): Promise<void> {
    const map = this.#current();
    const partition = this.partition(classId, number);
    const generation = must(generationOf(map, classId, number), "generation of a placed segment");
    const slots = generation.slots.map(({ peer }, slot) => holders.get(slot) ?? peer);
    let changed = map;
    const isCrowded = rowOf(map, classId, partition).length > GENERATIONS_MAX / 2;
    if (scope === "segment" && !isCrowded)
      changed = reassigned(map, { classId, partition, fromSegment: number }, slots);
    else {
      const at = { classId, partition, fromSegment: generation.fromSegment };
      for (const [slot, peer] of holders) changed = moveSlot(changed, at, slot, peer);
    }
    await this.#change(changed, classId, commit);
  }

  /**
   * Others' repairs of a life's rows: the owner's own word from now on, synced; of an earlier life, which is signed no
   * more, for as long as this runs.
   */
  async adopt(incarnation: number, changes: readonly SlotChange[]): Promise<void> {
    if (incarnation !== this.#catalog.currentIncarnation) {
      this.#version++;
      this.#maps[incarnation] = withRepairs(this.map(incarnation), changes);
      return;
    }
    for (const [classId, ofClass] of Map.groupBy(changes, (change) => change.classId)) {
      await this.#change(adoptRepairs(this.#current(), ofClass), classId, (op) =>
        this.#catalog.store.write([op], { sync: true }),
      );
    }
  }

  /** Whether a later segment of the row was placed, or is about to be, by what the row says now. */
  #hasLaterSegment(classId: number, number: number): boolean {
    const { partitions } = this.#rows(this.#catalog.currentIncarnation, classId);
    for (let later = number + partitions; later < this.#catalog.segmentCeiling; later += partitions) {
      const ref = { incarnation: this.#catalog.currentIncarnation, number: later };
      if (this.#catalog.segments.get(ref)?.class === classId) return true;
    }
    return false;
  }

  /** Everybody named in a map of any life. */
  holders(): PeerId[] {
    const peers = new Set<PeerId>();
    for (let i = 0; i <= this.#catalog.currentIncarnation; i++) {
      for (const peer of peersOfMap(this.map(i))) peers.add(peer);
    }
    return [...peers];
  }

  /** To be signed: one body a class, of the life that this home writes under. The same array as long as nothing changes. */
  encodedBodies(): readonly Uint8Array[] {
    const map = this.#current();
    if (this.#encoded?.map !== map) {
      const bodies = [...map.classes].map(([classId, rows]) => mapBody.encode(bodyOf(classId, rows)));
      this.#encoded = { map, bodies };
    }
    return this.#encoded.bodies;
  }

  #rows(incarnation: number, classId: number): ClassRows {
    return must(this.map(incarnation).classes.get(classId), "class of the placement map");
  }

  #current(): PlacementMap {
    return this.map(this.#catalog.currentIncarnation);
  }

  async #change(map: PlacementMap, classId: number, commit = this.#write): Promise<void> {
    const incarnation = this.#catalog.currentIncarnation;
    this.#version++;
    this.#maps[incarnation] = map;
    // One at a time, each with all that is known by then: of two writes under way the older could come last, and after a
    // crash the map would lack a row that receipts rely on.
    await this.#writing.run(async () => {
      const body = bodyOf(classId, this.#rows(incarnation, classId));
      await commit(this.#catalog.mapOp(incarnation, body));
    });
  }

  readonly #write = (op: MetaOp): Promise<void> => this.#catalog.store.write([op], { sync: false });
}

function bodyOf(classId: number, rows: ClassRows): MapBody {
  return { v: 1, ...classToData(classId, rows) };
}

/** A generation for one earlier segment of a row, put between those that surround it. */
function reassigned(map: PlacementMap, at: GenerationAt, slots: readonly Slot[]): PlacementMap {
  const rows = must(map.classes.get(at.classId), "class of the placement map");
  const row = rowOf(map, at.classId, at.partition);
  const before = row.findLast((generation) => generation.fromSegment <= at.fromSegment);
  const own: Generation = {
    fromSegment: at.fromSegment,
    slots: slots.map((peer, index) => {
      const version = before?.fromSegment === at.fromSegment ? (before.slots[index]?.ownerVersion ?? 0) : 0;
      return { peer, ownerVersion: version + 1, repairs: 0 };
    }),
  };
  const following = at.fromSegment + rows.partitions;
  const kept = row.filter((generation) => generation.fromSegment !== at.fromSegment);
  const resumed =
    before === undefined || row.some((generation) => generation.fromSegment === following)
      ? []
      : [{ ...before, fromSegment: following }];
  const changed = [...kept, own, ...resumed].sort((a, b) => a.fromSegment - b.fromSegment);
  const replaced = rows.rows.map((old, partition) => (partition === at.partition ? changed : old));
  return withClass(map, at.classId, { ...rows, rows: replaced });
}
