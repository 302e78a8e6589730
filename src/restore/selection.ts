import { compileGlobs, type GlobSet } from "../base/glob.ts";
import { type BytePath, baseName, bytePath, isWithin } from "../base/paths.ts";
import type { Manifest, SnapshotEntry } from "../catalog/index.ts";
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

/** Entries of a snapshot that a restore writes, directories before what is in them. */
export class Selector {
  readonly #trees: TreeReader;
  readonly #snapshot: SnapshotEntry;
  readonly #manifest: Manifest;
  readonly #selection: Selection;
  readonly #includes: GlobSet;
  readonly #excludes: GlobSet;

  constructor(
    components: { trees: TreeReader },
    snapshot: SnapshotEntry,
    manifest: Manifest,
    selection: Selection,
  ) {
    this.#trees = components.trees;
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

  async *entries(signal?: AbortSignal): AsyncGenerator<SelectedEntry> {
    const { path } = this.#selection;
    if (path === undefined) yield* this.#below(this.#manifest.root, "/" as BytePath, "/" as BytePath, signal);
    else {
      const top = await this.#trees.find(this.#snapshot, this.#manifest, path, signal);
      const pages = top === undefined ? this.#manifest.root : top.entry.tree;
      if (pages !== undefined)
        yield* this.#below(pages, top?.path ?? ("/" as BytePath), top?.path ?? ("/" as BytePath), signal);
      else if (top !== undefined) yield { ...top, to: baseName(top.path), isParent: false };
    }
  }

  async *#below(
    pages: readonly Uint8Array[],
    base: BytePath,
    top: BytePath,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SelectedEntry> {
    // Directories that are only on the way to something selected come when the first such thing does.
    const onTheWay: SelectedEntry[] = [];
    const descend = ({ path }: PlacedEntry): boolean => !this.#excludes.matches(path) && this.#mayHold(path);
    for await (const placed of this.#trees.walk(pages, base, descend, signal)) {
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
