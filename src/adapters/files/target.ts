import { statfsSync } from "node:fs";
import type { BytePath } from "../../base/paths.ts";
import type {
  DirectoryEntry,
  FileMetadata,
  FileStat,
  FileTarget,
  MetadataProblem,
  OpenFile,
  TargetPart,
  Xattr,
} from "../../ports/file-tree.ts";
import { EEXIST, EINVAL, EISDIR, ELOOP, ENOENT } from "./errno.ts";
import { libc, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR } from "./libc.ts";
import { listDirectory, openDirectory } from "./listing.ts";
import { applyToFile, applyToHandle } from "./metadata.ts";
import { DiskFile, openRegular } from "./opener.ts";
import { DiskPart, SYNC_WRITE_BYTES, writeFully } from "./part.ts";
import { deviceNumber, statAt, statOf } from "./stat.ts";
import { removeBelow } from "./target-remove.ts";
import { openTargetRoot, type TargetRoot } from "./target-root.ts";
import { createFile, makeAnew, temporaryName, writeAll } from "./temporary.ts";
import { readLinkAt } from "./tree.ts";
import { turnIfDue } from "./turn.ts";
import { readXattrs, xattrsOfHandle } from "./xattr.ts";

const SELF = "." as BytePath;
const NODE_TYPES = { fifo: 0o010000, "block-device": 0o060000, "character-device": 0o020000 } as const;

class DiskTarget implements FileTarget {
  readonly #root: TargetRoot;

  constructor(root: TargetRoot) {
    this.#root = root;
  }

