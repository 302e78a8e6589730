import { must } from "../base/assert.ts";
import { equalBytes } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import { hasHomeMarker } from "../base/home-marker.ts";
import { type BytePath, baseName, joinPath, parentPath, pathBytes } from "../base/paths.ts";
import {
  type Catalog,
  CHUNK_IDS_BYTES_MAX,
  type FileContent,
  type SegmentRef,
  type SegmentSet,
  type TreeEntry,
} from "../catalog/index.ts";
import type { Clock, DirectoryEntry, FileStat, FileTree, Xattr } from "../ports/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { DirectoryDraft, type DirectoryRead, type DraftEntry, entryOf, fileEntry } from "./draft.ts";
import { Fingerprint, isUnchanged } from "./fingerprint.ts";
import type { FileOutcome, Ingester } from "./ingester.ts";
import { Dependencies, KnownDirectory } from "./known-directory.ts";
import type { CaptureReport } from "./report.ts";
import type { CaptureRules } from "./rules.ts";

export interface WalkerComponents {
  readonly tree: FileTree;
  readonly catalog: Catalog;
  readonly store: ChunkStore;
  readonly ingester: Ingester;
  readonly rules: CaptureRules;
  readonly report: CaptureReport;
  readonly clock: Clock;
  /** Segments that this snapshot needs besides those it writes. */
  readonly needs: SegmentSet;
  readonly signal: AbortSignal;
  /** Called after each directory was listed. */
  readonly onDirectory: () => void;
  /** Called where the walk may rest; it waits for it. */
  readonly checkpoint: () => Promise<void>;
}

/**
 * A file whose ctime is not older than this when it is listed could change again without its ctime moving on: the
 * kernel's clock for file times ticks every 4 to 10 ms.
 */
const RACY_NS = 50_000_000n;
/** The kernel itself refuses longer paths; a loop of bind mounts must end somewhere. */
const DEPTH_MAX = 2048;

interface Visit {
  readonly draft: DirectoryDraft;
  readonly done: Promise<DirectoryRead>;
}

/**
 * Walks directories and turns them into trees, leaving everything unread that the last snapshot saw as it is now.
 * The walk runs ahead of the reading of files; a directory's tree is stored when all in it is read.
 */
export class Walker {
  readonly #c: WalkerComponents;

  constructor(components: WalkerComponents) {
    this.#c = components;
  }

