import { concatBytes, equalBytes, toHex } from "../base/bytes.ts";
import type { BytePath } from "../base/paths.ts";
import { bytePath } from "../base/paths.ts";
import {
  type CachedDirectory,
  type Catalog,
  decodeTree,
  type SegmentRef,
  type SegmentSet,
  type TreeEntry,
} from "../catalog/index.ts";
import type { ChunkStore } from "./chunk-store.ts";

/**
 * What the last snapshot saw in one directory, as far as it can be relied on: every chunk that it refers to lies in
 * a segment that new snapshots may refer to.
 */
export class KnownDirectory {
  readonly cached: CachedDirectory;
  /** Segments that the directory's own files and pages lie in. */
  readonly segments: readonly SegmentRef[];
  readonly #untrusted: ReadonlySet<BytePath>;
  readonly #catalog: Catalog;
  #entries: ReadonlyMap<BytePath, TreeEntry> | undefined;

  private constructor(catalog: Catalog, cached: CachedDirectory, segments: readonly SegmentRef[]) {
    this.#catalog = catalog;
    this.cached = cached;
    this.segments = segments;
    this.#untrusted = new Set(cached.untrusted.map(bytePath));
  }

  static load(catalog: Catalog, store: ChunkStore, path: BytePath): KnownDirectory | undefined {
    const cached = catalog.paths.get(path);
    if (cached === undefined) return undefined;
    const segments = new Map<string, SegmentRef>();
    for (const [incarnation, number] of cached.segments) {
      if (!store.mayReuse({ incarnation, number })) return undefined;
      segments.set(`${incarnation}/${number}`, { incarnation, number });
    }
    for (let at = 0; at < cached.chunks.length; at += 32) {
      const found = store.find(cached.chunks.subarray(at, at + 32));
      if (found === undefined || found === "open") return undefined;
      segments.set(`${found.incarnation}/${found.number}`, {
        incarnation: found.incarnation,
        number: found.number,
      });
    }
    return new KnownDirectory(catalog, cached, [...segments.values()]);
  }

  /** Nothing but the directories in it can have changed. */
  hasSameFiles(filesFingerprint: Uint8Array): boolean {
    return this.#untrusted.size === 0 && equalBytes(filesFingerprint, this.cached.filesFingerprint);
  }

  /** What was saved of an entry; `undefined` when it was not, cannot be trusted, or is not at hand any more. */
  entry(name: BytePath): TreeEntry | undefined {
    if (this.#untrusted.has(name)) return undefined;
    this.#entries ??= this.#readEntries();
    return this.#entries.get(name);
  }

  #readEntries(): ReadonlyMap<BytePath, TreeEntry> {
    const entries = new Map<BytePath, TreeEntry>();
    for (const id of this.cached.tree) {
      const page = this.#catalog.metadata.get(id);
      if (page === undefined) return new Map();
      for (const entry of decodeTree(page)) entries.set(entry.name, entry);
    }
    return entries;
  }
}

/** Collects which segments a directory leans on; chunks that this run is about to write are named by id instead. */
export class Dependencies {
  readonly #needs: SegmentSet;
  readonly #segments = new Map<string, SegmentRef>();
  readonly #open = new Map<string, Uint8Array>();

  /** @param needs what the whole snapshot leans on; kept up to date, because a checkpoint may come at any time. */
  constructor(needs: SegmentSet) {
    this.#needs = needs;
  }

  segment(ref: SegmentRef): void {
    this.#needs.add(ref);
    this.#segments.set(`${ref.incarnation}/${ref.number}`, {
      incarnation: ref.incarnation,
      number: ref.number,
    });
  }

  chunk(id: Uint8Array, found: SegmentRef | "open" | undefined): void {
    if (found === undefined || found === "open") this.#open.set(toHex(id), id);
    else this.segment(found);
  }

  get segments(): SegmentRef[] {
    return [...this.#segments.values()];
  }

  get openChunks(): Uint8Array {
    return concatBytes(...this.#open.values());
  }
}
