import { must } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import {
  type Catalog,
  decodeIndexPage,
  type IndexEntry,
  indexRunCodec,
  type RepositoryState,
  type SegmentRecord,
  type SegmentRef,
  SegmentSet,
  type SnapshotEntry,
  snapshotPageCodec,
} from "../catalog/index.ts";
import type { OwnerMaps } from "../exchange/index.ts";
import type { ChunkReader } from "../restore/index.ts";
import type { Locator } from "../wire/head.ts";
import type { SegmentFinder } from "./segment-finder.ts";

export interface ImporterComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly chunks: ChunkReader;
  readonly finder: SegmentFinder;
  readonly signal: AbortSignal;
}

/** Two places for one chunk, the one in the catalog and another: which is good is found out by asking the holders. */
export interface PlaceConflict {
  readonly known: IndexEntry;
  readonly other: IndexEntry;
}

/** What a run gave: its line in the repository's state, and its pages that could not be read. */
export interface ImportedRun {
  readonly state: RepositoryState["runs"][number];
  readonly unread: readonly Locator[];
}

/** Whether later tries may have more luck: shards are missing, or peers do not answer. */
export function isForNow(error: unknown): boolean {
  return isFault(error, "TOO_FEW_SHARDS", "PEER_UNREACHABLE", "PEER_TIMEOUT", "PEER_BUSY", "PEER_REFUSED");
}

/** Reads structures of a repository from its holders into the catalog, one by one. */
export class Importer {
  readonly #c: ImporterComponents;
  /** Where older places were not put over what the catalog has. */
  readonly conflicts: PlaceConflict[] = [];

  constructor(components: ImporterComponents) {
    this.#c = components;
  }

  /** Throws `TOO_FEW_SHARDS` when neither the map's holders nor anybody else that answers have enough of it. */
  async read(locator: Locator): Promise<Uint8Array> {
    const ref = { incarnation: locator.incarnation, number: locator.segment };
    await this.knowSegment(ref, locator.class);
    try {
      return await this.#readOnce(ref, locator);
    } catch (error) {
      if (!isFault(error, "TOO_FEW_SHARDS") || (await this.#c.finder.find([ref], this.#c.signal)) === 0)
        throw error;
      return this.#readOnce(ref, locator);
    }
  }

  /** @param over whether its entries replace those that the catalog has. */
  async importRun(locator: Locator, over: boolean): Promise<ImportedRun> {
    const run = indexRunCodec.decode(await this.read(locator));
    for (const [incarnation, segments] of run.segments) {
      for (const [number, classId] of segments) await this.knowSegment({ incarnation, number }, classId);
    }
    const segments = new SegmentSet();
    segments.add({ incarnation: locator.incarnation, number: locator.segment });
    const unread: Locator[] = [];
    for (const [, page] of run.pages) {
      segments.add({ incarnation: page.incarnation, number: page.segment });
      if (!(await this.orUnread(() => this.importPage(page, over)))) unread.push(page);
    }
    return { state: { locator, segments: segments.toRanges() }, unread };
  }

  async importPage(locator: Locator, over: boolean): Promise<void> {
    const { catalog } = this.#c;
    const entries = decodeIndexPage(await this.read(locator));
    await catalog.store.write(catalog.chunks.putOps(over ? entries : this.#unknown(entries), true), {
      sync: false,
    });
  }

  async readSnapshots(locator: Locator): Promise<SnapshotEntry[]> {
    const { snapshots } = snapshotPageCodec.decode(await this.read(locator));
    for (const entry of snapshots) {
      const { incarnation, segment, class: classId } = entry.manifest;
      await this.knowSegment({ incarnation, number: segment }, classId);
    }
    return snapshots;
  }

  /** `false` when it cannot be had now. */
  async orUnread(read: () => Promise<unknown>): Promise<boolean> {
    try {
      await read();
      return true;
    } catch (error) {
      this.#c.signal.throwIfAborted();
      if (!isForNow(error)) throw error;
      return false;
    }
  }

  async knowSegment(ref: SegmentRef, classId: number): Promise<void> {
    const { catalog, maps } = this.#c;
    if (catalog.segments.get(ref) !== undefined) return;
    if (ref.incarnation > catalog.currentIncarnation) {
      const reason = `life ${ref.incarnation} is not in its list`;
      throw new Fault({ code: "FORMAT_INVALID", what: "index", reason });
    }
    const of = maps.class(ref.incarnation, classId);
    const slots = Array.from({ length: of.k + of.m }, () => null);
    const record: SegmentRecord = {
      class: classId,
      k: of.k,
      slots,
      shardBytes: 0,
      spooled: false,
      createdMs: 0,
    };
    await catalog.segments.put(ref, record, { sync: false });
  }

  #unknown(entries: readonly IndexEntry[]): IndexEntry[] {
    return entries.filter((other) => {
      const place = this.#c.catalog.chunks.get(other.id);
      if (place === undefined) return true;
      const isSame = place.incarnation === other.place.incarnation && place.number === other.place.number;
      if (!isSame && this.conflicts.length < CONFLICTS_MAX)
        this.conflicts.push({ known: { id: other.id, place }, other });
      return false;
    });
  }

  async #readOnce(ref: SegmentRef, locator: Locator): Promise<Uint8Array> {
    const { id, frame, offset, sealedBytes, rawBytes, compressed } = locator;
    const place = { ...ref, frame, offset, sealedBytes, rawBytes, compressed };
    const [bytes] = await this.#c.chunks.readAt([{ id, place }], this.#c.signal);
    return must(bytes, "chunk of the catalog");
  }
}

const CONFLICTS_MAX = 100_000;

/** Where the catalog's place has fewer shards left than it takes, and the other one has enough, the other one counts. */
export async function settleConflicts(
  catalog: Catalog,
  conflicts: readonly PlaceConflict[],
): Promise<number> {
  const isHeld = (ref: SegmentRef): boolean => {
    const record = catalog.segments.orUnknown(ref);
    return record.spooled || record.slots.filter((slot) => slot !== null).length >= record.k;
  };
  const better = conflicts.filter(({ known, other }) => {
    const place = catalog.chunks.get(known.id);
    const isAsBefore = place !== undefined && place.number === known.place.number;
    return isAsBefore && equalBytes(known.id, other.id) && !isHeld(known.place) && isHeld(other.place);
  });
  const ops = catalog.chunks.putOps(
    better.map(({ other }) => other),
    true,
  );
  if (ops.length > 0) await catalog.store.write(ops, { sync: false });
  return better.length;
}
