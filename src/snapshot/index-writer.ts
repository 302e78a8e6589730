import { must } from "../base/assert.ts";
import { compareBytes } from "../base/bytes.ts";
import {
  type Catalog,
  encodeIndexPage,
  type IndexEntry,
  type IndexRun,
  indexRunCodec,
  type SegmentClasses,
  SegmentSet,
} from "../catalog/index.ts";
import type { Compute } from "../ports/index.ts";
import type { Locator } from "../wire/head.ts";
import type { EndSegments } from "./end-segments.ts";

/** An index run that was written: where it is, and the segments that reading it takes. */
export interface WrittenRun {
  readonly locator: Locator;
  readonly segments: SegmentSet;
}

export interface IndexWriterComponents {
  readonly catalog: Catalog;
  readonly compute: Pick<Compute, "prepare">;
  readonly end: EndSegments;
}

/**
 * Writes one sorted run of index entries as pages, and the chunk that fences them. Returns `undefined` when there
 * are no entries. `also`: segments whose class it tells besides those that its entries name.
 */
export async function writeIndexRun(
  components: IndexWriterComponents,
  init: { chunkIdKey: Uint8Array; pageEntries: number; also: SegmentSet },
  entries: AsyncIterable<IndexEntry>,
): Promise<WrittenRun | undefined> {
  const { compute, end, catalog } = components;
  const pages: IndexRun["pages"] = [];
  let count = 0;
  const segments = new SegmentSet();
  const described = new SegmentSet();
  described.addAll(init.also);
  const write = async (plaintext: Uint8Array): Promise<Locator> => {
    const [chunk] = await compute.prepare([plaintext], init.chunkIdKey);
    const locator = await end.addLocated(must(chunk, "prepared page"));
    segments.add({ incarnation: locator.incarnation, number: locator.segment });
    return locator;
  };
  const writePage = async (page: readonly IndexEntry[]): Promise<void> => {
    const first = must(page[0], "first entry of a page");
    pages.push([first.id.slice(0, 8), await write(encodeIndexPage(page))]);
  };
  let page: IndexEntry[] = [];
  for await (const entry of entries) {
    count++;
    described.add(entry.place);
    page.push(entry);
    if (page.length < init.pageEntries) continue;
    await writePage(page);
    page = [];
  }
  if (page.length > 0) await writePage(page);
  if (pages.length === 0) return undefined;
  const run = indexRunCodec.encode({
    v: 1,
    pages,
    entries: count,
    segments: classesOf(catalog, end, described),
  });
  return { locator: await write(run), segments };
}

/** Which class each segment is of: the way from an index entry to the right map. */
function classesOf(catalog: Catalog, end: EndSegments, segments: SegmentSet): SegmentClasses {
  const byIncarnation = new Map<number, [number, number][]>();
  for (const ref of segments) {
    const classId = end.classOf(ref) ?? must(catalog.segments.get(ref), "segment record").class;
    const list = byIncarnation.get(ref.incarnation) ?? [];
    list.push([ref.number, classId]);
    byIncarnation.set(ref.incarnation, list);
  }
  return [...byIncarnation];
}

/** Two sorted lists of entries as one; where both have an id, the second's entry counts. */
export async function* mergeEntries(
  first: AsyncIterable<IndexEntry>,
  second: readonly IndexEntry[],
): AsyncGenerator<IndexEntry> {
  let next = 0;
  for await (const entry of first) {
    let taken = false;
    for (let other = second[next]; other !== undefined; other = second[next]) {
      const order = compareBytes(other.id, entry.id);
      if (order > 0) break;
      yield other;
      next++;
      if (order === 0) taken = true;
    }
    if (!taken) yield entry;
  }
  yield* second.slice(next);
}
