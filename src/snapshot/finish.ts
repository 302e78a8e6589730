import { assert, must } from "../base/assert.ts";
import { compareBytes, equalBytes } from "../base/bytes.ts";
import { type BytePath, bytePath, displayPath, pathBytes } from "../base/paths.ts";
import {
  type IndexEntry,
  listingOp,
  type Manifest,
  manifestCodec,
  type RepositoryState,
  SegmentSet,
  type SnapshotEntry,
  type TrailPlan,
} from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import type { FileTree, MetaOp, PreparedChunk } from "../ports/index.ts";
import type { SegmentSizes } from "../segments/index.ts";
import type { Locator } from "../wire/head.ts";
import type { DirectoryRead } from "./draft.ts";
import type { EndSegments } from "./end-segments.ts";
import { FreshEntries } from "./fresh-entries.ts";
import { HeadParts, type HeadPartsComponents, type HeadPartsInit, type StoredMoves } from "./head-parts.ts";
import type { CaptureReport } from "./report.ts";

/** What manifest, snapshot list and root come to besides chunks and index, for guessing whether a tail will do: a share of it. */
const END_OVERHEAD_SHARE = 1 / 32;
/** By so much manifest and what points to it may turn out longer than their drafts: a range, and a few locators. */
const DRAFT_SLACK_BYTES = 512;
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

export interface FinisherComponents extends HeadPartsComponents {
  readonly report: CaptureReport;
  readonly needs: SegmentSet;
}

export interface FinisherInit extends HeadPartsInit {
  readonly subject: SnapshotSubject;
}

/** What lies between head and manifest, as far as it is stored before the manifest is. */
interface Way {
  readonly runs: RepositoryState["runs"];
  readonly moves: StoredMoves | undefined;
}

/**
 * Ends a snapshot: what is left of data and trees, the index of what is new, the manifest and the list of snapshots
 * go out last, after all that they refer to is placed or spooled; then the head, which makes it a snapshot.
 */
export class Finisher {
  readonly #c: FinisherComponents;
  readonly #init: FinisherInit;
  readonly #parts: HeadParts;
  /** The checkpoint of this run that the next manifest replaces. */
  #checkpoint: number | undefined;

  constructor(components: FinisherComponents, init: FinisherInit) {
    this.#c = components;
    this.#init = init;
    this.#parts = new HeadParts(components, init);
  }

