import { assert, must } from "../base/assert.ts";
import { compareBytes, equalBytes, toHex } from "../base/bytes.ts";
import { type BytePath, bytePath, displayPath, pathBytes } from "../base/paths.ts";
import {
  type Catalog,
  catalogRootCodec,
  type IndexEntry,
  listingOp,
  type Manifest,
  manifestCodec,
  type RepositoryState,
  runsNotWhole,
  SegmentSet,
  type SnapshotEntry,
  snapshotPageCodec,
  type Trail,
  type TrailPlan,
  unreadParts,
} from "../catalog/index.ts";
import { sha256 } from "../crypto/hash.ts";
import type { HeadKeeper } from "../exchange/index.ts";
import type { Compute, FileTree, MetaOp, PreparedChunk } from "../ports/index.ts";
import type { SegmentSizes } from "../segments/index.ts";
import type { Locator } from "../wire/head.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { DirectoryRead } from "./draft.ts";
import { EndSegments, type StoreEnd } from "./end-segments.ts";
import { FreshEntries } from "./fresh-entries.ts";
import { mergeEntries, writeIndexRun } from "./index-writer.ts";
import type { CaptureReport } from "./report.ts";
import type { SegmentStorer } from "./segment-storer.ts";

/** Runs of the index; with more of them they are written anew as one. */
const INDEX_RUNS_MAX = 32;
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

