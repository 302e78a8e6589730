import { compileGlobs, type GlobSet } from "../base/glob.ts";
import { type BytePath, baseName, bytePath, isWithin } from "../base/paths.ts";
import type { Manifest, SnapshotEntry } from "../catalog/index.ts";
import type { ReadDirectory } from "./partial-trees.ts";
import type { PlacedEntry, TreeReader } from "./tree-reader.ts";

/** What of a snapshot is restored, and where it goes. */
export interface Selection {
  /** Its contents go into the target; absent: everything, under absolute paths below the target. */
  readonly path?: BytePath;
  readonly includes: readonly BytePath[];
  readonly excludes: readonly BytePath[];
}

export interface SelectedEntry extends PlacedEntry {
  /** Relative to the target. */
  readonly to: BytePath;
  /** A directory above what was saved: it is made if need be, and left as it is where it exists. */
  readonly isParent: boolean;
}

export interface SelectedTop {
  readonly path: BytePath;
  readonly pages: readonly Uint8Array[];
  readonly isParent: boolean;
}

/** Entries of a snapshot that a restore writes, directories before what is in them. */
export class Selector {
  readonly #trees: TreeReader;
  readonly #read: ReadDirectory | undefined;
  readonly #snapshot: SnapshotEntry;
  readonly #manifest: Manifest;
  readonly #selection: Selection;
  readonly #includes: GlobSet;
  readonly #excludes: GlobSet;

  constructor(
    components: { trees: TreeReader; read?: ReadDirectory },
    snapshot: SnapshotEntry,
    manifest: Manifest,
    selection: Selection,
  ) {
    this.#trees = components.trees;
    this.#read = components.read;
    this.#snapshot = snapshot;
    this.#manifest = manifest;
    this.#selection = selection;
    this.#includes = compileGlobs(selection.includes, { coversBelow: true });
    this.#excludes = compileGlobs(selection.excludes, { coversBelow: true });
  }

  /** Whether all of the snapshot is meant: then its manifest says which segments it takes. */
  get isEverything(): boolean {
    const { path, includes, excludes } = this.#selection;
    return path === undefined && includes.length === 0 && excludes.length === 0;
  }

  /** Whether what is at a path is meant, be it in the snapshot or not. */
  isSelected(path: BytePath): boolean {
    return !this.#excludes.matches(path) && this.#isIncluded(path);
  }

  /** The directory whose contents go right into the target; `undefined` when a single file does. */
  async top(signal?: AbortSignal): Promise<SelectedTop | undefined> {
    const { path } = this.#selection;
    const root = { path: "/" as BytePath, pages: this.#manifest.root };
    const placed = path === undefined ? undefined : await this.#find(path, signal);
    const { path: at, pages } = placed === undefined ? root : { path: placed.path, pages: placed.entry.tree };
    return pages === undefined ? undefined : { path: at, pages, isParent: this.#isParent(at) };
  }

  async *entries(signal?: AbortSignal): AsyncGenerator<SelectedEntry> {
    const top = await this.top(signal);
    if (top !== undefined) {
      yield* this.#below(top.pages, top.path, signal);
      return;
    }
    const { path } = this.#selection;
    const file = path && (await this.#find(path, signal));
    if (file) yield { ...file, to: baseName(file.path), isParent: false };
  }

  async *#below(
    pages: readonly Uint8Array[],
    top: BytePath,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SelectedEntry> {
    // Directories that are only on the way to something selected come when the first such thing does.
    const onTheWay: SelectedEntry[] = [];
    const descend = ({ path }: PlacedEntry): boolean => !this.#excludes.matches(path) && this.#mayHold(path);
    for await (const placed of this.#trees.walk(pages, top, descend, signal, this.#read)) {
      for (let last = onTheWay.at(-1); last !== undefined; last = onTheWay.at(-1)) {
        if (isWithin(placed.path, last.path)) break;
        onTheWay.pop();
      }
      if (this.#excludes.matches(placed.path)) continue;
      const selected = { ...placed, to: relative(placed.path, top), isParent: this.#isParent(placed.path) };
      if (this.#isIncluded(placed.path)) {
        yield* onTheWay.splice(0);
        yield selected;
      } else if (placed.entry.tree !== undefined && this.#mayHold(placed.path)) onTheWay.push(selected);
    }
  }

  #find(path: BytePath, signal: AbortSignal | undefined): Promise<PlacedEntry | undefined> {
    return this.#trees.find(this.#snapshot, this.#manifest, path, signal, this.#read);
  }

  #isIncluded(path: BytePath): boolean {
    return this.#selection.includes.length === 0 || this.#includes.matches(path);
  }

  #mayHold(path: BytePath): boolean {
    return this.#isIncluded(path) || this.#includes.mayMatchBelow(path);
  }

  #isParent(path: BytePath): boolean {
    return !this.#manifest.paths.some((saved) => isWithin(path, bytePath(saved)));
  }
}

function relative(path: BytePath, top: BytePath): BytePath {
  return (top === "/" ? path.slice(1) : path.slice(top.length + 1)) as BytePath;
}
