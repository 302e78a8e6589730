import { must } from "../base/assert.ts";
import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type BytePath, displayPath, joinPath, splitPath } from "../base/paths.ts";
import {
  type Catalog,
  type ChunkPlace,
  type ContentPiece,
  decodePieces,
  decodeTree,
  type FileContent,
  type Manifest,
  manifestCodec,
  type SnapshotEntry,
  type TreeEntry,
} from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import type { ReadDirectory } from "./partial-trees.ts";

const ROOT = "/" as BytePath;

/** An entry and where it is in the snapshot. */
export interface PlacedEntry {
  readonly path: BytePath;
  readonly entry: TreeEntry;
}

/** Trees of snapshots: from this machine's cache, else from the peers, and then kept here. */
export class TreeReader {
  readonly #catalog: Catalog;
  readonly #chunks: ChunkReader;

  constructor(components: { catalog: Catalog; chunks: ChunkReader }) {
    this.#catalog = components.catalog;
    this.#chunks = components.chunks;
  }

  async manifest(snapshot: SnapshotEntry, signal?: AbortSignal): Promise<Manifest> {
    const known = this.#catalog.manifest(snapshot.sequence);
    if (known !== undefined) return known;
    const { id, incarnation, segment, frame, offset, sealedBytes, rawBytes, compressed } = snapshot.manifest;
    const place = { incarnation, number: segment, frame, offset, sealedBytes, rawBytes, compressed };
    const [bytes] = await this.#chunks.readAt([{ id, place }], signal);
    const found = must(bytes, "manifest");
    if (!equalBytes(sha256(found), snapshot.id)) {
      throw new Fault({ code: "FORMAT_INVALID", what: "manifest", reason: "it is not the snapshot's" });
    }
    const manifest = manifestCodec.decode(found);
    await this.#catalog.store.write([this.#catalog.manifestOp(manifest, snapshot.sequence)], { sync: false });
    return manifest;
  }

  /** All entries of a directory, in the order of their names. */
  async entries(pages: readonly Uint8Array[], signal?: AbortSignal): Promise<TreeEntry[]> {
    return (await this.#metadata(pages, signal)).flatMap(decodeTree);
  }

  /** Where a page would be read from that this machine has not got; `undefined` for one that it has. Throws `CHUNK_UNKNOWN`. */
  placeOfMissing(page: Uint8Array): ChunkPlace | undefined {
    return this.#catalog.metadata.get(page) === undefined ? this.#chunks.place(page) : undefined;
  }

  async pieces(content: FileContent, signal?: AbortSignal): Promise<readonly ContentPiece[]> {
    if (content.kind === "pieces") return content.pieces;
    return (await this.#metadata(content.pages, signal)).flatMap(decodePieces);
  }

  /** The entry at a path; `undefined` for the root itself. Throws `PATH_NOT_IN_SNAPSHOT`. */
  async find(
    snapshot: SnapshotEntry,
    manifest: Manifest,
    path: BytePath,
    signal?: AbortSignal,
    read: ReadDirectory = this.#read,
  ): Promise<PlacedEntry | undefined> {
    let at: PlacedEntry | undefined;
    let pages: readonly Uint8Array[] = manifest.root;
    for (const name of splitPath(path)) {
      const entries = await read(at?.path ?? ROOT, pages, signal);
      const entry = entries.find((candidate) => candidate.name === name);
      if (entry === undefined || (at !== undefined && at.entry.tree === undefined)) {
        throw new Fault({
          code: "PATH_NOT_IN_SNAPSHOT",
          snapshot: toHex(snapshot.id),
          path: displayPath(path),
        });
      }
      at = { path: joinPath(at?.path ?? ROOT, name), entry };
      pages = entry.tree ?? [];
    }
    return at;
  }

  /** Depth first, a directory before what is in it. `descend` says whether to go into one. */
  async *walk(
    pages: readonly Uint8Array[],
    base: BytePath,
    descend: (directory: PlacedEntry) => boolean,
    signal?: AbortSignal,
    read: ReadDirectory = this.#read,
  ): AsyncGenerator<PlacedEntry> {
    for (const entry of await read(base, pages, signal)) {
      const placed = { path: joinPath(base, entry.name), entry };
      yield placed;
      if (entry.tree !== undefined && descend(placed))
        yield* this.walk(entry.tree, placed.path, descend, signal, read);
    }
  }

  readonly #read: ReadDirectory = (_, pages, signal) => this.entries(pages, signal);

  async #metadata(ids: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<Uint8Array[]> {
    const found = ids.map((id) => this.#catalog.metadata.get(id));
    const missing = ids.filter((_, i) => found[i] === undefined);
    if (missing.length === 0) return found.map((bytes) => must(bytes, "cached page"));
    const fetched = await this.#chunks.read(missing, signal);
    const ops = missing.map((id, i) => this.#catalog.metadata.putOp(id, must(fetched[i], "fetched page")));
    await this.#catalog.store.write(ops, { sync: false });
    let next = 0;
    return found.map((bytes) => bytes ?? must(fetched[next++], "fetched page"));
  }
}
