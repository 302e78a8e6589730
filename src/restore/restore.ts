import { must } from "../base/assert.ts";
import { Fault, isFault } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { displayPath, isPlainName, isWithin } from "../base/paths.ts";
import { MIB } from "../base/units.ts";
import {
  type Catalog,
  type Manifest,
  SegmentSet,
  type SnapshotEntry,
  type TreeEntry,
} from "../catalog/index.ts";
import type { OwnerKeys } from "../crypto/keys.ts";
import type { Clock, FileMetadata, FileStat, FileTarget } from "../ports/index.ts";
import type { ChunkReader } from "./chunk-reader.ts";
import { hasMetadata, isSame, metadataOf } from "./comparison.ts";
import { FileWriter, type PlannedFile } from "./file-writer.ts";
import { isLoss, PartialTrees } from "./partial-trees.ts";
import { askUntilEnough, type ReachabilityComponents } from "./reachability.ts";
import { Remover } from "./remover.ts";
import { RestoreReport } from "./report.ts";
import { type SelectedEntry, type Selection, Selector } from "./selection.ts";
import type { TreeReader } from "./tree-reader.ts";
import { RestoreWindow } from "./window.ts";

export interface RestoreComponents extends ReachabilityComponents {
  readonly catalog: Catalog;
  readonly chunks: ChunkReader;
  readonly trees: TreeReader;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent for a dry run into a directory that is not there. */
  readonly target: FileTarget | undefined;
}

export interface RestoreInit {
  readonly keys: OwnerKeys;
  readonly snapshot: SnapshotEntry;
  readonly selection: Selection;
  readonly overwrite: "if-changed" | "always" | "never";
  /** Remove from the target what the snapshot does not have. */
  readonly delete: boolean;
  /** Restore what can be had. */
  readonly partial: boolean;
  /** Only count what would be written and removed. */
  readonly dryRun: boolean;
  /** Whether this process may set owners. */
  readonly privileged: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RestoreProgress) => void;
}

export interface RestoreProgress {
  readonly phase: "plan" | "fetch" | "metadata";
  readonly files: number;
  readonly bytes: number;
  readonly filesTotal: number;
  readonly bytesTotal: number;
}

/** Files planned together: enough that a segment is seldom read twice, few enough to keep in memory. */
const WINDOW_PIECES = 8_000;
const WINDOW_BYTES = 1024 * MIB;

interface Later {
  readonly selected: SelectedEntry;
  readonly metadata: FileMetadata;
}

/**
 * One run of `cairn restore`. Before it writes anything it asks whether k shards of every segment can be reached. Files
 * get their names when they are complete; links and special files come after them, times and modes of directories
 * last, the deepest first. Run again, it leaves what is there and goes on.
 */
export class RestoreRun {
  readonly #c: RestoreComponents;
  readonly #init: RestoreInit;
  readonly #report = new RestoreReport();
  readonly #selector: Selector;
  readonly #manifest: Manifest;
  /** With `--delete`. */
  readonly #remover: Remover | undefined;
  /** With `--partial`. */
  readonly #partial: PartialTrees | undefined;
  readonly #directories: Later[] = [];
  readonly #links: Later[] = [];
  readonly #hardlinks: { selected: SelectedEntry; first: SelectedEntry }[] = [];
  readonly #firstOfLinked = new Map<string, SelectedEntry>();
  readonly #totals = { entries: 0, files: 0, bytes: 0 };

  constructor(components: RestoreComponents, init: RestoreInit, manifest: Manifest) {
    this.#c = components;
    this.#init = init;
    const { trees } = components;
    this.#partial = init.partial ? new PartialTrees({ trees }) : undefined;
    const read = this.#partial === undefined ? {} : { read: this.#partial.read };
    this.#selector = new Selector({ trees, ...read }, init.snapshot, manifest, init.selection);
    this.#manifest = manifest;
    const { target } = components;
    if (init.delete && target !== undefined) {
      const { dryRun } = init;
      this.#remover = new Remover(
        { target, trees, selector: this.#selector, partial: this.#partial, report: this.#report },
        { dryRun },
      );
    }
  }

  async run(): Promise<RestoreReport> {
    try {
      await this.#restore();
    } catch (error) {
      const [lost] = this.#partial?.losses.values() ?? [];
      // Perhaps it is in the part of its directory that nobody can read.
      throw lost !== undefined && isFault(error, "PATH_NOT_IN_SNAPSHOT") ? lost : error;
    }
    return this.#withLosses();
  }

  /** Throws what was lost where nothing at all was to be had. */
  #withLosses(): RestoreReport {
    const { path: asked } = this.#init.selection;
    for (const [path, why] of this.#partial?.losses ?? []) {
      if (this.#totals.entries === 0) throw why;
      // A directory on the way to what was asked for need not be whole.
      if (asked !== undefined && !isWithin(path, asked)) continue;
      this.#report.problem(path, "directory", `not all that is in it is known: ${why.message}`);
    }
    return this.#report;
  }

