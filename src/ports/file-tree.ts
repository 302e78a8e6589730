import type { BytePath } from "../base/paths.ts";

export type FileType =
  | "file"
  | "directory"
  | "symlink"
  | "fifo"
  | "socket"
  | "block-device"
  | "character-device";

export interface FileStat {
  readonly type: FileType;
  /** Permission bits with setuid, setgid and sticky: 0 .. 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: number;
  /** Of a device node; 0 otherwise. */
  readonly major: number;
  readonly minor: number;
  /** 512-byte blocks on disk: below size / 512 the file is worth asking for holes. */
  readonly blocks: number;
}

export interface Xattr {
  /** With its namespace, such as `user.comment` or `system.posix_acl_access`. */
  readonly name: BytePath;
  readonly value: Uint8Array;
}

export interface DirectoryEntry {
  readonly name: BytePath;
  /** Absent where lstat failed: `errno` says why. */
  readonly stat?: FileStat;
  readonly errno?: string;
}

/**
 * The files to be saved. All paths are absolute. Contract, checked by test/contract/file-tree.ts:
 * - Nothing follows a symbolic link, and nothing is changed, access times included where the kernel allows.
 * - `list` gives entries in byte order of their names, without "." and "..".
 * - A path that is not there is `SOURCE_MISSING`; one that cannot be read `SOURCE_UNREADABLE` with the errno.
 */
export interface FileTree {
  lstat(path: BytePath): Promise<FileStat>;
  list(directory: BytePath): Promise<DirectoryEntry[]>;
  readlink(path: BytePath): Promise<BytePath>;
  /** Sorted by name. Empty where the file system has none. */
  xattrs(path: BytePath): Promise<Xattr[]>;
  /** Whether the directory is a cairn home: it has the marker file of src/base/home-marker.ts, and its bytes say so. */
  isHome(directory: BytePath): Promise<boolean>;
  /** Names of the owning user and group, for a restore on another machine; `undefined` where there is none. */
  userName(uid: number): string | undefined;
  groupName(gid: number): string | undefined;
}

/** An open file, read synchronously: it is used inside a worker thread, or inline in the simulator. */
export interface OpenFile {
  stat(): FileStat;
  /** Bytes read into `into`, fewer only at the end of the file. */
  read(offset: number, into: Uint8Array): number;
  /** First byte at or after `offset` that is data, or `undefined` when only a hole follows. */
  nextData(offset: number): number | undefined;
  /** First byte at or after `offset` that is a hole; the end of the file counts as one. */
  nextHole(offset: number): number;
  close(): void;
}

/** Opens without following a link and without waiting for a FIFO's other end. Throws as `FileTree` does. */
export interface FileOpener {
  open(path: BytePath): OpenFile;
}

/** What a restore gives a file back besides its contents. */
export interface FileMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly xattrs: readonly Xattr[];
}

/** Things about one path that could not be restored although the path itself was written. */
export interface MetadataProblem {
  readonly what: "owner" | "mode" | "time" | "xattr";
  readonly errno: string;
  /** The name of the xattr, where it is one. */
  readonly name?: BytePath;
}

/**
 * Where a restore writes: one directory, which is opened (and made, if need be) once. Paths are relative to
 * it. Contract, checked by test/contract/file-target.ts:
 * - No operation leaves the target: every component of a path is checked not to be a symbolic link, names
 *   that are ".", "..", empty or contain "/" or NUL are refused. `TARGET_UNSAFE` otherwise.
 * - Other failures are `TARGET_FAILED` with the errno; `DISK_FULL` when there is no room.
 * - The order of setting metadata is owner, mode, xattrs (with ACLs), times: each would undo an earlier one.
 * - `openPart` opens or creates a file for random writes without truncating what is there; `commitPart` sets
 *   length and metadata, then renames it over `path`. A hole that was never written stays a hole.
 */
export interface FileTarget {
  lstat(path: BytePath): Promise<FileStat | undefined>;
  list(directory: BytePath): Promise<DirectoryEntry[]>;
  xattrs(path: BytePath): Promise<Xattr[]>;
  readlink(path: BytePath): Promise<BytePath>;
  /** Reads an existing file, for resuming and for `--overwrite if-changed`. */
  openForRead(path: BytePath): Promise<OpenFile | undefined>;
  /** Makes one directory, mode 0700 until its metadata is set; what is there as a directory already stays. */
  makeDirectory(path: BytePath): Promise<{ created: boolean }>;
  /** Writes a whole small file under a temporary name, with its metadata, and renames it into place. */
  writeFile(path: BytePath, bytes: Uint8Array, metadata: FileMetadata): Promise<MetadataProblem[]>;
  openPart(part: BytePath): Promise<TargetPart>;
  commitPart(
    part: BytePath,
    path: BytePath,
    size: number,
    metadata: FileMetadata,
  ): Promise<MetadataProblem[]>;
  symlink(path: BytePath, to: BytePath, metadata: FileMetadata): Promise<MetadataProblem[]>;
  hardlink(path: BytePath, existing: BytePath): Promise<void>;
  makeNode(
    path: BytePath,
    type: "fifo" | "block-device" | "character-device",
    device: { major: number; minor: number },
    metadata: FileMetadata,
  ): Promise<MetadataProblem[]>;
  setMetadata(path: BytePath, metadata: FileMetadata): Promise<MetadataProblem[]>;
  /** A file, link or special file; with `recursive` a directory with all that is in it, links not followed. */
  remove(path: BytePath, options?: { recursive: boolean }): Promise<void>;
  freeBytes(): Promise<number>;
  /** Syncs what was written to disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface TargetPart {
  /** Size of what was there before. */
  readonly size: number;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  read(offset: number, into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}
