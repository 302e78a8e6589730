import { type Catalog, type ChunkPlace, type IndexEntry, SegmentSet } from "../catalog/index.ts";
import type { ChunkStore } from "./chunk-store.ts";

export interface FreshComponents {
  readonly catalog: Pick<Catalog, "chunks" | "segments">;
  readonly store: Pick<ChunkStore, "written" | "stored" | "mayReuse">;
}

/** Marks removed in one write. */
const CLEAR_BATCH = 4096;

/**
 * What a head made now may list of the index: of this run, what was stored when this object was made, and of earlier
 * ones, what can be relied on. The answer stays the same while further segments of a run are stored beside a
 * checkpoint, so that exactly what was listed is marked as listed afterwards. Read from the catalog as it goes: the chunks
 * of a first snapshot are too many to keep in memory.
 */
export class FreshEntries {
  readonly #c: FreshComponents;
  readonly #stored = new SegmentSet();

  constructor(components: FreshComponents) {
    this.#c = components;
    this.#stored.addAll(components.store.stored);
  }

  /** How many there are, counted no further than `most`. */
  async countUpTo(most: number): Promise<number> {
    let count = 0;
    for await (const _ of this.unlisted()) if (++count >= most) break;
    return count;
  }

  /** What no head lists yet: this run's, and what an interrupted one left behind. In the order of ids. */
  async *unlisted(): AsyncGenerator<IndexEntry> {
    for await (const entry of this.#c.catalog.chunks.unlisted()) if (this.#mayList(entry.place)) yield entry;
  }

  /**
   * The whole index but for what no head lists and was never stored. Anything else stays, however few of its shards are
   * left: older snapshots need it for as long as it can be read at all, what was stored anew or copied lately, too.
   */
  async *whole(): AsyncGenerator<IndexEntry> {
    const { chunks } = this.#c.catalog;
    for await (const entry of chunks.all()) {
      if (chunks.isListed(entry.id) || this.#mayList(entry.place) || this.#wasStored(entry.place))
        yield entry;
    }
  }

  /** A head lists all of these now, and `own`. */
  async markListed(own: readonly Uint8Array[]): Promise<void> {
    const { chunks } = this.#c.catalog;
    let batch = [...own];
    for await (const { id } of this.unlisted()) {
      batch.push(id);
      if (batch.length < CLEAR_BATCH) continue;
      await chunks.clearUnlisted(batch);
      batch = [];
    }
    await chunks.clearUnlisted(batch);
  }

  #wasStored(place: ChunkPlace): boolean {
    const { store, catalog } = this.#c;
    if (store.written.has(place)) return false;
    const record = catalog.segments.get(place);
    return record !== undefined && (record.spooled || record.slots.some((slot) => slot !== null));
  }

  #mayList(place: ChunkPlace): boolean {
    const { store } = this.#c;
    return store.written.has(place) ? this.#stored.has(place) : store.mayReuse(place);
  }
}
