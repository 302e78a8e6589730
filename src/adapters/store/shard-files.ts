import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { ShardId } from "../../base/ids.ts";
import { KIB } from "../../base/units.ts";
import type { FileOps } from "./file-ops.ts";
import { type ShardVersion, shardDirectoryParts, shardPath, TEMPORARY_SUFFIX } from "./shard-layout.ts";
import { SharedRuns } from "./shared-runs.ts";

/** Directories remembered as made and on disk; beyond that all are forgotten, and made sure of again. */
const KNOWN_DIRECTORIES_MAX = 10_000;
/** Up to here bytes and trailer are put into one write: copying is cheaper than a second system call. */
const JOINED_WRITE_BYTES_MAX = 256 * KIB;

/** Shard files on disk: writes them so that a name means whole contents, and removes them. */
export class ShardFiles {
  readonly #root: string;
  readonly #files: FileOps;
  readonly #directories = new Map<string, Promise<void>>();
  readonly #syncs = new Map<string, SharedRuns>();

  constructor(root: string, files: FileOps) {
    this.#root = root;
    this.#files = files;
  }

  /**
   * Writes under a temporary name, syncs, and renames. `onContents` is called when the contents are on disk.
   * The name is on disk after `syncDirectoryOf`.
   */
  async write(
    id: ShardId,
    version: ShardVersion,
    parts: readonly Uint8Array[],
    onContents: () => void,
  ): Promise<void> {
    await this.#ensureDirectories(id);
    const path = shardPath(this.#root, id, version);
    const file = await this.#files.create(path + TEMPORARY_SUFFIX).catch((error: unknown) => {
      // Somebody may have removed the directory: the next writing makes sure of it again.
      this.forgetDirectories();
      throw error;
    });
    try {
      for (const part of joinedIfSmall(parts)) await file.write(part);
      await file.sync();
    } finally {
      await file.close();
    }
    onContents();
    await this.#files.rename(path + TEMPORARY_SUFFIX, path);
  }

  /** Shared by all who ask for the same directory at about the same time. */
  async syncDirectoryOf(id: ShardId): Promise<void> {
    const path = join(this.#root, ...shardDirectoryParts(id));
    const shared = this.#syncs.get(path) ?? new SharedRuns(() => this.#files.syncDirectory(path));
    this.#syncs.set(path, shared);
    try {
      await shared.run();
    } finally {
      if (shared.idle && this.#syncs.get(path) === shared) this.#syncs.delete(path);
    }
  }

  read(id: ShardId, version: ShardVersion, offset: number, length: number): Promise<Uint8Array | undefined> {
    return this.#files.read(shardPath(this.#root, id, version), offset, length);
  }

  size(id: ShardId, version: ShardVersion): Promise<number | undefined> {
    return this.#files.size(shardPath(this.#root, id, version));
  }

  /** Into another root on the same disk, if there is such a file; both names are on disk when it resolves. */
  async moveTo(target: ShardFiles, id: ShardId, version: ShardVersion): Promise<void> {
    const from = shardPath(this.#root, id, version);
    if ((await this.#files.size(from)) === undefined) return;
    await target.#ensureDirectories(id);
    await this.#files.rename(from, shardPath(target.#root, id, version));
    await target.syncDirectoryOf(id);
    await this.syncDirectoryOf(id);
  }

  /** Text for people beside a file; synced. */
  async writeRemark(id: ShardId, version: ShardVersion, suffix: string, text: Uint8Array): Promise<void> {
    await this.#ensureDirectories(id);
    const file = await this.#files.create(shardPath(this.#root, id, version) + suffix);
    try {
      await file.write(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.syncDirectoryOf(id);
  }

  async removeRemark(id: ShardId, version: ShardVersion, suffix: string): Promise<void> {
    await this.#files.remove(shardPath(this.#root, id, version) + suffix);
  }

  /** They may not be what they were. */
  forgetDirectories(): void {
    this.#directories.clear();
  }

  path(id: ShardId, version: ShardVersion): string {
    return shardPath(this.#root, id, version);
  }

  /** Whatever there is of it, under either name. */
  async remove(id: ShardId, version: ShardVersion): Promise<void> {
    const path = shardPath(this.#root, id, version);
    await this.#files.remove(path);
    await this.#files.remove(path + TEMPORARY_SUFFIX);
  }

  async #ensureDirectories(id: ShardId): Promise<void> {
    let path = this.#root;
    for (const part of shardDirectoryParts(id)) {
      const parent = path;
      path = join(parent, part);
      await this.#ensureDirectory(parent, path);
    }
  }

  /**
   * Once in the life of the process for each directory, also one that is there already: it may have been made
   * just before a crash and its name not be on disk yet.
   */
  #ensureDirectory(parent: string, path: string): Promise<void> {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    if (this.#directories.size >= KNOWN_DIRECTORIES_MAX) this.#directories.clear();
    const made = this.#files.makeDirectory(path).then(() => this.#files.syncDirectory(parent));
    this.#directories.set(path, made);
    made.catch(() => this.#directories.delete(path));
    return made;
  }
}

function joinedIfSmall(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  return bytes <= JOINED_WRITE_BYTES_MAX ? [Buffer.concat(parts)] : parts;
}
