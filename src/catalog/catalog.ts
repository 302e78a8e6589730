import { assert, must } from "../base/assert.ts";
import { fromHex, toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault } from "../base/fault.ts";
import type { Incarnation, OwnerId, SegmentId } from "../base/ids.ts";
import type { Signed } from "../crypto/signed.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { type MapBody, mapBody } from "../wire/head.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { ChunkIndex } from "./chunk-index.ts";
import {
  formerMapKey,
  manifestKey,
  mapKey,
  mapPrefix,
  type SegmentRef,
  snapshotKey,
  stateKey,
  tableRange,
} from "./keys.ts";
import { MetadataCache, PathCache } from "./path-cache.ts";
import { type Manifest, manifestCodec, type SnapshotEntry, snapshotEntryCodec } from "./records.ts";
import { SegmentTable } from "./segment-table.ts";
import { decodeState, encodeState, type RepositoryState } from "./state.ts";

const STATE_KEY = stateKey("repository");
const HEAD_KEY = stateKey("head");

/** Segment numbers are reserved in blocks, so that one sync is paid for many segments. */
const RESERVE_SEGMENTS = 64;

/**
 * What exists in this owner's repository, on this machine: snapshots, chunk -> segment, segment -> holders.
 * All of it can be built anew from the swarm with the recovery key.
 *
 * Invariant: a segment number is never used twice in an incarnation, whatever crashes.
 */
export class Catalog {
  readonly store: MetaStore;
  readonly segments: SegmentTable;
  readonly chunks: ChunkIndex;
  readonly paths: PathCache;
  readonly metadata: MetadataCache;
  readonly #updates = new Semaphore(1);
  #state: RepositoryState;
  #nextSegment: number;

  private constructor(store: MetaStore, state: RepositoryState) {
    this.store = store;
    this.#state = state;
    // Numbers that were reserved before a restart are skipped: some of them may have been used.
    this.#nextSegment = state.segmentsReserved;
    this.segments = new SegmentTable(store);
    this.chunks = new ChunkIndex(store);
    this.paths = new PathCache(store);
    this.metadata = new MetadataCache(store);
  }

  /** `undefined` when the store has no repository yet. */
  static open(store: MetaStore): Catalog | undefined {
    const bytes = store.get(STATE_KEY);
    return bytes === undefined ? undefined : new Catalog(store, decodeState(bytes));
  }

  static async create(
    store: MetaStore,
    init: { owner: OwnerId; incarnation: Incarnation },
  ): Promise<Catalog> {
    const state: RepositoryState = {
      owner: init.owner,
      incarnations: [init.incarnation],
      segmentsReserved: 0,
      headEpoch: 0,
      snapshotSequence: 0,
      mapEpoch: 0,
      runs: [],
      snapshotPages: [],
      readOnly: false,
    };
    return Catalog.import(store, state);
  }

  /** A catalog with a state found in the swarm; tables are filled by the caller. */
  static async import(store: MetaStore, state: RepositoryState): Promise<Catalog> {
    assert(store.get(STATE_KEY) === undefined, "a store has one repository");
    const catalog = new Catalog(store, state);
    await catalog.update({});
    return catalog;
  }

  get state(): RepositoryState {
    return this.#state;
  }

  get owner(): OwnerId {
    return this.#state.owner;
  }

  /** Position of the life that this home writes under. */
  get currentIncarnation(): number {
    return this.#state.incarnations.length - 1;
  }

