import { isFault } from "../base/fault.ts";
import { type Catalog, listingOf, SegmentRangeSet } from "../catalog/index.ts";
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
    const sequences = `${this.#catalog.state.headEpoch}/${entries.map(({ sequence }) => sequence).join()}`;
    if (this.#known?.sequences === sequences) return this.#known.set;
    const set = new SegmentRangeSet();
    try {
      // What leads from the head to the list is needed as much as what is on it.
      set.addAll(listingOf(this.#catalog.store));
      for (const entry of entries) set.addAll((await this.#trees.manifest(entry, signal)).needs);
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      return undefined;
    }
    this.#known = { sequences, set };
    return set;
  }
}
