import { must } from "../src/base/assert.ts";
import { Fault } from "../src/base/fault.ts";
import { type BytePath, baseName, bytePathOf, joinPath, parentPath, splitPath } from "../src/base/paths.ts";
import type {
  FileMetadata,
  FileOpener,
  FileStat,
  FileTarget,
  FileTree,
  OpenFile,
  TargetPart,
} from "../src/ports/file-tree.ts";

interface SimFile {
  readonly kind: "file" | "directory" | "symlink";
  readonly inode: bigint;
  mode: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  /** Of a file; the target of a link. */
  contents: Uint8Array;
  readonly children: Map<BytePath, SimFile>;
}

/** Free space as restores are told it: the files of the simulated machines have no bound of their own. */
const FREE_BYTES = 2 ** 50;
const ROOT = bytePathOf("/");

/**
 * The files of one simulated machine: what is saved and where it is restored, in memory. Plain files, directories and
 * symbolic links of one user; the other kinds of file are for tests on a real file system.
 */
export class SimFiles {
  readonly #nowMs: () => number;
  readonly #root: SimFile;
  #inodes = 1n;

  /** @param nowMs the machine's time of day, for the times of files */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#root = this.#new("directory");
  }

  /** Makes or replaces a file, and the directories above it. */
  write(path: BytePath, contents: Uint8Array): void {
    const directory = this.#directories(parentPath(path));
    const known = directory.children.get(baseName(path));
    const file = known?.kind === "file" ? known : this.#new("file");
    file.contents = contents.slice();
    file.mtimeNs = this.#nowNs();
    file.ctimeNs = file.mtimeNs;
    if (file !== known) this.#put(directory, baseName(path), file);
  }

  remove(path: BytePath): boolean {
    const directory = this.#find(parentPath(path));
    if (directory === undefined || !directory.children.delete(baseName(path))) return false;
    this.#touch(directory);
    return true;
  }

  /** Every file below, with its contents, by its path from there. */
  contents(below: BytePath): Map<BytePath, Uint8Array> {
    const found = new Map<BytePath, Uint8Array>();
    const walk = (file: SimFile, path: string): void => {
      if (file.kind === "file") found.set(bytePathOf(path), file.contents);
      for (const [name, child] of file.children) walk(child, path === "" ? name : `${path}/${name}`);
    };
    const top = this.#find(below);
    if (top !== undefined) walk(top, "");
    return found;
  }

  tree(): FileTree {
    return {
      lstat: async (path) => statOf(this.#source(path)),
      list: async (path) =>
        [...this.#source(path).children]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, file]) => ({ name, stat: statOf(file) })),
      readlink: async (path) => bytePathOf(new TextDecoder().decode(this.#source(path).contents)),
      xattrs: async () => [],
      isHome: async () => false,
      userName: () => undefined,
      groupName: () => undefined,
    };
  }

  opener(): FileOpener {
    return { open: (path) => openFile(this.#source(path)) };
  }

  /** Made if it is not there. */
  target(directory: BytePath): FileTarget {
    return new SimTarget(this.#directories(directory), {
      make: (kind) => this.#new(kind),
      put: (parent, name, file) => this.#put(parent, name, file),
      touch: (file) => this.#touch(file),
    });
  }

  #source(path: BytePath): SimFile {
    const file = this.#find(path);
    if (file === undefined) throw new Fault({ code: "SOURCE_MISSING", path });
    return file;
  }

  #find(path: BytePath): SimFile | undefined {
    let at: SimFile | undefined = this.#root;
    for (const part of splitPath(path)) at = at?.children.get(part);
    return at;
  }

  #directories(path: BytePath): SimFile {
    let at = this.#root;
    let here = ROOT;
    for (const part of splitPath(path)) {
      here = joinPath(here, part);
      const known = at.children.get(part);
      if (known === undefined) this.#put(at, part, this.#new("directory"));
      at = must(at.children.get(part), "directory");
    }
    return at;
  }

  #put(directory: SimFile, name: BytePath, file: SimFile): void {
    directory.children.set(name, file);
    this.#touch(directory);
  }

  #touch(file: SimFile): void {
    file.ctimeNs = this.#nowNs();
    file.mtimeNs = file.ctimeNs;
  }

  #new(kind: SimFile["kind"]): SimFile {
    const nowNs = this.#nowNs();
    const times = { mtimeNs: nowNs, ctimeNs: nowNs };
    const mode = kind === "directory" ? 0o755 : 0o644;
    return { kind, inode: ++this.#inodes, mode, ...times, contents: new Uint8Array(0), children: new Map() };
  }

  #nowNs(): bigint {
    return BigInt(Math.floor(this.#nowMs())) * 1_000_000n;
  }
}

interface Making {
  make(kind: SimFile["kind"]): SimFile;
  put(directory: SimFile, name: BytePath, file: SimFile): void;
  touch(file: SimFile): void;
}

