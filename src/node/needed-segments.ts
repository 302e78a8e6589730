import { isFault } from "../base/fault.ts";
import {
  type Catalog,
  listingOf,
  type Manifest,
  Moves,
  type SegmentRangeSet,
  type SnapshotEntry,
} from "../catalog/index.ts";
import type { TreeReader } from "../restore/index.ts";

/** The segments that some snapshot needs, worked out again when the list of snapshots has changed. */
export class NeededSegments {
  readonly #catalog: Catalog;
  readonly #trees: Pick<TreeReader, "manifest">;
  #known: { readonly sequences: string; readonly set: SegmentRangeSet } | undefined;

  constructor(components: { catalog: Catalog; trees: Pick<TreeReader, "manifest"> }) {
    this.#catalog = components.catalog;
    this.#trees = components.trees;
  }

  /** `undefined` where a manifest cannot be had just now: what its snapshot needs is not known then. */
  async read(signal: AbortSignal): Promise<SegmentRangeSet | undefined> {
    const entries = await this.#catalog.snapshots();
    const moves = Moves.load(this.#catalog.store);
    const asOf = `${this.#catalog.state.headEpoch}/${moves.state.revision}`;
    const sequences = `${asOf}/${entries.map(({ sequence }) => sequence).join()}`;
    if (this.#known?.sequences === sequences) return this.#known.set;
    let set: SegmentRangeSet;
    try {
      const read: [SnapshotEntry, Pick<Manifest, "needs">][] = [];
      for (const entry of entries)
        read.push([entry, { needs: (await this.#trees.manifest(entry, signal)).needs }]);
      set = moves.needsOfAll(read);
      for (const { manifest } of entries) set.addAll([[manifest.incarnation, [[manifest.segment, 1]]]]);
      // What leads from the head to the list is needed as much as what is on it.
      set.addAll(listingOf(this.#catalog.store));
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      return undefined;
    }
    this.#known = { sequences, set };
    return set;
  }
}