  /** Fills `draft`; resolves when everything below is listed. `done` settles when its tree is stored. */
  async visit(draft: DirectoryDraft, stat: FileStat, depth = 0, device = stat.device): Promise<Visit> {
    this.#c.signal.throwIfAborted();
    const { path } = draft;
    const isElsewhere = this.#c.rules.oneFileSystem && stat.device !== device;
    // A mount point is a directory of the file system that it is in: without it a restore has nothing to mount on.
    if (isElsewhere) this.#c.report.skipped.add({ path, reason: "is another file system" });
    const listing = isElsewhere ? [] : await this.#list(path, depth);
    const fresh = this.#freshAfterNs();
    const known = KnownDirectory.load(this.#c.catalog, this.#c.store, path);
    const kept = listing.filter((entry) => this.#keep(path, entry));
    const filesFingerprint = fingerprintOf(kept, (entry) => entry.stat.type !== "directory");
    const sameFiles = known?.hasSameFiles(filesFingerprint) === true;
    const untrusted = new Set<BytePath>();
    const waiting: Promise<void>[] = [];
    const children: { entry: KeptEntry; visit: Visit }[] = [];
    const depends = new Dependencies(this.#c.needs);

    for (const entry of kept) {
      if (entry.stat.type === "directory") {
        const child = new DirectoryDraft(joinPath(path, entry.name));
        draft.entries.push({ kind: "directory", name: entry.name, stat: entry.stat, draft: child });
        children.push({ entry, visit: await this.visit(child, entry.stat, depth + 1, device) });
      }
    }
    if (!sameFiles) {
      for (const entry of kept) {
        if (entry.stat.type === "directory") continue;
        if (entry.stat.ctimeNs > fresh) untrusted.add(entry.name);
        const { drafted, done } = await this.#file(path, entry, known, depends, untrusted);
        draft.entries.push(drafted);
        waiting.push(done);
      }
    }
    this.#c.onDirectory();
    await this.#c.checkpoint();
    const done = this.#finish({
      draft,
      kept,
      known,
      sameFiles,
      filesFingerprint,
      untrusted,
      waiting,
      children,
      depends,
    });
    done.catch(() => {}); // the parent awaits it, later
    return { draft, done };
  }

  /** A source that is no directory. */
  async visitFile(path: BytePath, stat: FileStat): Promise<{ drafted: DraftEntry; done: Promise<void> }> {
    this.#own(stat);
    const entry = { name: baseName(path), stat };
    return this.#file(parentPath(path), entry, undefined, new Dependencies(this.#c.needs), new Set());
  }

  /** All that is left to do when the walk has gone on: wait for files and subdirectories, then store the tree. */
  async #finish(work: Finishing): Promise<DirectoryRead> {
    const { draft, kept, known, sameFiles, waiting, children, depends } = work;
    const results = new Map<BytePath, DirectoryRead>();
    for (const { entry, visit } of children) results.set(entry.name, await visit.done);
    await Promise.all(waiting);
    const fingerprint = wholeFingerprint(work.filesFingerprint, children, results);
    const sums = sumOf(results.values());
    if (known !== undefined && sameFiles && equalBytes(fingerprint, known.cached.fingerprint)) {
      return draft.settle(await this.#takeOver(draft.path, known, children.length, sums));
    }
    if (sameFiles && known !== undefined) await this.#reuseFiles(draft, kept, known, depends);
    const own = ownFiles(draft);
    const result = await draft.build(this.#c.store, (path, stat) => this.#xattrs(path, stat, known));
    draft.settle(result);
    for (const id of result.tree) depends.chunk(id, this.#c.store.find(id));
    await this.#rememberNew(work, fingerprint, result, own);
    return result;
  }

  /** Nothing in it changed, nor below: the tree that is stored is its tree. */
  async #takeOver(
    path: BytePath,
    known: KnownDirectory,
    directories: number,
    sums: { files: number; directories: number; bytes: number },
  ): Promise<DirectoryRead> {
    const { cached, segments } = known;
    this.#c.needs.addAll(segments);
    this.#c.report.files += cached.files;
    this.#c.report.bytes += cached.bytes;
    if (cached.chunks.length > 0 || !known.isWrittenDown) {
      const chunks = new Uint8Array(0);
      await this.#remember(path, { ...cached, chunks, segments: segments.map(pairOf) });
    }
    return {
      tree: cached.tree,
      files: cached.files + sums.files,
      directories: directories + sums.directories,
      bytes: cached.bytes + sums.bytes,
    };
  }

  async #rememberNew(
    work: Finishing,
    fingerprint: Uint8Array,
    result: DirectoryRead,
    own: { files: number; bytes: number },
  ): Promise<void> {
    const chunks = work.depends.openChunks;
    if (chunks.length > CHUNK_IDS_BYTES_MAX) return;
    await this.#remember(work.draft.path, {
      filesFingerprint: work.filesFingerprint,
      fingerprint,
      tree: [...result.tree],
      segments: work.depends.segments.map(pairOf),
      chunks,
      ...own,
      untrusted: [...work.untrusted].map((name) => pathBytes(name)),
    });
  }

  async #remember(path: BytePath, value: Parameters<Catalog["paths"]["putOp"]>[1]): Promise<void> {
    await this.#c.catalog.store.write([this.#c.catalog.paths.putOp(path, value)], { sync: false });
  }

  /** The files are as they were, but a directory beside them is not: take the entries over. */
  async #reuseFiles(
    draft: DirectoryDraft,
    kept: readonly KeptEntry[],
    known: KnownDirectory,
    depends: Dependencies,
  ): Promise<void> {
    for (const ref of known.segments) depends.segment(ref);
    for (const entry of kept) {
      if (entry.stat.type === "directory") continue;
      const before = known.entry(entry.name);
      if (before !== undefined) {
        this.#count(before);
        draft.entries.push({ kind: "ready", name: entry.name, entry: before });
        continue;
      }
      const { drafted, done } = await this.#file(draft.path, entry, undefined, depends, new Set());
      await this.#c.ingester.flush();
      await done;
      draft.entries.push(drafted);
    }
  }

  /** Anything but a directory: taken over, read, or noted as unreadable. */
  async #file(
    directory: BytePath,
    entry: KeptEntry,
    known: KnownDirectory | undefined,
    depends: Dependencies,
    untrusted: Set<BytePath>,
  ): Promise<{ drafted: DraftEntry; done: Promise<void> }> {
    const path = joinPath(directory, entry.name);
    const before = known?.entry(entry.name);
    if (
      before !== undefined &&
      isUnchanged(before, entry.stat) &&
      sameMetadata(before, entry.stat) &&
      this.#reusable(before, known, depends)
    ) {
      this.#count(before);
      return { drafted: { kind: "ready", name: entry.name, entry: before }, done: Promise.resolve() };
    }
    const drafted: DraftEntry & { kind: "file" } = { kind: "file", name: entry.name, entry: undefined };
    try {
      const xattrs = await this.#c.tree.xattrs(path);
      if (entry.stat.type !== "file") {
        const target = entry.stat.type === "symlink" ? { target: await this.#c.tree.readlink(path) } : {};
        drafted.entry = { ...entryOf(entry.name, entry.stat, xattrs), ...target };
        this.#count(drafted.entry);
        return { drafted, done: Promise.resolve() };
      }
      const { outcome } = await this.#c.ingester.read(path, entry.stat);
      const done = this.#takeIn(path, entry, xattrs, outcome, drafted, depends, untrusted);
      done.catch(() => {});
      return { drafted, done };
    } catch (error) {
      if (!isFault(error, "SOURCE_UNREADABLE", "SOURCE_MISSING")) throw error;
      this.#unreadable(path, error.detail.code === "SOURCE_UNREADABLE" ? error.detail.errno : "ENOENT");
      untrusted.add(entry.name);
      return { drafted, done: Promise.resolve() };
    }
  }

  async #takeIn(
    path: BytePath,
    entry: KeptEntry,
    xattrs: readonly Xattr[],
    outcome: Promise<FileOutcome>,
    drafted: { entry: TreeEntry | undefined },
    depends: Dependencies,
    untrusted: Set<BytePath>,
  ): Promise<void> {
    const read = await outcome;
    if ("errno" in read) {
      untrusted.add(entry.name);
      this.#unreadable(path, read.errno);
      return;
    }
    if (read.changed || read.stat.ctimeNs !== entry.stat.ctimeNs) untrusted.add(entry.name);
    if (read.changed) this.#c.report.changed.add({ path });
    drafted.entry = await fileEntry(entry.name, read, xattrs, this.#c.store);
    for (const id of idsOf(drafted.entry.content)) depends.chunk(id, this.#c.store.find(id));
    if (drafted.entry.content?.kind === "pages") {
      for (const piece of read.pieces)
        if (piece.kind === "chunk") depends.chunk(piece.id, this.#c.store.find(piece.id));
    }
    this.#count(drafted.entry);
  }

  /** Whether every chunk of what was saved can still be referred to. */
  #reusable(entry: TreeEntry, known: KnownDirectory | undefined, depends: Dependencies): boolean {
    if (entry.content === undefined) return true;
    const found = idsOf(entry.content).map((id) => [id, this.#c.store.find(id)] as const);
    if (found.some(([, ref]) => ref === undefined)) return false;
    for (const [id, ref] of found) depends.chunk(id, ref);
    // The pieces behind content pages lie in segments of the directory, which were checked with it.
    if (entry.content.kind === "pages") for (const ref of known?.segments ?? []) depends.segment(ref);
    return true;
  }

  /** Of a directory below the one that `known` is about; its own entry there says whether they may have changed. */
  async #xattrs(
    path: BytePath,
    stat: FileStat,
    known: KnownDirectory | undefined,
  ): Promise<readonly Xattr[]> {
    const before = known?.entry(baseName(path));
    if (before !== undefined && before.ctimeNs === stat.ctimeNs && before.inode === stat.inode)
      return before.xattrs;
    try {
      return await this.#c.tree.xattrs(path);
    } catch (error) {
      if (!isFault(error, "SOURCE_UNREADABLE", "SOURCE_MISSING")) throw error;
      return [];
    }
  }

  async #list(path: BytePath, depth: number): Promise<DirectoryEntry[]> {
    if (depth > DEPTH_MAX) {
      this.#unreadable(path, "ELOOP");
      return [];
    }
    try {
      const entries = await this.#c.tree.list(path);
      if (!hasHomeMarker(entries) || !(await this.#c.tree.isHome(path))) return entries;
      this.#c.report.skipped.add({ path, reason: "is the home of a cairn node" });
      return [];
    } catch (error) {
      if (!isFault(error, "SOURCE_UNREADABLE", "SOURCE_MISSING")) throw error;
      this.#unreadable(path, error.detail.code === "SOURCE_UNREADABLE" ? error.detail.errno : "ENOENT");
      return [];
    }
  }

  #keep(directory: BytePath, entry: DirectoryEntry): entry is KeptEntry {
    const path = joinPath(directory, entry.name);
    if (this.#c.rules.isExcluded(path)) {
      this.#c.report.excluded++;
      return false;
    }
    if (entry.stat === undefined) {
      this.#unreadable(path, entry.errno ?? "EIO");
      return false;
    }
    const reason =
      this.#c.rules.neverSaved(path) ?? (entry.stat.type === "socket" ? "is a socket" : undefined);
    if (reason !== undefined) {
      this.#c.report.skipped.add({ path, reason });
      return false;
    }
    this.#own(entry.stat);
    return true;
  }

  #own(stat: FileStat): void {
    this.#c.report.uids.add(stat.uid);
    this.#c.report.gids.add(stat.gid);
  }

  #count(entry: TreeEntry): void {
    this.#c.report.files++;
    this.#c.report.bytes += entry.size;
  }

  #unreadable(path: BytePath, errno: string): void {
    this.#c.report.unreadable.add({ path, errno });
  }

  #freshAfterNs(): bigint {
    return BigInt(Math.floor(this.#c.clock.wallMs())) * 1_000_000n - RACY_NS;
  }
}

