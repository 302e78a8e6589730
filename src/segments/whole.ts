import type { PreparedChunk } from "../ports/compute.ts";
import {
  decodeLocator,
  decodeToc,
  FIRST_CHUNK_OFFSET,
  LOCATOR_FRAME,
  type Locator,
  SEGMENT_HEADER_BYTES,
  type SegmentIdentity,
  type TocEntry,
} from "./layout.ts";
import { openFrame, openHeader, plaintextOf, type SegmentAccess, unreadable } from "./open.ts";

/** A segment that is in memory as a whole and tells itself what is in it. */
export interface WholeSegment {
  readonly toc: readonly TocEntry[];
  /** Plaintext of one chunk, its id checked. One at a time, because all together may be very large. */
  read(entry: TocEntry): Uint8Array;
  /** The same chunk as it would go into another segment, its id checked: for folding tails together. */
  prepared(entry: TocEntry): PreparedChunk;
}

/**
 * What is in a segment, from its bytes and the keys alone: an index that was lost is made again from these. Every
 * function here throws `SEGMENT_UNREADABLE`.
 */
export function openWholeSegment(
  keys: { readonly dataKey: Uint8Array; readonly chunkIdKey: Uint8Array },
  identity: SegmentIdentity,
  bytes: Uint8Array,
): WholeSegment {
  const access = openHeader(keys.dataKey, identity, bytes);
  const storedOf = (entry: TocEntry): Uint8Array =>
    openFrame(access, entry.frame, false, bytes.subarray(entry.offset, entry.offset + entry.sealedBytes));
  const read = (entry: TocEntry): Uint8Array =>
    plaintextOf(identity, keys.chunkIdKey, entry, storedOf(entry));
  return {
    toc: tocOf(access, bytes),
    read,
    prepared: (entry) => {
      const stored = storedOf(entry);
      plaintextOf(identity, keys.chunkIdKey, entry, stored);
      return { id: entry.id, rawBytes: entry.rawBytes, compressed: entry.compressed, stored };
    },
  };
}

/** The table of contents of a whole segment. */
export function readToc(
  keys: { readonly dataKey: Uint8Array },
  identity: SegmentIdentity,
  bytes: Uint8Array,
): TocEntry[] {
  return tocOf(openHeader(keys.dataKey, identity, bytes), bytes);
}

function tocOf(access: SegmentAccess, bytes: Uint8Array): TocEntry[] {
  const locator = locatorOf(access, bytes);
  const sealed = bytes.subarray(locator.tocOffset);
  const entries = decodeToc(openFrame(access, locator.chunkCount + 1, true, sealed), locator);
  if (typeof entries === "string") throw unreadable(access.identity, entries);
  return entries;
}

function locatorOf(access: SegmentAccess, bytes: Uint8Array): Locator {
  const sealed = bytes.subarray(SEGMENT_HEADER_BYTES, FIRST_CHUNK_OFFSET);
  const locator = decodeLocator(openFrame(access, LOCATOR_FRAME, false, sealed));
  if (locator === undefined || locator.tocOffset + locator.tocSealedBytes !== bytes.length) {
    throw unreadable(access.identity, "frame 0 does not fit the length of the segment");
  }
  return locator;
}
