import { must } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { compileGlobs } from "../base/glob.ts";
import { type BytePath, bytePath, displayPath } from "../base/paths.ts";
import { MIB } from "../base/units.ts";
import type { ContentPiece, SnapshotEntry, TreeEntry } from "../catalog/index.ts";
import {
  type Difference,
  diffTrees,
  findInSnapshot,
  listSnapshot,
  type PlacedEntry,
} from "../restore/index.ts";
import type { Repository } from "./repository.ts";

/** Names that a snapshot knows for the numbers in its trees. */
export interface OwnerNames {
  readonly users: ReadonlyMap<number, string>;
  readonly groups: ReadonlyMap<number, string>;
}

export async function ownerNames(repository: Repository, entry: SnapshotEntry): Promise<OwnerNames> {
  const manifest = await repository.trees.manifest(entry);
  return { users: new Map(manifest.users), groups: new Map(manifest.groups) };
}

/** Entries at and below a path, directories before what is in them. Throws `PATH_NOT_IN_SNAPSHOT`. */
export async function* listEntries(
  repository: Repository,
  entry: SnapshotEntry,
  options: { path?: BytePath; recursive: boolean },
  signal: AbortSignal,
): AsyncGenerator<PlacedEntry> {
  const manifest = await repository.trees.manifest(entry, signal);
  yield* listSnapshot(repository.trees, entry, manifest, options, signal);
}

/** Every entry that one of the patterns matches. */
export async function* findEntries(
  repository: Repository,
  entry: SnapshotEntry,
  options: { patterns: readonly BytePath[]; ignoreCase: boolean },
  signal: AbortSignal,
): AsyncGenerator<PlacedEntry> {
  const globs = compileGlobs(options.patterns, { coversBelow: false, ignoreCase: options.ignoreCase });
  const manifest = await repository.trees.manifest(entry, signal);
  yield* findInSnapshot(repository.trees, manifest, globs, signal);
}

/** What is different between two snapshots, everywhere or below a path that both have. */
export async function* diffSnapshots(
  repository: Repository,
  before: SnapshotEntry,
  after: SnapshotEntry,
  path: BytePath | undefined,
  signal: AbortSignal,
): AsyncGenerator<Difference> {
  const [old, now] = await Promise.all(
    [before, after].map((entry) => pagesAt(repository, entry, path, signal)),
  );
  const base = path ?? ("/" as BytePath);
  yield* diffTrees(repository.trees, must(old, "pages"), must(now, "pages"), base, signal);
}

async function pagesAt(
  repository: Repository,
  entry: SnapshotEntry,
  path: BytePath | undefined,
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  const manifest = await repository.trees.manifest(entry, signal);
  if (path === undefined) return manifest.root;
  const found = await repository.trees.find(entry, manifest, path, signal);
  return found === undefined ? manifest.root : (found.entry.tree ?? []);
}

/** Bytes of a file that are held at a time. */
const CAT_BYTES = 16 * MIB;
const ZEROS = new Uint8Array(MIB);

/** The bytes of one file, in order, each checked before it is given out. */
export async function* catFile(
  repository: Repository,
  entry: SnapshotEntry,
  path: BytePath,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const file = await fileAt(repository, entry, path, signal);
  if (file.content === undefined) return;
  for (const batch of batches(await repository.trees.pieces(file.content, signal))) {
    const ids = batch.flatMap((piece) => (piece.kind === "chunk" ? [piece.id] : []));
    const chunks = await repository.chunks.read(ids, signal);
    let next = 0;
    for (const piece of batch) {
      if (piece.kind === "chunk") yield must(chunks[next++], "chunk that was read");
      else yield* zeros(piece.bytes);
    }
  }
}

async function fileAt(
  repository: Repository,
  entry: SnapshotEntry,
  path: BytePath,
  signal: AbortSignal,
): Promise<TreeEntry> {
  const manifest = await repository.trees.manifest(entry, signal);
  const found = await repository.trees.find(entry, manifest, path, signal);
  if (found?.entry.type === "file") return found.entry;
  throw new Fault({
    code: "PATH_NOT_IN_SNAPSHOT",
    snapshot: toHex(entry.id),
    path: `${displayPath(path)} (as a file)`,
  });
}

function* batches(pieces: readonly ContentPiece[]): Generator<ContentPiece[]> {
  let batch: ContentPiece[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    const more = piece.kind === "chunk" ? piece.rawBytes : 0;
    if (batch.length > 0 && bytes + more > CAT_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(piece);
    bytes += more;
  }
  if (batch.length > 0) yield batch;
}

function* zeros(bytes: number): Generator<Uint8Array> {
  for (let left = bytes; left > 0; left -= ZEROS.length)
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

export function pathsOf(entry: SnapshotEntry): BytePath[] {
  return entry.paths.map(bytePath);
}
