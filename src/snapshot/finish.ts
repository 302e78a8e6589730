import { must } from "../base/assert.ts";
import { compareBytes, equalBytes } from "../base/bytes.ts";
import { type BytePath, pathBytes } from "../base/paths.ts";
import {
  type Catalog,
  catalogRootCodec,
  type IndexEntry,
  type Manifest,
  manifestCodec,
  type RepositoryState,
  refKey,
  SegmentSet,
  SNAPSHOTS_PER_PAGE,
  type SnapshotEntry,
  snapshotPageCodec,
} from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import type { HeadKeeper } from "../exchange/index.ts";
import type { Compute, FileTree, MetaOp, PreparedChunk } from "../ports/index.ts";
import type { SegmentSizes } from "../segments/index.ts";
import type { Locator } from "../wire/head.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { DirectoryRead } from "./draft.ts";
import { EndSegments } from "./end-segments.ts";
import { mergeEntries, writeIndexRun } from "./index-writer.ts";
import type { CaptureReport } from "./report.ts";
import type { SegmentStorer } from "./segment-storer.ts";

/** Runs of the index; with more of them they are written anew as one. */
const INDEX_RUNS_MAX = 32;
/** What manifest, snapshot list and root come to besides chunks and index, for guessing whether a tail will do. */
const END_OVERHEAD_BYTES = 32 * 1024;
/** Chunk ids are random: an entry hardly gets smaller than its id. */
const INDEX_ENTRY_STORED_BYTES = 48;

/** What a snapshot is of. */
export interface SnapshotSubject {
  readonly host: string;
  readonly program: string;
  readonly paths: readonly BytePath[];
  readonly tags: readonly string[];
  readonly excludes: readonly BytePath[];
  readonly timeMs: number;
  readonly names: Pick<FileTree, "userName" | "groupName">;
}

export interface FinisherComponents {
  readonly catalog: Catalog;
  readonly compute: Pick<Compute, "prepare">;
  readonly store: ChunkStore;
  readonly storer: SegmentStorer;
  readonly heads: HeadKeeper;
  readonly report: CaptureReport;
  readonly needs: SegmentSet;
}

export interface FinisherInit {
  readonly chunkIdKey: Uint8Array;
  readonly sizes: SegmentSizes;
  readonly classes: { readonly whole: number; readonly tail: number };
  readonly subject: SnapshotSubject;
}

/**
 * Ends a snapshot: what is left of data and trees, the index of what is new, the manifest and the list of snapshots
 * go out last, after all that they refer to is placed or spooled; then the head, which makes it a snapshot.
 */
export class Finisher {
  readonly #c: FinisherComponents;
  readonly #init: FinisherInit;
  /** The checkpoint of this run that the next manifest replaces. */
  #checkpoint: number | undefined;

  constructor(components: FinisherComponents, init: FinisherInit) {
    this.#c = components;
    this.#init = init;
  }

  async finish(root: DirectoryRead, options: { partial: boolean }): Promise<SnapshotEntry> {
    const { catalog, store, storer } = this.#c;
    const remainder = await store.takeRemainder();
    await store.settle();
    const fresh = await this.#freshEntries();
    const end = new EndSegments(
      { catalog },
      { ...this.#init, expectedBytes: expectedBytes(remainder, fresh.count) },
    );
    const own: IndexEntry[] = [];
    for (const chunk of remainder) own.push({ id: chunk.id, place: await end.add(chunk) });
    own.sort((a, b) => compareBytes(a.id, b.id));
    const index = await this.#writeIndex(end, own, fresh.entries);
    const written = await this.#writeManifest(end, root, index.runs, options.partial);
    const closed = end.close();
    for (const { ref, segment } of closed) {
      await storer.enter(ref, segment);
      await storer.store(ref, segment);
      store.written.add(ref);
    }
    await this.#commit(written, index.runs);
    await catalog.chunks.clearUnlisted(index.ids);
    return written.entry;
  }

  /** Entries that no head lists and that can be relied on: this run's, and what an interrupted one left behind. */
  async #freshEntries(): Promise<{ entries: IndexEntry[]; count: number }> {
    const { catalog, store } = this.#c;
    const usable = new Map<string, boolean>();
    const entries: IndexEntry[] = [];
    for await (const entry of catalog.chunks.unlisted()) {
      const key = refKey(entry.place);
      const known = usable.get(key) ?? store.mayReuse(entry.place);
      usable.set(key, known);
      if (known) entries.push(entry);
    }
    return { entries, count: entries.length };
  }

