import { Buffer } from "node:buffer";
import { HOME_MARKER_BYTES_MAX, HOME_MARKER_NAME, parseHomeMarker } from "../../base/home-marker.ts";
import { type BytePath, bytePath, joinPath } from "../../base/paths.ts";
import type { DirectoryEntry, FileStat, FileTree, Xattr } from "../../ports/file-tree.ts";
import { ENOENT, ENOTDIR } from "./errno.ts";
import { libc, PATH_BYTES_MAX } from "./libc.ts";
import { listDirectory, openDirectory } from "./listing.ts";
import { pathThrough, reach } from "./long-path.ts";
import { groupNames, userNames } from "./names.ts";
import { openRegular } from "./opener.ts";
import { sourceFault } from "./source-fault.ts";
import { statAt } from "./stat.ts";
import { turnIfDue } from "./turn.ts";
import { readXattrs, xattrsOfLink } from "./xattr.ts";

const linkTarget = Buffer.alloc(PATH_BYTES_MAX);

/** The target of a link, or the negative errno. */
export function readLinkAt(dir: number, path: BytePath): BytePath | number {
  const bytes = libc().readlinkat(dir, path, linkTarget);
  return bytes < 0 ? bytes : bytePath(linkTarget.subarray(0, bytes));
}

class DiskTree implements FileTree {
  readonly #users = userNames();
  readonly #groups = groupNames();

  async lstat(path: BytePath): Promise<FileStat> {
    await turnIfDue();
    const stat = reach<FileStat | number>(path, statAt, (result) => result);
    if (typeof stat !== "number") return stat;
    // A parent that is a file: for whoever asks, the path does not exist.
    throw sourceFault(path, stat === -ENOTDIR ? -ENOENT : stat);
  }

  async list(directory: BytePath): Promise<DirectoryEntry[]> {
    await turnIfDue();
    const fd = reach(directory, openDirectory, (result) => result);
    if (fd < 0) throw sourceFault(directory, fd);
    try {
      const entries = await listDirectory(fd);
      if (typeof entries === "number") throw sourceFault(directory, entries);
      return entries;
    } finally {
      libc().close(fd);
    }
  }

  async readlink(path: BytePath): Promise<BytePath> {
    await turnIfDue();
    const target = reach<BytePath | number>(path, readLinkAt, (result) => result);
    if (typeof target === "number") throw sourceFault(path, target);
    return target;
  }

  async xattrs(path: BytePath): Promise<Xattr[]> {
    await turnIfDue();
    const found = reach<Xattr[] | number>(
      path,
      (dir, rest) => readXattrs(xattrsOfLink(pathThrough(dir, rest))),
      (result) => result,
    );
    if (typeof found === "number") throw sourceFault(path, found);
    return found;
  }

  async isHome(directory: BytePath): Promise<boolean> {
    await turnIfDue();
    const fd = reach(joinPath(directory, HOME_MARKER_NAME), openRegular, (result) => result);
    // What cannot be read proves nothing: such a directory is saved like any other.
    if (fd < 0) return false;
    const marker = new Uint8Array(HOME_MARKER_BYTES_MAX);
    const bytes = libc().pread(fd, marker, marker.length, 0);
    libc().close(fd);
    return bytes > 0 && parseHomeMarker(marker.subarray(0, bytes)) !== undefined;
  }

  userName(uid: number): string | undefined {
    return this.#users.nameOf(uid);
  }

  groupName(gid: number): string | undefined {
    return this.#groups.nameOf(gid);
  }
}

/** The files of this machine. `UNSUPPORTED` where libc cannot be called. */
export function createFileTree(): FileTree {
  libc();
  return new DiskTree();
}