  get incarnation(): Incarnation {
    return must(this.#state.incarnations.at(-1), "an incarnation");
  }

  segmentId(ref: SegmentRef): SegmentId {
    const incarnation = must(this.#state.incarnations[ref.incarnation], "incarnation of a segment");
    return { owner: this.owner, incarnation, number: ref.number };
  }

  /** Synced when it resolves, together with `ops`. */
  async update(change: Partial<RepositoryState>, ops: readonly MetaOp[] = []): Promise<void> {
    // One after the other: the state is written whole, and one that is under way must not be undone on disk.
    await this.#updates.run(async () => {
      const next = { ...this.#state, ...change };
      await this.store.write([...ops, { type: "put", key: STATE_KEY, value: encodeState(next) }], {
        sync: true,
      });
      this.#state = next;
    });
  }

  /** A number that no segment of this incarnation ever had. */
  async nextSegment(): Promise<SegmentRef> {
    const number = this.#nextSegment++;
    if (number >= this.#state.segmentsReserved) await this.#reserve(number);
    return { incarnation: this.currentIncarnation, number };
  }

  /** The next segment of this life has this number or a higher one. */
  get nextNumber(): number {
    return this.#nextSegment;
  }

  async #reserve(number: number): Promise<void> {
    const segmentsReserved = Math.max(this.#state.segmentsReserved, number + RESERVE_SEGMENTS);
    await this.update({ segmentsReserved });
  }

  /** All segments of this incarnation have numbers below. */
  get segmentCeiling(): number {
    return this.#state.segmentsReserved;
  }

  /** The bodies of an incarnation's placement maps, one a class, as last written here. */
  async maps(incarnation: number): Promise<MapBody[]> {
    const bodies: MapBody[] = [];
    const range = tableRange("map", mapPrefix(incarnation));
    for await (const [, value] of this.store.scan(range)) bodies.push(mapBody.decode(value));
    return bodies;
  }

  mapOp(incarnation: number, body: MapBody): MetaOp {
    return { type: "put", key: mapKey(incarnation, body.class), value: mapBody.encode(body) };
  }

  /** In their envelopes, for those who missed them. */
  async formerMaps(): Promise<Uint8Array[]> {
    const maps: Uint8Array[] = [];
    for await (const [, value] of this.store.scan(tableRange("formerMap"))) maps.push(value);
    return maps;
  }

  formerMapOp(signed: Signed): MetaOp {
    const { class: classId } = mapBody.decode(signed.body);
    return {
      type: "put",
      key: formerMapKey(signed.incarnation, classId),
      value: encodeSigned(signed),
    };
  }

  get head(): Signed | undefined {
    const bytes = this.store.get(HEAD_KEY);
    return bytes === undefined ? undefined : decodeSigned(bytes);
  }

  headOp(head: Signed): MetaOp {
    return { type: "put", key: HEAD_KEY, value: encodeSigned(head) };
  }

  snapshotOp(entry: SnapshotEntry): MetaOp {
    return { type: "put", key: snapshotKey(entry.sequence), value: snapshotEntryCodec.encode(entry) };
  }

  removeSnapshotOps(sequence: number): MetaOp[] {
    return [
      { type: "delete", key: snapshotKey(sequence) },
      { type: "delete", key: manifestKey(sequence) },
    ];
  }

  /** Oldest first. */
  async snapshots(): Promise<SnapshotEntry[]> {
    const entries: SnapshotEntry[] = [];
    for await (const [, value] of this.store.scan(tableRange("snapshot")))
      entries.push(snapshotEntryCodec.decode(value));
    return entries;
  }

  /** By id or a unique beginning of it, or `latest` by sequence number among `entries`. */
  static find(entries: readonly SnapshotEntry[], asked: string): SnapshotEntry {
    if (asked === "latest") {
      const latest = entries.at(-1);
      if (latest === undefined) throw new Fault({ code: "SNAPSHOT_UNKNOWN", asked });
      return latest;
    }
    const prefix = asked.toLowerCase();
    const valid = prefix.length > 0 && fromHex(prefix.length % 2 === 0 ? prefix : `${prefix}0`) !== undefined;
    const matches = valid ? entries.filter((entry) => toHex(entry.id).startsWith(prefix)) : [];
    const [match] = matches;
    if (match === undefined) throw new Fault({ code: "SNAPSHOT_UNKNOWN", asked });
    if (matches.length > 1) {
      throw new Fault({
        code: "SNAPSHOT_AMBIGUOUS",
        asked,
        matches: matches.map((entry) => toHex(entry.id)),
      });
    }
    return match;
  }

  /** `sequence`: of its entry in the list, which differs from its own when two lives had given it twice. */
  manifestOp(manifest: Manifest, sequence: number = manifest.sequence): MetaOp {
    return { type: "put", key: manifestKey(sequence), value: manifestCodec.encode(manifest) };
  }

  /** From this machine; `undefined` when it has to be fetched. */
  manifest(sequence: number): Manifest | undefined {
    const bytes = this.store.get(manifestKey(sequence));
    return bytes === undefined ? undefined : manifestCodec.decode(bytes);
  }
}
