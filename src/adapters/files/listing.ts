import { Buffer } from "node:buffer";
import type { BytePath } from "../../base/paths.ts";
import type { DirectoryEntry } from "../../ports/file-tree.ts";
import { ENOENT, EPERM, errnoName } from "./errno.ts";
import { libc, O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "./libc.ts";
import { statAt } from "./stat.ts";
import { turnIfDue } from "./turn.ts";

const DIRENTS_BYTES = 64 * 1024;
const dirents = Buffer.alloc(DIRENTS_BYTES);

// struct linux_dirent64: inode, offset, record length, type, name.
const RECORD_LENGTH_AT = 16;
const TYPE_AT = 18;
const NAME_AT = 19;
const TYPE_UNKNOWN = 0;
const TYPE_DIRECTORY = 4;

interface FoundName {
  readonly name: BytePath;
  readonly inode: number;
  /** False: certainly none. Not every file system says. */
  readonly mayBeDirectory: boolean;
}

/** Opens without following a link, and without touching the access time where this user may. */
export function openForReading(dir: number, path: BytePath, flags: number): number {
  const all = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | flags;
  const fd = libc().openat(dir, path, all | O_NOATIME);
  // O_NOATIME is for the file's owner and root; everybody else reads as any program does.
  return fd === -EPERM ? libc().openat(dir, path, all) : fd;
}

export function openDirectory(dir: number, path: BytePath): number {
  return openForReading(dir, path, O_DIRECTORY);
}

/** The names in an open directory, in no order, or the negative errno. */
export async function readNames(fd: number): Promise<FoundName[] | number> {
  const found: FoundName[] = [];
  for (;;) {
    const bytes = libc().getdents(fd, dirents);
    if (bytes < 0) return bytes;
    if (bytes === 0) return found;
    for (let at = 0; at < bytes; at += dirents.readUInt16LE(at + RECORD_LENGTH_AT)) {
      const start = at + NAME_AT;
      const name = dirents.toString("latin1", start, dirents.indexOf(0, start)) as BytePath;
      if (name === "." || name === "..") continue;
      // Only an order to ask in: beyond 2^53 it may be off, which costs nothing but time.
      const inode = dirents.readUInt32LE(at) + dirents.readUInt32LE(at + 4) * 2 ** 32;
      const type = dirents[at + TYPE_AT];
      found.push({ name, inode, mayBeDirectory: type === TYPE_DIRECTORY || type === TYPE_UNKNOWN });
    }
    await turnIfDue();
  }
}

const STATS_PER_CHECK = 256;

/**
 * Names with their stats, in byte order of the names, or the negative errno. Asked in the order of inode
 * numbers, which is about the order on disk: with a cold cache on a spinning disk a hashed directory order
 * makes every stat a seek. What vanished meanwhile is left out.
 */
export async function listDirectory(fd: number): Promise<DirectoryEntry[] | number> {
  const found = await readNames(fd);
  if (typeof found === "number") return found;
  found.sort((a, b) => a.inode - b.inode);
  const entries: DirectoryEntry[] = [];
  let untilCheck = STATS_PER_CHECK;
  for (const { name } of found) {
    const stat = statAt(fd, name);
    if (typeof stat !== "number") entries.push({ name, stat });
    else if (stat !== -ENOENT) entries.push({ name, errno: errnoName(-stat) });
    if (--untilCheck === 0) {
      untilCheck = STATS_PER_CHECK;
      await turnIfDue();
    }
  }
  // One byte per UTF-16 unit: the order of the strings is the order of the bytes.
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}
