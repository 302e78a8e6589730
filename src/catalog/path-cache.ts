import { z } from "zod";
import type { BytePath } from "../base/paths.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesOf, bytesUpTo, codec, count, OWN_SHAPE, segmentNumber } from "../wire/codec.ts";
import { metadataKey, pathKey } from "./keys.ts";

/** A million chunks: more in one directory is read again instead. */
export const CHUNK_IDS_BYTES_MAX = 32 * 1024 * 1024;

const entry = z
  .object({
    v: z.literal(1),
    /** Over names and stats of everything in the directory that is no directory. */
    filesFingerprint: bytesOf(32),
    /** Over that, and names, stats and trees of the directories in it. */
    fingerprint: bytesOf(32),
    tree: z.array(bytesOf(32)).min(1),
    /** Segments that the files of this directory and its pages lie in, subdirectories not counted. */
    segments: z.array(z.tuple([z.int().min(0), segmentNumber])),
    /** Ids, one after the other, of chunks that were in no sealed segment yet when this was written. */
    chunks: bytesUpTo(CHUNK_IDS_BYTES_MAX),
    files: count,
    bytes: count,
    /** Names of entries that were too fresh, unreadable or changing: their stat proves nothing. */
    untrusted: z.array(bytesUpTo(255)),
  })
  .strict();
export type CachedDirectory = Omit<z.output<typeof entry>, "v">;

const cached = codec("path cache entry", entry, OWN_SHAPE);

/**
 * What the last snapshot saw in each directory, by absolute path: lets the next one leave unchanged files
 * unread. A cache: whatever cannot be used from it is read from the source again.
 */
export class PathCache {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(path: BytePath): CachedDirectory | undefined {
    const bytes = this.#store.get(pathKey(path));
    if (bytes === undefined) return undefined;
    try {
      const { v: _, ...value } = cached.decode(bytes);
      return value;
    } catch {
      return undefined; // of another version: as good as none
    }
  }

  putOp(path: BytePath, value: CachedDirectory): MetaOp {
    return { type: "put", key: pathKey(path), value: cached.encode({ v: 1, ...value }) };
  }
}

/** Plaintext of metadata chunks by id: trees and content pages, kept so that looking around needs no peer. */
export class MetadataCache {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(id: Uint8Array): Uint8Array | undefined {
    return this.#store.get(metadataKey(id));
  }

  putOp(id: Uint8Array, plaintext: Uint8Array): MetaOp {
    return { type: "put", key: metadataKey(id), value: plaintext };
  }
}
