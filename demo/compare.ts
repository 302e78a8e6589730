import { closeSync, constants, openSync, readSync } from "node:fs";
import { MIB } from "../src/base/units.ts";
import { type Entry, isSameState, look, pathBuffer, scan, shownPath, type Tree } from "./tree.ts";

const BLOCK_BYTES = MIB;
/** Between two of these the demo can hear a signal. */
const BYTES_PER_TURN = 64 * MIB;

export interface ComparisonInit {
  /** What was saved; its paths lie below `target` as they are. */
  readonly roots: readonly string[];
  /** The source as it was before the snapshot. */
  readonly before: Tree;
  readonly target: string;
  /** Paths that the snapshot said it left out, with all that is below them. */
  readonly omitted: ReadonlySet<string>;
  /** Only root can give files to others: without it owners come back as this user. */
  readonly owners: boolean;
}

export interface Comparison {
  readonly entries: number;
  readonly bytes: number;
  /** Sentences, each with a path. */
  readonly differences: string[];
}

/** Types, bytes, modes, owners, times to the nanosecond, link targets, device numbers and groups of hard links. */
export async function compareTrees(init: ComparisonInit): Promise<Comparison> {
  const now = await scan(init.roots);
  const restored = await scan(init.roots.map((root) => `${init.target}${root}`));
  const changed = changedPaths(init.before, now);
  const judged = (path: string): boolean => !changed.has(path) && !isOmitted(path, init.omitted);
  const differences: string[] = [];
  let entries = 0;
  let bytes = 0;
  let turnBytes = 0;
  for (const [path, entry] of now.entries) {
    if (!judged(path)) continue;
    const twin = restored.entries.get(`${init.target}${path}`);
    const problem = differenceOf(path, entry, twin, init);
    if (problem !== undefined && isSameState(entry, look(path)))
      differences.push(`${shownPath(path)}: ${problem}`);
    entries += 1;
    if (entry.type !== "file") continue;
    bytes += Number(entry.stats.size);
    turnBytes += Number(entry.stats.size) + BLOCK_BYTES / 16;
    if (turnBytes < BYTES_PER_TURN) continue;
    turnBytes = 0;
    await new Promise(setImmediate);
  }
  differences.push(
    ...surplus(now, restored, changed, init),
    ...linkDifferences(now, restored, judged, init.target),
  );
  return { entries, bytes, differences };
}

/** Whether the snapshot left it out, itself or a directory above it. */
export function isOmitted(path: string, omitted: ReadonlySet<string>): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1))
    if (omitted.has(path.slice(0, end))) return true;
  return false;
}

export function changedPaths(before: Tree, now: Tree): Set<string> {
  const changed = new Set<string>();
  for (const [path, entry] of before.entries)
    if (!isSameState(entry, now.entries.get(path))) changed.add(path);
  for (const path of now.entries.keys()) if (!before.entries.has(path)) changed.add(path);
  return changed;
}

function differenceOf(
  path: string,
  entry: Entry,
  twin: Entry | undefined,
  { target, owners }: ComparisonInit,
): string | undefined {
  if (twin === undefined) return "is missing";
  if (twin.type !== entry.type) return `is a ${twin.type}, not a ${entry.type}`;
  const a = entry.stats;
  const b = twin.stats;
  if (a.mode !== b.mode) return `mode ${b.mode.toString(8)} instead of ${a.mode.toString(8)}`;
  if (owners && (a.uid !== b.uid || a.gid !== b.gid))
    return `owner ${b.uid}:${b.gid} instead of ${a.uid}:${a.gid}`;
  if (a.mtimeNs !== b.mtimeNs) return `time ${b.mtimeNs} instead of ${a.mtimeNs}`;
  if (entry.target !== twin.target) return "points elsewhere";
  if (a.rdev !== b.rdev) return "is another device";
  if (entry.type !== "file") return undefined;
  if (a.size !== b.size) return `${b.size} bytes instead of ${a.size}`;
  return sameBytes(path, `${target}${path}`) ? undefined : "other bytes";
}

const blockA = Buffer.alloc(BLOCK_BYTES);
const blockB = Buffer.alloc(BLOCK_BYTES);

function sameBytes(pathA: string, pathB: string): boolean {
  const a = openSync(pathBuffer(pathA), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const b = openSync(pathBuffer(pathB), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (;;) {
        const readA = fill(a, blockA);
        const readB = fill(b, blockB);
        if (readA !== readB || blockA.compare(blockB, 0, readB, 0, readA) !== 0) return false;
        if (readA < BLOCK_BYTES) return true;
      }
    } finally {
      closeSync(b);
    }
  } finally {
    closeSync(a);
  }
}

/** A read may give less than there is. */
function fill(file: number, block: Buffer): number {
  let filled = 0;
  while (filled < block.length) {
    const got = readSync(file, block, filled, block.length - filled, null);
    if (got === 0) break;
    filled += got;
  }
  return filled;
}

/** What came back and never was there; below a directory that changed, it may have been there for a moment. */
function surplus(
  now: Tree,
  restored: Tree,
  changed: ReadonlySet<string>,
  { target }: ComparisonInit,
): string[] {
  const differences: string[] = [];
  for (const copy of restored.entries.keys()) {
    const path = copy.slice(target.length);
    if (now.entries.has(path) || changed.has(path)) continue;
    if (changed.has(path.slice(0, path.lastIndexOf("/")))) continue;
    differences.push(`${shownPath(path)}: was not in the source`);
  }
  return differences;
}

/** Two names of one file must be two names of one file again, and no others must have become so. */
function linkDifferences(
  now: Tree,
  restored: Tree,
  judged: (path: string) => boolean,
  target: string,
): string[] {
  const wanted = linkGroups(now, "", judged);
  const found = linkGroups(restored, target, judged);
  const differences: string[] = [];
  for (const path of new Set([...wanted.keys(), ...found.keys()]))
    if (wanted.get(path) !== found.get(path))
      differences.push(`${shownPath(path)}: is another group of hard links than before`);
  return differences;
}

/** The first path of each group of two or more, by path. */
function linkGroups(tree: Tree, prefix: string, judged: (path: string) => boolean): Map<string, string> {
  const groups = new Map<string, string[]>();
  for (const [full, { type, stats }] of tree.entries) {
    const path = full.slice(prefix.length);
    if (type === "directory" || stats.nlink < 2n || !judged(path)) continue;
    const inode = `${stats.dev}:${stats.ino}`;
    const group = groups.get(inode);
    if (group === undefined) groups.set(inode, [path]);
    else group.push(path);
  }
  const firsts = new Map<string, string>();
  for (const group of groups.values()) {
    if (group.length < 2) continue;
    const [first = ""] = group.sort();
    for (const path of group) firsts.set(path, first);
  }
  return firsts;
}
