import { concatBytes, equalBytes, toHex } from "../base/bytes.ts";
import type { BytePath } from "../base/paths.ts";
import { bytePath } from "../base/paths.ts";
import {
  type CachedDirectory,
  type Catalog,
  type ContentPiece,
  decodePieces,
  decodeTree,
  type FileContent,
  type SegmentRef,
  SegmentSet,
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
    const refs = cached.segments.map(([incarnation, number]): SegmentRef => ({ incarnation, number }));
    const isWhereItWas = refs.every((ref) => store.mayReuse(ref));
    const ids = isWhereItWas ? idsIn(cached.chunks) : allChunksOf(catalog, cached);
    if (ids === undefined) return undefined;
    const segments = new SegmentSet();
    if (isWhereItWas) segments.addAll(refs);
    for (const id of ids) {
      const found = store.find(id);
      if (found === undefined || found === "open") return undefined;
      segments.add(found);
    }
    return new KnownDirectory(catalog, cached, [...segments]);
  }

  /** Whether what was written down says where all of it lies. */
  get isWrittenDown(): boolean {
    const written = new SegmentSet();
    for (const [incarnation, number] of this.cached.segments) written.add({ incarnation, number });
    return written.size === this.segments.length && this.segments.every((ref) => written.has(ref));
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

function idsIn(joined: Uint8Array): Uint8Array[] {
  const ids: Uint8Array[] = [];
  for (let at = 0; at < joined.length; at += 32) ids.push(joined.subarray(at, at + 32));
  return ids;
}

/**
 * Chunks of its pages and files, subdirectories not counted. Asked for where they do not all lie where they did: what was copied
 * elsewhere need not be read from the disk again. `undefined` where a page is not at hand any more.
 */
function allChunksOf(catalog: Catalog, { tree }: CachedDirectory): Uint8Array[] | undefined {
  const ids: Uint8Array[] = [...tree];
  for (const id of tree) {
    const page = catalog.metadata.get(id);
    if (page === undefined) return undefined;
    for (const { content } of decodeTree(page)) {
      const pieces = content === undefined ? [] : piecesOf(catalog, content);
      if (pieces === undefined) return undefined;
      if (content?.kind === "pages") ids.push(...content.pages);
      for (const piece of pieces) if (piece.kind === "chunk") ids.push(piece.id);
    }
  }
  return ids;
}

function piecesOf(catalog: Catalog, content: FileContent): readonly ContentPiece[] | undefined {
  if (content.kind === "pieces") return content.pieces;
  const pieces: ContentPiece[] = [];
  for (const id of content.pages) {
    const page = catalog.metadata.get(id);
    if (page === undefined) return undefined;
    pieces.push(...decodePieces(page));
  }
  return pieces;
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