  async #writeIndex(
    end: EndSegments,
    own: readonly IndexEntry[],
    fresh: readonly IndexEntry[],
  ): Promise<{ runs: RepositoryState["runs"]; ids: readonly Uint8Array[] }> {
    const { catalog, compute, store } = this.#c;
    const known = catalog.state.runs;
    const anew = known.length >= INDEX_RUNS_MAX;
    const listed = anew ? reliable(catalog, store) : fromList(fresh);
    const init = { chunkIdKey: this.#init.chunkIdKey };
    const run = await writeIndexRun({ catalog, compute, end }, init, mergeEntries(listed, own));
    if (run === undefined) return { runs: known, ids: [] };
    const added = { locator: run.locator, segments: run.segments.toRanges() };
    return { runs: anew ? [added] : [...known, added], ids: run.ids };
  }

  async #writeManifest(
    end: EndSegments,
    root: DirectoryRead,
    runs: RepositoryState["runs"],
    partial: boolean,
  ): Promise<WrittenManifest> {
    const { catalog, store, needs } = this.#c;
    const sequence = catalog.state.snapshotSequence + 1;
    // The manifest names the segment that it is in; it fits there whatever its exact length turns out to be.
    const draft = await this.#prepare(
      manifestCodec.encode(this.#manifest(root, sequence, new SegmentSet(), partial)),
    );
    const own = await end.reserve([draft, draft, draft]);
    const all = new SegmentSet();
    for (const set of [needs, store.written, ...runs.map((run) => SegmentSet.fromRanges(run.segments))])
      all.addAll(set);
    for (const ref of end.refs()) all.add(ref);
    all.add(own);
    const manifest = this.#manifest(root, sequence, all, partial);
    const bytes = manifestCodec.encode(manifest);
    const locator = await end.addLocated(await this.#prepare(bytes));
    const entry = entryFor(manifest, sha256(bytes), locator);
    const pages = await this.#writeSnapshotList(end, entry);
    const rootBytes = catalogRootCodec.encode({
      v: 1,
      runs: runs.map((run) => run.locator),
      snapshots: pages,
    });
    return { manifest, entry, pages, root: await end.addLocated(await this.#prepare(rootBytes)) };
  }

  /** Pages that are the same as before are not written again: normally all but the last. */
  async #writeSnapshotList(end: EndSegments, entry: SnapshotEntry): Promise<Locator[]> {
    const { catalog } = this.#c;
    const before = (await catalog.snapshots()).filter((known) => known.sequence !== this.#checkpoint);
    const all = [...before, entry];
    const pages: Locator[] = [];
    for (let at = 0; at < all.length; at += SNAPSHOTS_PER_PAGE) {
      const snapshots = all.slice(at, at + SNAPSHOTS_PER_PAGE);
      const chunk = await this.#prepare(snapshotPageCodec.encode({ v: 1, snapshots }));
      const known = catalog.state.snapshotPages[pages.length];
      pages.push(known !== undefined && equalBytes(known.id, chunk.id) ? known : await end.addLocated(chunk));
    }
    return pages;
  }

  async #commit(written: WrittenManifest, runs: RepositoryState["runs"]): Promise<void> {
    const { catalog, heads } = this.#c;
    const { manifest, entry } = written;
    const replaced = this.#checkpoint === undefined ? [] : catalog.removeSnapshotOps(this.#checkpoint);
    const ops: MetaOp[] = [...replaced, catalog.snapshotOp(entry), catalog.manifestOp(manifest)];
    const change = { snapshotSequence: manifest.sequence, runs, snapshotPages: written.pages };
    await heads.commit(written.root, change, ops);
    this.#checkpoint = manifest.partial ? manifest.sequence : undefined;
  }

  async #prepare(plaintext: Uint8Array): Promise<PreparedChunk> {
    const [chunk] = await this.#c.compute.prepare([plaintext], this.#init.chunkIdKey);
    return must(chunk, "prepared chunk");
  }

  #manifest(root: DirectoryRead, sequence: number, needs: SegmentSet, partial: boolean): Manifest {
    const { subject } = this.#init;
    return {
      v: 1,
      sequence,
      timeMs: subject.timeMs,
      host: subject.host,
      program: subject.program,
      paths: subject.paths.map((path) => pathBytes(path)),
      tags: [...subject.tags],
      excludes: subject.excludes.map((pattern) => pathBytes(pattern)),
      root: [...root.tree],
      files: root.files,
      directories: root.directories,
      bytes: root.bytes,
      unreadable: this.#c.report.unreadable.count,
      changed: this.#c.report.changed.count,
      partial,
      users: named(this.#c.report.uids, (uid) => subject.names.userName(uid)),
      groups: named(this.#c.report.gids, (gid) => subject.names.groupName(gid)),
      needs: needs.toRanges(),
    };
  }
}

interface WrittenManifest {
  readonly manifest: Manifest;
  readonly entry: SnapshotEntry;
  readonly pages: Locator[];
  readonly root: Locator;
}

function entryFor(manifest: Manifest, id: Uint8Array, locator: Locator): SnapshotEntry {
  const { sequence, timeMs, host, paths, tags, files, directories, bytes, partial } = manifest;
  return { id, sequence, timeMs, host, paths, tags, files, directories, bytes, partial, manifest: locator };
}

function expectedBytes(remainder: readonly PreparedChunk[], entries: number): number {
  const chunks = remainder.reduce(
    (sum, chunk) => sum + chunk.stored.length + 64 + INDEX_ENTRY_STORED_BYTES,
    0,
  );
  return chunks + entries * INDEX_ENTRY_STORED_BYTES + END_OVERHEAD_BYTES;
}

async function* fromList(entries: readonly IndexEntry[]): AsyncGenerator<IndexEntry> {
  yield* entries;
}

/** The whole index but for chunks of segments that were given up. */
async function* reliable(catalog: Catalog, store: ChunkStore): AsyncGenerator<IndexEntry> {
  for await (const entry of catalog.chunks.all()) if (store.mayReuse(entry.place)) yield entry;
}

function named(ids: ReadonlySet<number>, nameOf: (id: number) => string | undefined): [number, string][] {
  return [...ids]
    .sort((a, b) => a - b)
    .flatMap((id): [number, string][] => {
      const name = nameOf(id);
      return name === undefined ? [] : [[id, name]];
    });
}