  async lstat(path: BytePath): Promise<FileStat | undefined> {
    await turnIfDue();
    const stat = path === "" ? statOf(this.#root.fd) : this.#root.ifParent(path, statAt, () => -ENOENT);
    if (typeof stat !== "number") return stat;
    if (stat === -ENOENT) return undefined;
    throw this.#root.fault(path, stat);
  }

  async list(directory: BytePath): Promise<DirectoryEntry[]> {
    await turnIfDue();
    const fd = this.#at(directory, openDirectory);
    try {
      const entries = await listDirectory(fd);
      if (typeof entries === "number") throw this.#root.fault(directory, entries);
      return entries;
    } finally {
      libc().close(fd);
    }
  }

  async xattrs(path: BytePath): Promise<Xattr[]> {
    await turnIfDue();
    return this.#withHandle(path, (fd) => {
      const found = readXattrs(xattrsOfHandle(fd));
      if (typeof found === "number") throw this.#root.fault(path, found);
      return found;
    });
  }

  async readlink(path: BytePath): Promise<BytePath> {
    await turnIfDue();
    const to = this.#root.within<BytePath | number>(path, readLinkAt);
    if (typeof to === "number") throw this.#root.fault(path, to);
    return to;
  }

  async openForRead(path: BytePath): Promise<OpenFile | undefined> {
    await turnIfDue();
    const fd = this.#root.ifParent(path, openRegular, () => -ENOENT);
    if (fd >= 0) return new DiskFile(fd, (result) => this.#root.fault(path, result));
    // Nothing there, or a directory, a link, a FIFO: no file to read. The parents have been checked before.
    if (fd === -ENOENT || fd === -EISDIR || fd === -ELOOP || fd === -EINVAL) return undefined;
    throw this.#root.fault(path, fd);
  }

  async makeDirectory(path: BytePath): Promise<{ created: boolean }> {
    await turnIfDue();
    if (path === "") return { created: false };
    return this.#root.within(path, (dir, name) => {
      const result = libc().mkdirat(dir, name, 0o700);
      if (result >= 0) return { created: true };
      if (result !== -EEXIST) throw this.#root.fault(path, result);
      const there = statAt(dir, name);
      if (typeof there === "number") throw this.#root.fault(path, there);
      if (there.type === "directory") return { created: false };
      throw this.#root.fault(path, there.type === "symlink" ? -ELOOP : -EEXIST);
    });
  }

  async writeFile(path: BytePath, bytes: Uint8Array, metadata: FileMetadata): Promise<MetadataProblem[]> {
    await turnIfDue();
    if (bytes.length > SYNC_WRITE_BYTES) return this.#writeLargeFile(path, bytes, metadata);
    return this.#root.within(path, (dir, name) => {
      const temporary = temporaryName(name);
      const fd = this.#checked(path, createFile(dir, temporary));
      return this.#place(path, dir, temporary, name, () => {
        try {
          this.#checked(path, writeAll(fd, bytes, 0));
          return applyToFile(fd, metadata);
        } finally {
          libc().close(fd);
        }
      });
    });
  }

  /** No directory stays open while the thread pool writes: it is reached, and checked, again for the rename. */
  async #writeLargeFile(
    path: BytePath,
    bytes: Uint8Array,
    metadata: FileMetadata,
  ): Promise<MetadataProblem[]> {
    const fd = this.#root.within(path, (dir, name) =>
      this.#checked(path, createFile(dir, temporaryName(name))),
    );
    try {
      const written = await writeFully(fd, bytes, 0);
      return this.#root.within(path, (dir, name) =>
        this.#place(path, dir, temporaryName(name), name, () => {
          this.#checked(path, written);
          return applyToFile(fd, metadata);
        }),
      );
    } finally {
      libc().close(fd);
    }
  }

  async openPart(part: BytePath): Promise<TargetPart> {
    await turnIfDue();
    return this.#root.within(part, (dir, name) => {
      const { fd, size } = this.#ownPart(part, dir, name) ?? {
        fd: this.#checked(part, createFile(dir, name)),
        size: 0,
      };
      return new DiskPart(fd, size, (result) => this.#root.fault(part, result));
    });
  }

  /**
   * The part that an earlier run of this user left, and nothing else: a link, or a second name of somebody
   * else's file that was put there to be overwritten, is no part.
   */
  #ownPart(part: BytePath, dir: number, name: BytePath): { fd: number; size: number } | undefined {
    const fd = libc().openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    if (fd === -EISDIR) throw this.#root.fault(part, fd);
    if (fd < 0) return undefined;
    const stat = statOf(fd);
    if (
      typeof stat !== "number" &&
      stat.type === "file" &&
      stat.links === 1 &&
      stat.uid === process.geteuid?.()
    )
      return { fd, size: stat.size };
    libc().close(fd);
    return undefined;
  }

  async commitPart(
    part: BytePath,
    path: BytePath,
    size: number,
    metadata: FileMetadata,
  ): Promise<MetadataProblem[]> {
    await turnIfDue();
    return this.#root.within(part, (partDir, partName) => {
      const own = this.#ownPart(part, partDir, partName);
      if (own === undefined) throw this.#root.fault(part, -ENOENT);
      try {
        // Both ways: it cuts off what was too long, and a file that ends in a hole gets its length here.
        this.#checked(path, libc().ftruncate(own.fd, size));
        const problems = applyToFile(own.fd, metadata);
        this.#root.within(path, (dir, name) =>
          this.#checked(path, libc().renameat(partDir, partName, dir, name)),
        );
        return problems;
      } finally {
        libc().close(own.fd);
      }
    });
  }

  async symlink(path: BytePath, to: BytePath, metadata: FileMetadata): Promise<MetadataProblem[]> {
    await turnIfDue();
    return this.#makeAndPlace(path, "symlink", metadata, (dir, name) => libc().symlinkat(to, dir, name));
  }

  async makeNode(
    path: BytePath,
    type: "fifo" | "block-device" | "character-device",
    device: { major: number; minor: number },
    metadata: FileMetadata,
  ): Promise<MetadataProblem[]> {
    await turnIfDue();
    const number = type === "fifo" ? 0n : deviceNumber(device.major, device.minor);
    return this.#makeAndPlace(path, "other", metadata, (dir, name) =>
      libc().mknodat(dir, name, NODE_TYPES[type] | 0o600, number),
    );
  }

  async hardlink(path: BytePath, existing: BytePath): Promise<void> {
    await turnIfDue();
    this.#root.within(existing, (fromDir, from) =>
      this.#root.within(path, (dir, name) => {
        const temporary = temporaryName(name);
        const link = (to: BytePath): number => libc().linkat(fromDir, from, dir, to);
        const linked = link(name);
        if (linked !== -EEXIST) return this.#checked(path, linked);
        this.#checked(
          path,
          makeAnew(dir, temporary, () => link(temporary)),
        );
        const renamed = libc().renameat(dir, temporary, dir, name);
        // Where both names are the same file already, rename does nothing and succeeds: the temporary one stays.
        libc().unlinkat(dir, temporary, 0);
        return this.#checked(path, renamed);
      }),
    );
  }

  async setMetadata(path: BytePath, metadata: FileMetadata): Promise<MetadataProblem[]> {
    await turnIfDue();
    return this.#withHandle(path, (fd) => {
      const stat = statOf(fd);
      if (typeof stat === "number") throw this.#root.fault(path, stat);
      const kind = stat.type === "directory" || stat.type === "symlink" ? stat.type : "other";
      return applyToHandle(fd, kind, metadata);
    });
  }

  async remove(path: BytePath, options?: { recursive: boolean }): Promise<void> {
    await turnIfDue();
    await removeBelow(this.#root, path, options?.recursive === true);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = statfsSync(`/proc/self/fd/${this.#root.fd}`);
    return bavail * bsize;
  }

  async sync(): Promise<void> {
    this.#checked("" as BytePath, await libc().syncfs(this.#root.fd));
  }

  async close(): Promise<void> {
    this.#root.close();
  }

  #checked(path: BytePath, result: number): number {
    if (result < 0) throw this.#root.fault(path, result);
    return result;
  }

  /** `open` in the target: "" is the target itself. */
  #at(path: BytePath, open: (dir: number, name: BytePath) => number): number {
    const fd = path === "" ? open(this.#root.fd, SELF) : this.#root.within(path, open);
    return this.#checked(path, fd);
  }

  #withHandle<T>(path: BytePath, use: (fd: number) => T): T {
    const fd = this.#at(path, openHandle);
    try {
      return use(fd);
    } finally {
      libc().close(fd);
    }
  }

  /** Finishes what is under its temporary name and renames it into place; if that fails, nothing is left. */
  #place<T>(path: BytePath, dir: number, temporary: BytePath, name: BytePath, finish: () => T): T {
    try {
      const result = finish();
      this.#checked(path, libc().renameat(dir, temporary, dir, name));
      return result;
    } catch (error) {
      libc().unlinkat(dir, temporary, 0);
      throw error;
    }
  }

  #makeAndPlace(
    path: BytePath,
    kind: "symlink" | "other",
    metadata: FileMetadata,
    make: (dir: number, name: BytePath) => number,
  ): MetadataProblem[] {
    return this.#root.within(path, (dir, name) => {
      const temporary = temporaryName(name);
      this.#checked(
        path,
        makeAnew(dir, temporary, () => make(dir, temporary)),
      );
      return this.#place(path, dir, temporary, name, () => {
        const fd = this.#checked(path, openHandle(dir, temporary));
        try {
          return applyToHandle(fd, kind, metadata);
        } finally {
          libc().close(fd);
        }
      });
    });
  }
}

function openHandle(dir: number, name: BytePath): number {
  return libc().openat(dir, name, O_RDONLY | O_PATH | O_NOFOLLOW);
}

/**
 * Opens `directory`, making it and its parents (mode 0700) where they are missing. It may itself be reached
 * through symbolic links: they are resolved here, once. `TARGET_FAILED` if it cannot be made or is no directory.
 *
 * @param options.stepwise Check paths component by component, as on kernels without openat2. @default false
 */
export async function createFileTarget(
  directory: BytePath,
  options: { readonly stepwise?: boolean } = {},
): Promise<FileTarget> {
  return new DiskTarget(openTargetRoot(directory, options.stepwise ?? false));
}
