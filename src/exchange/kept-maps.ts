import { isFault } from "../base/fault.ts";
import type { Incarnation, OwnerId, PeerId, SegmentId, ShardId } from "../base/ids.ts";
import {
  classFromData,
  EMPTY_MAP,
  type PlacementMap,
  peersOfMap,
  type Slot,
  slotsOf,
  withClass,
} from "../placement/index.ts";
import { mapBody } from "../wire/head.ts";
import type { KeptRecords } from "./kept-records.ts";

/** Lives whose maps are kept opened. */
const OPENED_MAX = 16;

interface Opened {
  readonly version: string;
  readonly map: PlacementMap;
}

/** Who else holds shards of an owner, by the maps that it handed over: what one holder knows of the others. */
export class KeptMaps {
  readonly #records: Pick<KeptRecords, "mapsOf" | "version">;
  /** What was moved since the owner signed them. */
  #repaired: ((owner: OwnerId, incarnation: Incarnation) => Promise<PlacementMap | undefined>) | undefined;
  #repairs = 0;
  readonly #opened = new Map<string, Opened>();

  constructor(records: Pick<KeptRecords, "mapsOf" | "version">) {
    this.#records = records;
  }

  /** From now on repairs count as well: `repaired` gives a map with them, where it knows one. */
  withRepairs(
    repaired: (owner: OwnerId, incarnation: Incarnation) => Promise<PlacementMap | undefined>,
  ): void {
    this.#repaired = repaired;
  }

  /** Somebody's repairs are other ones now. */
  repairsChanged(): void {
    this.#repairs++;
  }

  /** Who holds, or is to hold, each shard of this segment; empty where no map says so. */
  async slots({ owner, incarnation, number }: SegmentId, classId: number): Promise<Slot[]> {
    return slotsOf(await this.#map(owner, incarnation), classId, number);
  }

  /** 1 where no map of the class is known. */
  async partitionsOf({ owner, incarnation }: SegmentId, classId: number): Promise<number> {
    return (await this.#map(owner, incarnation)).classes.get(classId)?.partitions ?? 1;
  }

  /** As `slots`, where the class of the segment is not known: once for each class that has such a row. */
  async slotsOfAnyClass({ owner, incarnation, number }: SegmentId): Promise<Slot[][]> {
    const map = await this.#map(owner, incarnation);
    return [...map.classes.keys()].map((classId) => slotsOf(map, classId, number));
  }

  /** Whether a map is known that names another holder for this shard, and none that names this one. */
  async isElsewhere(shard: ShardId, peer: PeerId): Promise<boolean> {
    const named = (await this.slotsOfAnyClass(shard)).map((slots) => slots[shard.index]);
    return named.some((slot) => slot !== undefined) && !named.includes(peer);
  }

  async peers(owner: OwnerId, incarnation: Incarnation): Promise<PeerId[]> {
    return peersOfMap(await this.#map(owner, incarnation));
  }

  async #map(owner: OwnerId, incarnation: Incarnation): Promise<PlacementMap> {
    const key = `${owner}/${incarnation}`;
    const version = `${this.#records.version}/${this.#repairs}`;
    const known = this.#opened.get(key);
    this.#opened.delete(key);
    const opened =
      known?.version === version ? known : { version, map: await this.#read(owner, incarnation) };
    this.#opened.set(key, opened);
    const [oldest] = this.#opened.keys();
    if (this.#opened.size > OPENED_MAX && oldest !== undefined) this.#opened.delete(oldest);
    return opened.map;
  }

  async #read(owner: OwnerId, incarnation: Incarnation): Promise<PlacementMap> {
    try {
      return (await this.#repaired?.(owner, incarnation)) ?? this.#open(owner, incarnation);
    } catch (error) {
      // One map that its owner signed and that cannot be one must not hide the others.
      if (!isFault(error, "FORMAT_INVALID")) throw error;
      return this.#open(owner, incarnation);
    }
  }

  async #open(owner: OwnerId, incarnation: Incarnation): Promise<PlacementMap> {
    let map = EMPTY_MAP;
    for (const { body } of await this.#records.mapsOf(owner, incarnation)) {
      try {
        const { classId, rows } = classFromData(mapBody.decode(body));
        map = withClass(map, classId, rows);
      } catch (error) {
        // Its owner signed what no map can be: of that class nothing is known.
        if (!isFault(error)) throw error;
      }
    }
    return map;
  }
}
