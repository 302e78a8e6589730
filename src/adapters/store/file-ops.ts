import { type FileHandle, mkdir, open, opendir, rename, stat, statfs, unlink } from "node:fs/promises";
import { errnoOf } from "./disk-faults.ts";

export interface NewFile {
  /** Appends all of the bytes, or throws. */
  write(bytes: Uint8Array): Promise<void>;
  /** Contents and size are on disk when it resolves; the name is not (`syncDirectory`). */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Every call that the stores make to the file system, so that a test can record their order and take the power
 * away between any two. Failures are thrown as Node throws them, with an errno in `code`.
 */
export interface FileOps {
  /** Makes one directory; one that is there stays. */
  makeDirectory(path: string): Promise<void>;
  /** Names made, renamed and removed in the directory are on disk when it resolves. */
  syncDirectory(path: string): Promise<void>;
  /** An empty file of this name; what was there is cut to nothing. */
  create(path: string): Promise<NewFile>;
  rename(from: string, to: string): Promise<void>;
  /** False when there was nothing. */
  remove(path: string): Promise<boolean>;
  /** Fewer bytes at the end of the file; `undefined` when there is no such file. */
  read(path: string, offset: number, length: number): Promise<Uint8Array | undefined>;
  size(path: string): Promise<number | undefined>;
  /** In no particular order; nothing when there is no such directory. */
  list(path: string): AsyncIterable<{ readonly name: string; readonly directory: boolean }>;
  /** Free as far as this process may use it. */
  diskSpace(path: string): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
}

/** The file system of this machine. New files are readable by nobody else. */
export const nodeFileOps: FileOps = {
  async makeDirectory(path) {
    try {
      await mkdir(path, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
  },
  async syncDirectory(path) {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async create(path) {
    const handle = await open(path, "w", 0o600);
    return {
      write: (bytes) => writeAll(handle, bytes),
      sync: () => handle.datasync(),
      close: () => handle.close(),
    };
  },
  rename,
  async remove(path) {
    return (await absentAsUndefined(unlink(path).then(() => true))) ?? false;
  },
  async read(path, offset, length) {
    const handle = await absentAsUndefined(open(path, "r"));
    if (handle === undefined) return undefined;
    try {
      return await readAll(handle, offset, length);
    } finally {
      await handle.close();
    }
  },
  async size(path) {
    return (await absentAsUndefined(stat(path)))?.size;
  },
  async *list(path) {
    const directory = await absentAsUndefined(opendir(path));
    if (directory === undefined) return;
    for await (const entry of directory) yield { name: entry.name, directory: entry.isDirectory() };
  },
  async diskSpace(path) {
    const { bavail, blocks, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  },
};

/** A disk that fills up takes part of a write and says so only at the next one. */
async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done);
    done += bytesWritten;
  }
}

async function readAll(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const into = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(into, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return into.subarray(0, done);
}

async function absentAsUndefined<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