class SimTarget implements FileTarget {
  readonly #top: SimFile;
  readonly #making: Making;

  constructor(top: SimFile, making: Making) {
    this.#top = top;
    this.#making = making;
  }

  async lstat(path: BytePath): Promise<FileStat | undefined> {
    const file = this.#find(path);
    return file === undefined ? undefined : statOf(file);
  }

  list(directory: BytePath): ReturnType<FileTarget["list"]> {
    const entries = [...(this.#find(directory)?.children ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    return Promise.resolve(entries.map(([name, file]) => ({ name, stat: statOf(file) })));
  }

  async xattrs(): Promise<[]> {
    return [];
  }

  async readlink(path: BytePath): Promise<BytePath> {
    return bytePathOf(new TextDecoder().decode(this.#there(path).contents));
  }

  async openForRead(path: BytePath): Promise<OpenFile | undefined> {
    const file = this.#find(path);
    return file === undefined ? undefined : openFile(file);
  }

  async makeDirectory(path: BytePath): Promise<{ created: boolean }> {
    const created = this.#find(path) === undefined;
    if (created) this.#put(path, this.#making.make("directory"));
    return { created };
  }

  async writeFile(path: BytePath, bytes: Uint8Array, metadata: FileMetadata): Promise<[]> {
    const file = this.#making.make("file");
    file.contents = bytes.slice();
    this.#put(path, file);
    return this.setMetadata(path, metadata);
  }

  async openPart(part: BytePath): Promise<TargetPart> {
    const known = this.#find(part);
    const file = known ?? this.#making.make("file");
    if (known === undefined) this.#put(part, file);
    return {
      size: file.contents.length,
      write: async (offset, bytes) => {
        file.contents = resized(file.contents, Math.max(file.contents.length, offset + bytes.length));
        file.contents.set(bytes, offset);
      },
      read: async (offset, into) => readInto(file, offset, into),
      close: async () => {},
    };
  }

  async commitPart(part: BytePath, path: BytePath, size: number, metadata: FileMetadata): Promise<[]> {
    const file = this.#there(part);
    file.contents = resized(file.contents, size);
    this.#parent(part).children.delete(baseName(part));
    this.#put(path, file);
    return this.setMetadata(path, metadata);
  }

  async symlink(path: BytePath, to: BytePath, metadata: FileMetadata): Promise<[]> {
    const link = this.#making.make("symlink");
    link.contents = new TextEncoder().encode(to);
    this.#put(path, link);
    return this.setMetadata(path, metadata);
  }

  async hardlink(path: BytePath, existing: BytePath): Promise<void> {
    this.#put(path, this.#there(existing));
  }

  async makeNode(path: BytePath): Promise<never> {
    throw new Fault({ code: "TARGET_FAILED", path, errno: "EPERM" });
  }

  async setMetadata(path: BytePath, metadata: FileMetadata): Promise<[]> {
    const file = this.#there(path);
    file.mode = metadata.mode;
    file.mtimeNs = metadata.mtimeNs;
    return [];
  }

  async remove(path: BytePath): Promise<void> {
    this.#parent(path).children.delete(baseName(path));
  }

  async freeBytes(): Promise<number> {
    return FREE_BYTES;
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {}

  #find(path: BytePath): SimFile | undefined {
    let at: SimFile | undefined = this.#top;
    for (const part of splitPath(path)) at = at?.children.get(part);
    return at;
  }

  #there(path: BytePath): SimFile {
    const file = this.#find(path);
    if (file === undefined) throw new Fault({ code: "TARGET_FAILED", path, errno: "ENOENT" });
    return file;
  }

  #parent(path: BytePath): SimFile {
    return path.includes("/") ? this.#there(parentPath(path)) : this.#top;
  }

  #put(path: BytePath, file: SimFile): void {
    this.#making.put(this.#parent(path), baseName(path), file);
  }
}

function statOf(file: SimFile): FileStat {
  const size = file.contents.length;
  const { kind, mode, mtimeNs, ctimeNs, inode } = file;
  const owned = { uid: 1000, gid: 1000, device: 1n, links: 1, major: 0, minor: 0 };
  return { type: kind, mode, size, mtimeNs, ctimeNs, inode, blocks: Math.ceil(size / 512), ...owned };
}

function openFile(file: SimFile): OpenFile {
  // As it is when it is opened: the simulated program reads a file within one event.
  return {
    stat: () => statOf(file),
    read: (offset, into) => readInto(file, offset, into),
    nextData: (offset) => (offset < file.contents.length ? offset : undefined),
    nextHole: (offset) => Math.max(offset, file.contents.length),
    close: () => {},
  };
}

function readInto(file: SimFile, offset: number, into: Uint8Array): number {
  const bytes = file.contents.subarray(offset, offset + into.length);
  into.set(bytes);
  return bytes.length;
}

function resized(contents: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(contents.subarray(0, length));
  return out;
}
