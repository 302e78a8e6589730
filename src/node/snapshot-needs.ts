import { type Catalog, Moves, type SegmentSet, type SnapshotEntry } from "../catalog/index.ts";
import type { TreeReader } from "../restore/index.ts";

export interface SnapshotNeedsComponents {
  readonly catalog: Pick<Catalog, "store">;
  readonly trees: Pick<TreeReader, "manifest">;
}

/** What reading a snapshot takes now: what its manifest named, without what was given up since, with what took its place. */
export async function snapshotNeeds(
  { catalog, trees }: SnapshotNeedsComponents,
  entry: SnapshotEntry,
  signal?: AbortSignal,
): Promise<SegmentSet> {
  const manifest = await trees.manifest(entry, signal);
  const all = Moves.load(catalog.store).needsOf(entry, manifest);
  all.add({ incarnation: entry.manifest.incarnation, number: entry.manifest.segment });
  return all;
}