type KeptEntry = DirectoryEntry & { readonly stat: FileStat };

interface Finishing {
  readonly draft: DirectoryDraft;
  readonly kept: readonly KeptEntry[];
  readonly known: KnownDirectory | undefined;
  readonly sameFiles: boolean;
  readonly filesFingerprint: Uint8Array;
  readonly untrusted: ReadonlySet<BytePath>;
  readonly waiting: readonly Promise<void>[];
  readonly children: readonly { entry: KeptEntry; visit: Visit }[];
  readonly depends: Dependencies;
}

function fingerprintOf(entries: readonly KeptEntry[], wanted: (entry: KeptEntry) => boolean): Uint8Array {
  const print = new Fingerprint();
  for (const entry of entries) if (wanted(entry)) print.entry(entry.name, entry.stat);
  return print.digest();
}

function wholeFingerprint(
  files: Uint8Array,
  children: readonly { entry: KeptEntry }[],
  results: ReadonlyMap<BytePath, DirectoryRead>,
): Uint8Array {
  const print = new Fingerprint();
  print.bytes(files);
  for (const { entry } of children) {
    print.entry(entry.name, entry.stat);
    for (const id of must(results.get(entry.name), "subdirectory").tree) print.bytes(id);
  }
  return print.digest();
}

function sumOf(results: Iterable<DirectoryRead>): { files: number; directories: number; bytes: number } {
  const sum = { files: 0, directories: 0, bytes: 0 };
  for (const result of results) {
    sum.files += result.files;
    sum.directories += result.directories;
    sum.bytes += result.bytes;
  }
  return sum;
}

function ownFiles(draft: DirectoryDraft): { files: number; bytes: number } {
  const entries = draft.entries.flatMap((entry) =>
    entry.kind === "directory" || entry.entry === undefined ? [] : [entry.entry],
  );
  return { files: entries.length, bytes: entries.reduce((sum, entry) => sum + entry.size, 0) };
}

function pairOf(ref: SegmentRef): [number, number] {
  return [ref.incarnation, ref.number];
}

function idsOf(content: FileContent | undefined): Uint8Array[] {
  if (content === undefined) return [];
  if (content.kind === "pages") return [...content.pages];
  return content.pieces.flatMap((piece) => (piece.kind === "chunk" ? [piece.id] : []));
}

function sameMetadata(before: TreeEntry, now: FileStat): boolean {
  return (
    before.mode === now.mode && before.uid === now.uid && before.gid === now.gid && before.changed !== true
  );
}
