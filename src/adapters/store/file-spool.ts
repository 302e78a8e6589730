import { join } from "node:path";
import { assert } from "../../base/assert.ts";
import { KeyedMutex } from "../../base/concurrency.ts";
import type { Spool } from "../../ports/spool.ts";
import { diskFault } from "./disk-faults.ts";
import { type FileOps, nodeFileOps } from "./file-ops.ts";
import { SharedRuns } from "./shared-runs.ts";

export interface FileSpoolInit {
  readonly directory: string;
  /** @default the machine's file system */
  readonly files?: FileOps;
}

/** No name of the spool has a dot, so a file being written cannot be taken for a finished one. */
const TEMPORARY = ".tmp";

/** The parent of `directory` must exist. Removes what a crash left half written. */
export async function openFileSpool(init: FileSpoolInit): Promise<Spool> {
  const files = init.files ?? nodeFileOps;
  const { directory } = init;
  try {
    await files.makeDirectory(directory);
    await files.syncDirectory(join(directory, ".."));
    for await (const { name } of files.list(directory)) {
      if (name.endsWith(TEMPORARY)) await files.remove(join(directory, name));
    }
  } catch (error) {
    throw diskFault(error, directory);
  }
  return new FileSpool(directory, files);
}

class FileSpool implements Spool {
  readonly #directory: string;
  readonly #files: FileOps;
  readonly #names = new KeyedMutex();
  readonly #directorySync: SharedRuns;

  constructor(directory: string, files: FileOps) {
    this.#directory = directory;
    this.#files = files;
    this.#directorySync = new SharedRuns(() => files.syncDirectory(directory));
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#path(name);
    return this.#exclusive(name, async () => {
      try {
        await this.#writeTemporary(path + TEMPORARY, bytes);
        await this.#files.rename(path + TEMPORARY, path);
      } catch (error) {
        await this.#files.remove(path + TEMPORARY).catch(() => false);
        throw error;
      }
      await this.#directorySync.run();
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    const path = this.#path(name);
    try {
      const bytes = await this.#files.size(path);
      return bytes === undefined ? undefined : await this.#files.read(path, 0, bytes);
    } catch (error) {
      throw diskFault(error, this.#directory);
    }
  }

  delete(name: string): Promise<void> {
    const path = this.#path(name);
    return this.#exclusive(name, async () => {
      if (await this.#files.remove(path)) await this.#directorySync.run();
    });
  }

  async list(): Promise<{ name: string; bytes: number }[]> {
    const found: { name: string; bytes: number }[] = [];
    try {
      for await (const { name, directory } of this.#files.list(this.#directory)) {
        if (directory || !isSpoolName(name)) continue;
        const bytes = await this.#files.size(join(this.#directory, name));
        if (bytes !== undefined) found.push({ name, bytes });
      }
    } catch (error) {
      throw diskFault(error, this.#directory);
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async diskSpace(): Promise<{ freeBytes: number; totalBytes: number }> {
    try {
      return await this.#files.diskSpace(this.#directory);
    } catch (error) {
      throw diskFault(error, this.#directory);
    }
  }

  async #writeTemporary(path: string, bytes: Uint8Array): Promise<void> {
    const file = await this.#files.create(path);
    try {
      await file.write(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async #exclusive(name: string, task: () => Promise<void>): Promise<void> {
    try {
      await this.#names.run(name, task);
    } catch (error) {
      throw diskFault(error, this.#directory);
    }
  }

  #path(name: string): string {
    assert(isSpoolName(name), "a spool name is of [a-z0-9-]");
    return join(this.#directory, name);
  }
}

function isSpoolName(name: string): boolean {
  return /^[a-z0-9-]{1,200}$/.test(name);
}