  async finish(root: DirectoryRead, options: { partial: boolean }): Promise<SnapshotEntry> {
    const { catalog, store } = this.#c;
    const { sizes } = this.#init;
    const remainder = await store.takeRemainder();
    await store.settle();
    const fresh = new FreshEntries({ catalog, store });
    const entries = await fresh.countUpTo(sizes.tailMaxBytes / INDEX_ENTRY_STORED_BYTES);
    const end = this.#parts.openEnd(expectedBytes(remainder, entries, sizes));
    const own: IndexEntry[] = [];
    for (const chunk of remainder) own.push({ id: chunk.id, place: await end.add(chunk) });
    own.sort((a, b) => compareBytes(a.id, b.id));
    const runs = await this.#parts.writeIndex(end, own, fresh);
    const way = { runs, moves: await this.#parts.storeMoves(end) };
    const written = await this.#writeManifest(end, root, way, options.partial);
    await end.finish();
    await this.#commit(written, way);
    await fresh.markListed(own.map(({ id }) => id));
    return written.entry;
  }

  async #writeManifest(
    end: EndSegments,
    root: DirectoryRead,
    way: Way,
    partial: boolean,
  ): Promise<WrittenManifest> {
    const needs = this.#needs(end, way);
    const draft = this.#manifest(root, needs, partial);
    const replaced = await this.#replacedBy(draft);
    const trail = await this.#enter(draft);
    // The manifest names the segment that it is in, and what leads to it lies beside it: room is made for all before.
    const { chunks, kept } = await this.#draftEnd(draft, way, replaced, trail);
    for (const { incarnation, segment } of kept) needs.add({ incarnation, number: segment });
    const own = await end.reserve(chunks, DRAFT_SLACK_BYTES);
    needs.add(own);
    const manifest = { ...draft, needs: needs.toRanges() };
    const bytes = manifestCodec.encode(manifest);
    const locator = await end.addLocated(await this.#parts.prepare(bytes));
    const entry = entryFor(manifest, sha256(bytes), locator);
    const pages = await this.#parts.storePages(end, await this.#snapshotList(entry, replaced));
    const trailPages = await this.#parts.storeTrail(end, trail);
    const rootLocator = await end.addLocated(await this.#parts.root(way.runs, pages, way.moves));
    assert(
      locator.segment === own.number && rootLocator.segment === own.number,
      "manifest and root lie where the manifest says",
    );
    return { manifest, entry, pages, replaced, root: rootLocator, ...trailPages };
  }

  /**
   * Into the trail, before there is a head that says so: the head holds its own entry then. One without a snapshot of its
   * number is of a try that failed.
   */
  async #enter({ sequence, paths, tags, files, bytes, partial }: Manifest): Promise<TrailPlan | undefined> {
    if (!partial)
      await this.#c.trail?.append("snapshot", {
        number: sequence,
        paths: paths.map((path) => displayPath(bytePath(path))).join(" "),
        tags: tags.join(" "),
        files,
        bytes,
      });
    return this.#parts.planTrail();
  }

  /** Everything that reading the snapshot takes, the way to it from the head included. */
  #needs(end: EndSegments, { runs, moves }: Way): SegmentSet {
    const { store, needs } = this.#c;
    const all = new SegmentSet();
    // Of this run's own segments, some may be on their way still while a checkpoint is made: it does not lean on them.
    for (const ref of needs) if (!store.written.has(ref)) all.add(ref);
    all.addAll(store.stored);
    for (const run of runs) all.addAll(SegmentSet.fromRanges(run.segments));
    if (moves !== undefined) all.add({ incarnation: moves.at.incarnation, number: moves.at.segment });
    all.addAll(end.refs());
    return all;
  }

  /** Checkpoints that this snapshot makes superfluous: its own one, and what an interrupted run left of the same paths. */
  async #replacedBy(manifest: Manifest): Promise<SnapshotEntry[]> {
    const samePaths = ({ paths }: SnapshotEntry): boolean =>
      paths.length === manifest.paths.length &&
      paths.every((path, i) => equalBytes(path, must(manifest.paths[i], "path")));
    return (await this.#c.catalog.snapshots()).filter(
      (known) =>
        known.sequence === this.#checkpoint || (known.partial && !manifest.partial && samePaths(known)),
    );
  }

  /** What is still to be written, at about its final length, and the pages of the list that stay as they are. */
  async #draftEnd(
    draft: Manifest,
    { runs, moves }: Way,
    replaced: readonly SnapshotEntry[],
    trail: TrailPlan | undefined,
  ): Promise<{ chunks: PreparedChunk[]; kept: Locator[] }> {
    const chunk = await this.#parts.prepare(manifestCodec.encode(draft));
    const { id, rawBytes } = chunk;
    const large = 2 ** 32 - 1;
    const locator: Locator = {
      id,
      incarnation: this.#c.catalog.currentIncarnation,
      segment: large,
      class: this.#init.classes.whole,
      frame: large,
      offset: large,
      sealedBytes: large,
      rawBytes,
      compressed: true,
    };
    const list = await this.#snapshotList(entryFor(draft, id, locator), replaced);
    const fresh = list.flatMap((page) => ("stored" in page ? [page] : []));
    const kept = list.flatMap((page) => ("stored" in page ? [] : [page]));
    const rootDraft = await this.#parts.root(runs, [...kept, ...fresh.map(() => locator)], moves);
    const trailPages = trail?.pages ?? [];
    const freshTrail: PreparedChunk[] = [];
    for (const page of trailPages)
      if ("bytes" in page) freshTrail.push(await this.#parts.prepare(page.bytes));
    const keptTrail = trailPages.flatMap((page) => ("at" in page ? [page.at] : []));
    return { chunks: [chunk, ...fresh, ...freshTrail, rootDraft], kept: [...kept, ...keptTrail] };
  }

  /** Pages that are the same as before are not written again: normally all but the last. */
  async #snapshotList(
    entry: SnapshotEntry,
    replaced: readonly SnapshotEntry[],
  ): Promise<(Locator | PreparedChunk)[]> {
    const gone = new Set(replaced.map(({ sequence }) => sequence));
    const left = (await this.#c.catalog.snapshots()).filter(({ sequence }) => !gone.has(sequence));
    return this.#parts.pagesOf([...left, entry], false);
  }

  async #commit(written: WrittenManifest, { runs, moves }: Way): Promise<void> {
    const { catalog, heads } = this.#c;
    const { manifest, entry } = written;
    const removals = written.replaced.flatMap(({ sequence }) => catalog.removeSnapshotOps(sequence));
    const ops: MetaOp[] = [
      ...removals,
      catalog.snapshotOp(entry),
      catalog.manifestOp(manifest),
      // What the head needs, this snapshot needs.
      listingOp(undefined),
      ...(moves?.ops ?? []),
    ];
    const { trail } = written;
    const listed = { snapshotSequence: manifest.sequence, runs, snapshotPages: written.pages };
    const change = trail === undefined ? listed : { ...listed, trail };
    await heads.commit(written.root, change, ops);
    this.#checkpoint = manifest.partial ? manifest.sequence : undefined;
  }

  #manifest(root: DirectoryRead, needs: SegmentSet, partial: boolean): Manifest {
    const { subject } = this.#init;
    return {
      v: 1,
      sequence: this.#c.catalog.state.snapshotSequence + 1,
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
  readonly replaced: readonly SnapshotEntry[];
  readonly root: Locator;
  readonly trail?: RepositoryState["trail"];
}

function entryFor(manifest: Manifest, id: Uint8Array, locator: Locator): SnapshotEntry {
  const { sequence, timeMs, host, paths, tags, files, directories, bytes, partial } = manifest;
  return { id, sequence, timeMs, host, paths, tags, files, directories, bytes, partial, manifest: locator };
}

function expectedBytes(
  remainder: readonly PreparedChunk[],
  entries: number,
  { tailMaxBytes }: SegmentSizes,
): number {
  const chunks = remainder.reduce(
    (sum, chunk) => sum + chunk.stored.length + 64 + INDEX_ENTRY_STORED_BYTES,
    0,
  );
  return chunks + entries * INDEX_ENTRY_STORED_BYTES + tailMaxBytes * END_OVERHEAD_SHARE;
}

function named(ids: ReadonlySet<number>, nameOf: (id: number) => string | undefined): [number, string][] {
  return [...ids]
    .sort((a, b) => a - b)
    .flatMap((id): [number, string][] => {
      const name = nameOf(id);
      return name === undefined ? [] : [[id, name]];
    });
}
