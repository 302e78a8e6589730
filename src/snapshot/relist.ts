import { listingOp, type RepositoryState, SegmentSet, type SnapshotEntry } from "../catalog/index.ts";
import type { Locator } from "../wire/head.ts";
import type { EndSegments } from "./end-segments.ts";
import { FreshEntries } from "./fresh-entries.ts";
import { HeadParts, type HeadPartsComponents, type HeadPartsInit, type StoredMoves } from "./head-parts.ts";

/**
 * A head without these snapshots, and nothing new but the list. With `without` all of list, index and trail is written anew, and says
 * nothing of these segments. What leads from the head to the list and the index is returned: no snapshot needs it.
 */
export async function relist(
  components: HeadPartsComponents,
  init: HeadPartsInit,
  gone: readonly SnapshotEntry[],
  without?: SegmentSet,
): Promise<SegmentSet> {
  const { catalog, store, heads } = components;
  const parts = new HeadParts(components, init);
  const fresh = new FreshEntries({ catalog, store });
  const anew = without !== undefined;
  const end = parts.openEnd(anew ? init.sizes.fullBytes : 0);
  const runs = anew ? await parts.writeIndex(end, [], fresh, without) : catalog.state.runs;
  const moves = await parts.storeMoves(end, without);
  const sequences = new Set(gone.map(({ sequence }) => sequence));
  const left = (await catalog.snapshots()).filter(({ sequence }) => !sequences.has(sequence));
  const pages = await parts.storePages(end, await parts.pagesOf(left, anew));
  const trail = anew ? await parts.storeTrail(end, await parts.planTrail(without)) : {};
  const root = await end.addLocated(await parts.root(runs, pages, moves));
  await end.finish();
  const way = wayOf({ runs, pages, moves, trail: trail.trail ?? catalog.state.trail }, end);
  const removals = gone.flatMap(({ sequence }) => catalog.removeSnapshotOps(sequence));
  const ops = [...removals, ...(moves?.ops ?? []), listingOp(way.toRanges())];
  await heads.commit(root, { runs, snapshotPages: pages, ...trail }, ops);
  if (anew) await fresh.markListed([]);
  await forgetOwnMarks(components, end);
  return way;
}

/** Segments on the way from the head to index, list and trail. */
function wayOf(
  to: {
    readonly runs: RepositoryState["runs"];
    readonly pages: readonly Locator[];
    readonly moves: StoredMoves | undefined;
    readonly trail: RepositoryState["trail"];
  },
  end: EndSegments,
): SegmentSet {
  const way = new SegmentSet();
  for (const { segments } of to.runs) way.addAll(SegmentSet.fromRanges(segments));
  const located = [...to.pages, ...(to.trail?.pages ?? []).map(({ at }) => at)];
  if (to.moves !== undefined) located.push(to.moves.at);
  for (const { incarnation, segment } of located) way.add({ incarnation, number: segment });
  way.addAll(end.refs());
  return way;
}

/** Nothing that is to be saved waits in the segments of a list: they are not taken for what an interrupted snapshot left. */
async function forgetOwnMarks({ catalog }: HeadPartsComponents, end: EndSegments): Promise<void> {
  const { chunks } = catalog;
  const own = new SegmentSet();
  own.addAll(end.refs());
  const ids: Uint8Array[] = [];
  for await (const { id, place } of chunks.unlisted()) if (own.has(place)) ids.push(id.slice());
  await chunks.clearUnlisted(ids);
}
