import { equalBytes } from "../base/bytes.ts";
import type { GlobSet } from "../base/glob.ts";
import { type BytePath, joinPath } from "../base/paths.ts";
import type { Manifest, SnapshotEntry, TreeEntry } from "../catalog/index.ts";
import type { PlacedEntry, TreeReader } from "./tree-reader.ts";

const ROOT = "/" as BytePath;

/** What lies at and below a path: the entry itself if it is no directory, else what is in it. */
export async function* listSnapshot(
  trees: TreeReader,
  snapshot: SnapshotEntry,
  manifest: Manifest,
  options: { path?: BytePath; recursive: boolean },
  signal?: AbortSignal,
): AsyncGenerator<PlacedEntry> {
  const top =
    options.path === undefined ? undefined : await trees.find(snapshot, manifest, options.path, signal);
  if (top !== undefined && top.entry.tree === undefined) yield top;
  else
    yield* trees.walk(top?.entry.tree ?? manifest.root, top?.path ?? ROOT, () => options.recursive, signal);
}

/** Every entry of a snapshot that a pattern matches. */
export async function* findInSnapshot(
  trees: TreeReader,
  manifest: Manifest,
  globs: GlobSet,
  signal?: AbortSignal,
): AsyncGenerator<PlacedEntry> {
  const descend = ({ path }: PlacedEntry): boolean => globs.mayMatchBelow(path);
  for await (const placed of trees.walk(manifest.root, ROOT, descend, signal)) {
    if (globs.matches(placed.path)) yield placed;
  }
}

export interface Difference {
  readonly path: BytePath;
  readonly change: "added" | "removed" | "modified" | "metadata" | "type";
  readonly before?: TreeEntry;
  readonly after?: TreeEntry;
}

/** What changed between two directories; subtrees with the same pages are not looked into. */
export async function* diffTrees(
  trees: TreeReader,
  before: readonly Uint8Array[],
  after: readonly Uint8Array[],
  base: BytePath,
  signal?: AbortSignal,
): AsyncGenerator<Difference> {
  if (sameIds(before, after)) return;
  const old = new Map((await trees.entries(before, signal)).map((entry) => [entry.name, entry]));
  const now = new Map((await trees.entries(after, signal)).map((entry) => [entry.name, entry]));
  for (const name of [...new Set([...old.keys(), ...now.keys()])].sort()) {
    yield* diffEntry(trees, joinPath(base, name), old.get(name), now.get(name), signal);
  }
}

async function* diffEntry(
  trees: TreeReader,
  path: BytePath,
  before: TreeEntry | undefined,
  after: TreeEntry | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Difference> {
  if (before === undefined && after !== undefined) yield { path, change: "added", after };
  else if (before !== undefined && after === undefined) yield { path, change: "removed", before };
  else if (before !== undefined && after !== undefined) {
    if (before.type !== after.type) yield { path, change: "type", before, after };
    else if (!sameContent(before, after)) yield { path, change: "modified", before, after };
    else if (!sameMetadata(before, after)) yield { path, change: "metadata", before, after };
  }
  if (before?.tree !== undefined || after?.tree !== undefined) {
    yield* diffTrees(trees, before?.tree ?? [], after?.tree ?? [], path, signal);
  }
}

function sameContent(a: TreeEntry, b: TreeEntry): boolean {
  if (a.type === "directory") return true;
  if (a.size !== b.size || a.target !== b.target || a.major !== b.major || a.minor !== b.minor) return false;
  return sameIds(contentIds(a), contentIds(b));
}

function contentIds(entry: TreeEntry): Uint8Array[] {
  if (entry.content === undefined) return [];
  if (entry.content.kind === "pages") return [...entry.content.pages];
  return entry.content.pieces.flatMap((piece) => (piece.kind === "chunk" ? [piece.id] : []));
}

function sameMetadata(a: TreeEntry, b: TreeEntry): boolean {
  const plain = a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.mtimeNs === b.mtimeNs;
  return (
    plain &&
    a.xattrs.length === b.xattrs.length &&
    a.xattrs.every((xattr, i) => {
      const other = b.xattrs[i];
      return other !== undefined && xattr.name === other.name && equalBytes(xattr.value, other.value);
    })
  );
}

function sameIds(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((id, i) => equalBytes(id, b[i] ?? new Uint8Array(0)));
}
