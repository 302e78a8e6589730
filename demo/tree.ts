import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from "node:fs";

/** Between two of these the demo can hear a signal. */
const ENTRIES_PER_TURN = 2000;

export type EntryType = "file" | "directory" | "symlink" | "fifo" | "socket" | "block" | "character";

/** Paths are bytes, one character for each (latin1): a name need not be UTF-8. */
export interface Entry {
  readonly type: EntryType;
  readonly stats: BigIntStats;
  /** Of a symbolic link, as bytes. */
  readonly target: string | undefined;
}

export interface Tree {
  /** By absolute path. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** Directories that could not be listed. */
  readonly unreadable: ReadonlySet<string>;
  /** Of the files' contents, each inode once. */
  readonly bytes: number;
}

/** Everything at and below `roots`, following no link. What vanishes meanwhile is not in it. */
export async function scan(roots: readonly string[]): Promise<Tree> {
  const entries = new Map<string, Entry>();
  const unreadable = new Set<string>();
  const counted = new Set<string>();
  let bytes = 0;
  const pending = [...roots];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (entries.size % ENTRIES_PER_TURN === 0) await new Promise(setImmediate);
    const entry = look(path);
    if (entry === undefined) continue;
    entries.set(path, entry);
    const inode = `${entry.stats.dev}:${entry.stats.ino}`;
    if (entry.type === "file" && !counted.has(inode)) {
      bytes += Number(entry.stats.size);
      if (entry.stats.nlink > 1n) counted.add(inode);
    }
    if (entry.type !== "directory") continue;
    for (const name of list(path, unreadable)) pending.push(path === "/" ? `/${name}` : `${path}/${name}`);
  }
  return { entries, unreadable, bytes };
}

export const pathBuffer = (path: string): Buffer => Buffer.from(path, "latin1");

/** For people; a name that is not UTF-8 shows replacement characters. */
export const shownPath = (path: string): string => pathBuffer(path).toString("utf8");

/** An entry as it is now; `undefined` if there is none. */
export function look(path: string): Entry | undefined {
  try {
    const stats = lstatSync(pathBuffer(path), { bigint: true });
    const type = typeOf(stats);
    const target =
      type === "symlink"
        ? readlinkSync(pathBuffer(path), { encoding: "buffer" }).toString("latin1")
        : undefined;
    return { type, stats, target };
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** Whether anything about it but its access time has changed: ctime moves with every such change. */
export function isSameState(before: Entry | undefined, now: Entry | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  const a = before.stats;
  const b = now.stats;
  return a.ctimeNs === b.ctimeNs && a.ino === b.ino && a.dev === b.dev && a.size === b.size;
}

function list(path: string, unreadable: Set<string>): string[] {
  try {
    return readdirSync(pathBuffer(path), { encoding: "buffer" }).map((name) => name.toString("latin1"));
  } catch (error) {
    if (!isAbsence(error)) unreadable.add(path);
    return [];
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

function typeOf(stats: BigIntStats): EntryType {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isFIFO()) return "fifo";
  if (stats.isSocket()) return "socket";
  return stats.isBlockDevice() ? "block" : "character";
}