  async #restore(): Promise<void> {
    await this.#preflight();
    const { target } = this.#c;
    if (this.#init.dryRun || target === undefined) return this.#countOnly(target);
    const writer = new FileWriter(
      { target, report: this.#report },
      {
        chunkIdKey: this.#init.keys.chunkIdKey,
        partTag: this.#init.snapshot.id,
        privileged: this.#init.privileged,
      },
    );
    try {
      await this.#writeFiles(target, writer);
    } catch (error) {
      if (!this.#init.signal.aborted) await writer.abandonAll();
      throw error;
    }
    await this.#writeLinks(target);
    await this.#settleDirectories(target);
    await target.sync();
  }

  /** Counts, and makes sure that what is wanted can be had. */
  async #preflight(): Promise<void> {
    const needed = new SegmentSet();
    for await (const { entry } of this.#selector.entries(this.#init.signal)) {
      this.#totals.entries++;
      if (entry.type !== "file") continue;
      this.#totals.files++;
      this.#totals.bytes += entry.size;
      if (!this.#selector.isEverything) await this.#addSegments(entry, needed);
    }
    if (this.#selector.isEverything) needed.addAll(SegmentSet.fromRanges(this.#manifest.needs));
    this.#progress("plan");
    if (this.#init.partial) return;
    const { clock, log } = this.#c;
    const askedMs = clock.monotonicMs();
    const { silent, late, shortages } = await askUntilEnough(this.#c, needed, this.#init.signal);
    const waitedMs = clock.monotonicMs() - askedMs;
    log.info("holders-asked", { waitedMs, late: [...late], silent: [...silent], short: shortages.length });
    if (shortages.length > 0) throw new Fault({ code: "TOO_FEW_SHARDS", shortages });
  }

  async #addSegments(entry: TreeEntry, needed: SegmentSet): Promise<void> {
    if (entry.content === undefined) return;
    try {
      for (const piece of await this.#c.trees.pieces(entry.content, this.#init.signal)) {
        if (piece.kind === "chunk") needed.add(this.#c.chunks.place(piece.id));
      }
    } catch (error) {
      // A list of its contents, or a part of the index, that cannot be read: the file is reported when its turn comes.
      if (!this.#init.partial || !isLoss(error)) throw error;
    }
  }

  async #countOnly(target: FileTarget | undefined): Promise<void> {
    for await (const selected of this.#selector.entries(this.#init.signal)) {
      const { entry, to } = selected;
      await this.#orReport(selected, async () => {
        const there = await target?.lstat(to);
        if (entry.type === "directory") {
          this.#report.directories++;
          if (there?.type === "directory") await this.#remover?.clear(selected, this.#init.signal);
        } else if (target === undefined || (await this.#verdict(target, selected, there)) === "write") {
          this.#report.files++;
          this.#report.bytes += entry.size;
        }
      });
    }
    await this.#remover?.clearTop(this.#init.signal);
  }

  async #writeFiles(target: FileTarget, writer: FileWriter): Promise<void> {
    let window = this.#newWindow(writer);
    const run = async (): Promise<void> => {
      await window.run(this.#init.signal, () => this.#progress("fetch"));
      window = this.#newWindow(writer);
    };
    for await (const selected of this.#selector.entries(this.#init.signal)) {
      this.#init.signal.throwIfAborted();
      await this.#orUnknown(selected, async () => {
        const file = await this.#begin(target, selected);
        if (file !== undefined) await this.#orReport(selected, () => window.add(file));
      });
      if (window.pieces >= WINDOW_PIECES || window.bytes >= WINDOW_BYTES) await run();
    }
    await run();
  }

  #newWindow(writer: FileWriter): RestoreWindow {
    const { chunks } = this.#c;
    return new RestoreWindow({ chunks, writer, report: this.#report }, { partial: this.#init.partial });
  }

  /** Does what can be done at once; a file to be written is returned. */
  async #begin(target: FileTarget, selected: SelectedEntry): Promise<PlannedFile | undefined> {
    const { entry } = selected;
    if (!isPlainName(entry.name))
      throw new Fault({
        code: "TARGET_UNSAFE",
        path: displayPath(selected.path),
        reason: "not a plain name",
      });
    const metadata = metadataOf(entry);
    if (entry.type === "directory") {
      await this.#orReport(selected, () => this.#makeDirectory(target, selected, metadata));
      return undefined;
    }
    if (!(await this.#mayWrite(target, selected, metadata))) return undefined;
    if (entry.type !== "file") {
      this.#links.push({ selected, metadata });
      return undefined;
    }
    const first = this.#firstOf(entry, selected);
    if (first !== undefined) {
      this.#hardlinks.push({ selected, first });
      return undefined;
    }
    const content = must(entry.content, "content of a file");
    return { selected, metadata, pieces: await this.#c.trees.pieces(content, this.#init.signal) };
  }

  async #makeDirectory(target: FileTarget, selected: SelectedEntry, metadata: FileMetadata): Promise<void> {
    const { created } = await target.makeDirectory(selected.to);
    this.#report.directories++;
    if (created || !selected.isParent) this.#directories.push({ selected, metadata });
  }

  async #mayWrite(target: FileTarget, selected: SelectedEntry, metadata: FileMetadata): Promise<boolean> {
    const there = await target.lstat(selected.to);
    const verdict = await this.#verdict(target, selected, there);
    if (verdict !== "same" || there === undefined) return verdict === "write";
    this.#firstOf(selected.entry, selected);
    if (selected.entry.type !== "symlink" && !(await hasMetadata(target, selected.to, there, metadata))) {
      await this.#orReport(selected, async () => {
        this.#report.metadata(
          selected.path,
          await target.setMetadata(selected.to, metadata),
          this.#init.privileged,
        );
      });
    }
    return false;
  }

