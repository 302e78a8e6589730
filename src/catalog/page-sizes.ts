import { KIB } from "../base/units.ts";

/** How much goes into one chunk of metadata. */
export interface PageSizes {
  /** Ends a page of a tree after an entry when it is so large and the name says so, or when it is too large. */
  readonly treeBytesMin: number;
  readonly treeBytesMax: number;
  /** One name in so many may end a page, so that an insertion moves only the pages beside it. */
  readonly treeBoundaryOneIn: number;
  /** Of an index page, which is read whole to find one chunk. */
  readonly indexEntries: number;
  /** Of a content page: 4096 chunks of 1 MiB are 4 GiB of file and 160 KiB of page. */
  readonly contentPieces: number;
  readonly snapshots: number;
}

/** What a reader accepts of an index page: 61 KiB of entries. */
export const INDEX_PAGE_ENTRIES = 1024;
/** Snapshots in one page of the list: only the last page changes with a new snapshot. */
export const SNAPSHOTS_PER_PAGE = 256;

/**
 * Pages for a repository whose chunks have at most so many bytes: pages are chunks themselves, so smaller ones (in the
 * simulator) make smaller pages. With the default of 4 MiB every page has the size that it was chosen for.
 */
export function pageSizesFor(chunkMaxBytes: number): PageSizes {
  const treeBytesMin = Math.min(64 * KIB, chunkMaxBytes / 16);
  return {
    treeBytesMin,
    treeBytesMax: Math.min(768 * KIB, chunkMaxBytes / 4),
    treeBoundaryOneIn: Math.ceil(treeBytesMin / 256),
    // 61 and about 38 bytes each, hardly to be compressed.
    indexEntries: Math.min(INDEX_PAGE_ENTRIES, Math.floor(chunkMaxBytes / 64)),
    contentPieces: Math.min(4096, Math.floor(chunkMaxBytes / 64)),
    snapshots: Math.min(SNAPSHOTS_PER_PAGE, Math.floor(chunkMaxBytes / 512)),
  };
}
