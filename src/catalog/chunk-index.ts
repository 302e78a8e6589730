import { assert } from "../base/assert.ts";
import { compareBytes, concatBytes, u32be, u64be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { chunkKey, type SegmentRef, tableRange, unlistedKey } from "./keys.ts";
import { INDEX_PAGE_ENTRIES } from "./page-sizes.ts";

/** Where a chunk lies in a sealed segment. */
export interface ChunkPlace extends SegmentRef {
  readonly frame: number;
  /** Of the frame in the sealed segment. */
  readonly offset: number;
  readonly sealedBytes: number;
  readonly rawBytes: number;
  readonly compressed: boolean;
}

export interface IndexEntry {
  readonly id: Uint8Array;
  readonly place: ChunkPlace;
}

const ID_BYTES = 32;
const PLACE_BYTES = 4 + 8 + 4 + 4 + 4 + 4 + 1;
/** chunk id (32), incarnation u32, segment u64, frame u32, offset u32, sealed u32, raw u32, flags u8 (1: compressed). */
export const INDEX_ENTRY_BYTES = ID_BYTES + PLACE_BYTES;

/**
 * Chunk id -> place, on disk: the inner loop of deduplication. An entry says where a chunk would be, not that
 * its segment can be relied on: that is the segment table's word.
 */
export class ChunkIndex {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(id: Uint8Array): ChunkPlace | undefined {
    const value = this.#store.get(chunkKey(id));
    return value === undefined ? undefined : decodePlace(value, 0);
  }

  /** @param listed whether an acknowledged head lists the entries already (they come from one). */
  putOps(entries: readonly IndexEntry[], listed: boolean): MetaOp[] {
    return entries.flatMap(({ id, place }): MetaOp[] => {
      const put: MetaOp = { type: "put", key: chunkKey(id), value: encodePlace(place) };
      return listed ? [put] : [put, { type: "put", key: unlistedKey(id), value: new Uint8Array(0) }];
    });
  }

  /** Entries that no acknowledged head lists yet, in the order of their ids. */
  async *unlisted(): AsyncGenerator<IndexEntry> {
    for await (const [key] of this.#store.scan(tableRange("unlisted"))) {
      const id = key.subarray(1);
      const place = this.get(id);
      if (place !== undefined) yield { id, place };
    }
  }

  /** Whether an acknowledged head lists the entry. */
  isListed(id: Uint8Array): boolean {
    return this.#store.get(unlistedKey(id)) === undefined;
  }

  /** Every entry, in the order of their ids. */
  async *all(): AsyncGenerator<IndexEntry> {
    for await (const [key, value] of this.#store.scan(tableRange("chunk"))) {
      yield { id: key.subarray(1), place: decodePlace(value, 0) };
    }
  }

  /** To go along with other changes. */
  removeOps(ids: readonly Uint8Array[]): MetaOp[] {
    return ids.flatMap((id): MetaOp[] => [
      { type: "delete", key: chunkKey(id) },
      { type: "delete", key: unlistedKey(id) },
    ]);
  }

  async clearUnlisted(ids: readonly Uint8Array[]): Promise<void> {
    const ops = ids.map((id): MetaOp => ({ type: "delete", key: unlistedKey(id) }));
    await this.#store.write(ops, { sync: false });
  }
}

function encodePlace(place: ChunkPlace): Uint8Array {
  return concatBytes(
    u32be(place.incarnation),
    u64be(place.number),
    u32be(place.frame),
    u32be(place.offset),
    u32be(place.sealedBytes),
    u32be(place.rawBytes),
    Uint8Array.of(place.compressed ? 1 : 0),
  );
}

function decodePlace(bytes: Uint8Array, at: number): ChunkPlace {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    incarnation: view.getUint32(at),
    number: Number(view.getBigUint64(at + 4)),
    frame: view.getUint32(at + 12),
    offset: view.getUint32(at + 16),
    sealedBytes: view.getUint32(at + 20),
    rawBytes: view.getUint32(at + 24),
    compressed: (view.getUint8(at + 28) & 1) === 1,
  };
}

/** One page of the stored index: entries of fixed size in the order of their ids, after one version byte. */
export function encodeIndexPage(entries: readonly IndexEntry[]): Uint8Array {
  assert(entries.length <= INDEX_PAGE_ENTRIES, "an index page is bounded");
  return concatBytes(Uint8Array.of(1), ...entries.flatMap(({ id, place }) => [id, encodePlace(place)]));
}

export function decodeIndexPage(bytes: Uint8Array): IndexEntry[] {
  if (bytes[0] !== 1) {
    throw new Fault({ code: "FORMAT_VERSION", what: "index page", version: bytes[0] ?? 0, newestKnown: 1 });
  }
  const entries = (bytes.length - 1) / INDEX_ENTRY_BYTES;
  if (!Number.isInteger(entries) || entries > INDEX_PAGE_ENTRIES) {
    throw new Fault({ code: "FORMAT_INVALID", what: "index page", reason: `${bytes.length} bytes` });
  }
  const decoded: IndexEntry[] = [];
  for (let i = 0; i < entries; i++) {
    const at = 1 + i * INDEX_ENTRY_BYTES;
    const id = bytes.slice(at, at + ID_BYTES);
    const before = decoded.at(-1);
    if (before !== undefined && compareBytes(before.id, id) >= 0) {
      throw new Fault({ code: "FORMAT_INVALID", what: "index page", reason: "its entries are not in order" });
    }
    decoded.push({ id, place: decodePlace(bytes, at + ID_BYTES) });
  }
  return decoded;
}