  /** By `--overwrite` and what is there. What is there of another type makes room, unless it is a directory. */
  async #verdict(
    target: FileTarget,
    selected: SelectedEntry,
    there: FileStat | undefined,
  ): Promise<"write" | "same" | "leave"> {
    if (there === undefined) return "write";
    if (this.#init.overwrite === "never") {
      this.#report.skippedExisting++;
      return "leave";
    }
    if (there.type === "directory") {
      this.#report.problem(selected.path, "entry", "a directory is in its place");
      return "leave";
    }
    if (this.#init.overwrite === "always" || !(await isSame(target, selected, there))) return "write";
    this.#report.skippedUnchanged++;
    return "same";
  }

  /** Of files with several links the first one is written; it is `undefined` for that one itself. */
  #firstOf(entry: TreeEntry, selected: SelectedEntry): SelectedEntry | undefined {
    if (entry.device === undefined) return undefined;
    const key = `${entry.device}/${entry.inode}`;
    const first = this.#firstOfLinked.get(key);
    if (first === undefined) this.#firstOfLinked.set(key, selected);
    return first;
  }

  async #writeLinks(target: FileTarget): Promise<void> {
    for (const { selected, metadata } of this.#links) {
      this.#init.signal.throwIfAborted();
      await this.#orReport(selected, () => this.#writeSpecial(target, selected, metadata));
    }
    for (const { selected, first } of this.#hardlinks) {
      this.#init.signal.throwIfAborted();
      await this.#orReport(selected, async () => {
        await target.hardlink(selected.to, first.to);
        this.#report.files++;
      });
    }
  }

  async #writeSpecial(target: FileTarget, selected: SelectedEntry, metadata: FileMetadata): Promise<void> {
    const { entry } = selected;
    const first = this.#firstOf(entry, selected);
    if (first !== undefined) await target.hardlink(selected.to, first.to);
    else if (entry.type === "symlink") {
      const problems = await target.symlink(selected.to, must(entry.target, "target of a link"), metadata);
      this.#report.metadata(selected.path, problems, this.#init.privileged);
    } else if (entry.type !== "file" && entry.type !== "directory") {
      const device = { major: entry.major ?? 0, minor: entry.minor ?? 0 };
      const problems = await target.makeNode(selected.to, entry.type, device, metadata);
      this.#report.metadata(selected.path, problems, this.#init.privileged);
    }
    this.#report.files++;
  }

  /** Deepest first: writing into a directory changes its time. */
  async #settleDirectories(target: FileTarget): Promise<void> {
    this.#progress("metadata");
    for (const { selected, metadata } of this.#directories.reverse()) {
      this.#init.signal.throwIfAborted();
      await this.#orReport(selected, async () => {
        await this.#remover?.clear(selected, this.#init.signal);
        this.#report.metadata(
          selected.path,
          await target.setMetadata(selected.to, metadata),
          this.#init.privileged,
        );
      });
    }
    await this.#remover?.clearTop(this.#init.signal);
  }

  /** One path that cannot be written does not stop the others; a full disk does. */
  async #orReport(selected: SelectedEntry, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!isFault(error, "TARGET_FAILED", "TARGET_UNSAFE")) throw error;
      this.#report.problem(selected.path, "entry", error.message);
    }
  }

  /** With `--partial`, a file is left out whose list of contents cannot be had, or whose chunks are in no index that could be read. */
  async #orUnknown(selected: SelectedEntry, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!this.#init.partial || !isLoss(error)) throw error;
      this.#report.problem(selected.path, "contents", error.message);
    }
  }

  #progress(phase: RestoreProgress["phase"]): void {
    const { files, bytes } = this.#report;
    this.#init.onProgress({
      phase,
      files,
      bytes,
      filesTotal: this.#totals.files,
      bytesTotal: this.#totals.bytes,
    });
  }
}