export interface FinisherComponents {
  readonly catalog: Catalog;
  readonly compute: Pick<Compute, "prepare">;
  readonly store: Pick<
    ChunkStore,
    "takeRemainder" | "settle" | "written" | "stored" | "mayReuse" | "isReliable" | "pages"
  >;
  readonly storer: Pick<SegmentStorer, "enter" | "reserve" | "store">;
  readonly heads: Pick<HeadKeeper, "commit">;
  readonly report: CaptureReport;
  readonly needs: SegmentSet;
  /** @default none is kept */
  readonly trail?: Pick<Trail, "append" | "plan">;
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
    const { catalog, store } = this.#c;
    const { sizes } = this.#init;
    const remainder = await store.takeRemainder();
    await store.settle();
    const fresh = new FreshEntries({ catalog, store });
    const entries = await fresh.countUpTo(sizes.tailMaxBytes / INDEX_ENTRY_STORED_BYTES);
    const end = this.#openEnd(expectedBytes(remainder, entries, sizes));
    const own: IndexEntry[] = [];
    for (const chunk of remainder) own.push({ id: chunk.id, place: await end.add(chunk) });
    own.sort((a, b) => compareBytes(a.id, b.id));
    const runs = await this.#writeIndex(end, own, fresh);
    const written = await this.#writeManifest(end, root, runs, options.partial);
    await end.finish();
    await this.#commit(written, runs);
    await fresh.markListed(own.map(({ id }) => id));
    return written.entry;
  }

  /**
   * A head without these snapshots, and nothing new but the list. With `without` all of list and index is written anew, and says nothing
   * of these segments. What leads from the head to the list and the index is returned: no snapshot needs it.
   */
  async relist(gone: readonly SnapshotEntry[], without?: SegmentSet): Promise<SegmentSet> {
    const { catalog, store, heads } = this.#c;
    const fresh = new FreshEntries({ catalog, store });
    const whole = this.#init.sizes.fullBytes;
    const end = this.#openEnd(without === undefined ? 0 : whole);
    const runs = without === undefined ? catalog.state.runs : await this.#writeIndex(end, [], fresh, without);
    const sequences = new Set(gone.map(({ sequence }) => sequence));
    const left = (await catalog.snapshots()).filter(({ sequence }) => !sequences.has(sequence));
    const pages: Locator[] = [];
    for (const page of await this.#pagesOf(left, without !== undefined))
      pages.push("stored" in page ? await end.addLocated(page) : page);
    const root = await end.addLocated(await this.#prepare(rootBytes(runs, pages)));
    await end.finish();
    const listing = new SegmentSet();
    for (const { segments } of runs) listing.addAll(SegmentSet.fromRanges(segments));
    for (const { incarnation, segment } of pages) listing.add({ incarnation, number: segment });
    for (const { at } of catalog.state.trail?.pages ?? [])
      listing.add({ incarnation: at.incarnation, number: at.segment });
    listing.addAll(end.refs());
    const removals = gone.flatMap(({ sequence }) => catalog.removeSnapshotOps(sequence));
    await heads.commit(root, { runs, snapshotPages: pages }, [...removals, listingOp(listing.toRanges())]);
    if (without !== undefined) await fresh.markListed([]);
    await this.#forgetOwnMarks(end);
    return listing;
  }

  /** Nothing that is to be saved waits in the segments of a list: they are not taken for what an interrupted snapshot left. */
  async #forgetOwnMarks(end: EndSegments): Promise<void> {
    const { chunks } = this.#c.catalog;
    const own = new SegmentSet();
    own.addAll(end.refs());
    const ids: Uint8Array[] = [];
    for await (const { id, place } of chunks.unlisted()) if (own.has(place)) ids.push(id.slice());
    await chunks.clearUnlisted(ids);
  }

  #openEnd(expectedBytes: number): EndSegments {
    const { catalog, store, storer } = this.#c;
    const storeEnd: StoreEnd = async (ref, segment) => {
      store.written.add(ref);
      const entered = await storer.enter(ref, segment);
      await storer.store(entered, await storer.reserve(entered));
      store.stored.add(ref);
    };
    return new EndSegments({ catalog, store: storeEnd }, { ...this.#init, expectedBytes });
  }

  /** @param without written whole, whatever there is, and without a word of these */
  async #writeIndex(
    end: EndSegments,
    own: readonly IndexEntry[],
    fresh: FreshEntries,
    without?: SegmentSet,
  ): Promise<RepositoryState["runs"]> {
    const { catalog, compute, store } = this.#c;
    const known = catalog.state.runs;
    const isReliable = (run: RepositoryState["runs"][number]): boolean =>
      [...SegmentSet.fromRanges(run.segments)].every((ref) => store.isReliable(ref));
    // What a recovery could not read yet is not in the local index: it stays as it is.
    const lacking = new Set(runsNotWhole(unreadParts(catalog.store)).map(toHex));
    const kept = known.filter(({ locator }) => lacking.has(toHex(locator.id)));
    const whole = known.filter((run) => !kept.includes(run));
    const anew = without !== undefined || whole.length >= INDEX_RUNS_MAX || !whole.every(isReliable);
    const listed = anew ? fresh.whole() : fresh.unlisted();
    const { chunkIdKey } = this.#init;
    const also = anew ? await this.#segmentsOfOthers(without) : new SegmentSet();
    const init = { chunkIdKey, pageEntries: store.pages.indexEntries, also };
    const run = await writeIndexRun({ catalog, compute, end }, init, mergeEntries(listed, own));
    if (run === undefined) return without === undefined ? known : kept;
    const added = { locator: run.locator, segments: run.segments.toRanges() };
    return anew ? [...kept, added] : [...known, added];
  }

  /**
   * What earlier runs described. A snapshot goes on needing a segment whose chunks were all stored anew since: where no run
   * described it any more, a recovered home could neither read that snapshot nor have the segment repaired.
   */
  async #segmentsOfOthers(without: SegmentSet = new SegmentSet()): Promise<SegmentSet> {
    const { catalog, store } = this.#c;
    const others = new SegmentSet();
    for await (const [ref, { slots, spooled, createdMs }] of catalog.segments.all()) {
      const wasPlaced = spooled || createdMs === 0 || slots.some((slot) => slot !== null);
      if (wasPlaced && !without.has(ref) && (!store.written.has(ref) || store.stored.has(ref)))
        others.add(ref);
    }
    return others;
  }

  async #writeManifest(
    end: EndSegments,
    root: DirectoryRead,
    runs: RepositoryState["runs"],
    partial: boolean,
  ): Promise<WrittenManifest> {
    const needs = this.#needs(end, runs);
    const draft = this.#manifest(root, needs, partial);
    const replaced = await this.#replacedBy(draft);
    const trail = await this.#enter(draft);
    // The manifest names the segment that it is in, and what leads to it lies beside it: room is made for all before.
    const { chunks, kept } = await this.#draftEnd(draft, runs, replaced, trail);
    for (const { incarnation, segment } of kept) needs.add({ incarnation, number: segment });
    const own = await end.reserve(chunks, DRAFT_SLACK_BYTES);
    needs.add(own);
    const manifest = { ...draft, needs: needs.toRanges() };
    const bytes = manifestCodec.encode(manifest);
    const locator = await end.addLocated(await this.#prepare(bytes));
    const entry = entryFor(manifest, sha256(bytes), locator);
    const pages: Locator[] = [];
    for (const page of await this.#snapshotList(entry, replaced))
      pages.push("stored" in page ? await end.addLocated(page) : page);
    const trailPages = await this.#storeTrail(end, trail);
    const rootLocator = await end.addLocated(await this.#prepare(rootBytes(runs, pages)));
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
    const { trail, store } = this.#c;
    if (!partial)
      await trail?.append("snapshot", {
        number: sequence,
        paths: paths.map((path) => displayPath(bytePath(path))).join(" "),
        tags: tags.join(" "),
        files,
        bytes,
      });
    return trail?.plan(store.pages.snapshots, (ref) => store.isReliable(ref));
  }

  async #storeTrail(end: EndSegments, plan: TrailPlan | undefined): Promise<Pick<RepositoryState, "trail">> {
    if (plan === undefined) return {};
    const pages: NonNullable<RepositoryState["trail"]>["pages"] = [];
    for (const page of plan.pages) {
      const { from, entries } = page;
      const at = "at" in page ? page.at : await end.addLocated(await this.#prepare(page.bytes));
      pages.push({ from, entries, at });
    }
    return { trail: { sequence: plan.sequence, hash: plan.hash, pages } };
  }

  /** Everything that reading the snapshot takes, the way to it from the head included. */
  #needs(end: EndSegments, runs: RepositoryState["runs"]): SegmentSet {
    const { store, needs } = this.#c;
    const all = new SegmentSet();
    // Of this run's own segments, some may be on their way still while a checkpoint is made: it does not lean on them.
    for (const ref of needs) if (!store.written.has(ref)) all.add(ref);
    all.addAll(store.stored);
    for (const run of runs) all.addAll(SegmentSet.fromRanges(run.segments));
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
    runs: RepositoryState["runs"],
    replaced: readonly SnapshotEntry[],
    trail: TrailPlan | undefined,
  ): Promise<{ chunks: PreparedChunk[]; kept: Locator[] }> {
    const chunk = await this.#prepare(manifestCodec.encode(draft));
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
    const rootDraft = await this.#prepare(rootBytes(runs, [...kept, ...fresh.map(() => locator)]));
    const trailPages = trail?.pages ?? [];
    const freshTrail: PreparedChunk[] = [];
    for (const page of trailPages) if ("bytes" in page) freshTrail.push(await this.#prepare(page.bytes));
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
    return this.#pagesOf([...left, entry], false);
  }

  async #pagesOf(all: readonly SnapshotEntry[], anew: boolean): Promise<(Locator | PreparedChunk)[]> {
    const { catalog, store } = this.#c;
    // Pages that a recovery could not read yet: what they list is not among `all`.
    const pages: (Locator | PreparedChunk)[] = [...unreadParts(catalog.store).lists];
    for (let at = 0; at < all.length; at += store.pages.snapshots) {
      const snapshots = all.slice(at, at + store.pages.snapshots);
      const chunk = await this.#prepare(snapshotPageCodec.encode({ v: 1, snapshots }));
      const known = catalog.state.snapshotPages[pages.length];
      const isThere =
        !anew &&
        known !== undefined &&
        equalBytes(known.id, chunk.id) &&
        store.isReliable({ incarnation: known.incarnation, number: known.segment });
      pages.push(isThere ? known : chunk);
    }
    return pages;
  }

  async #commit(written: WrittenManifest, runs: RepositoryState["runs"]): Promise<void> {
    const { catalog, heads } = this.#c;
    const { manifest, entry } = written;
    const removals = written.replaced.flatMap(({ sequence }) => catalog.removeSnapshotOps(sequence));
    const ops: MetaOp[] = [
      ...removals,
      catalog.snapshotOp(entry),
      catalog.manifestOp(manifest),
      // What the head needs, this snapshot needs.
      listingOp(undefined),
    ];
    const { trail } = written;
    const listed = { snapshotSequence: manifest.sequence, runs, snapshotPages: written.pages };
    const change = trail === undefined ? listed : { ...listed, trail };
    await heads.commit(written.root, change, ops);
    this.#checkpoint = manifest.partial ? manifest.sequence : undefined;
  }

  async #prepare(plaintext: Uint8Array): Promise<PreparedChunk> {
    const [chunk] = await this.#c.compute.prepare([plaintext], this.#init.chunkIdKey);
    return must(chunk, "prepared chunk");
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

function rootBytes(runs: RepositoryState["runs"], snapshots: Locator[]): Uint8Array {
  return catalogRootCodec.encode({ v: 1, runs: runs.map((run) => run.locator), snapshots });
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
