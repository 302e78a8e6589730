import { mkdir, realpath, statfs } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { assert } from "../../base/assert.ts";
import { concatBytes } from "../../base/bytes.ts";
import { ByteBudget } from "../../base/concurrency.ts";
import { Fault, isFault } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import type { MetaOp, MetaRange, MetaStore } from "../../ports/meta-store.ts";
import { diskFault } from "./disk-faults.ts";
import type { LevelDatabase } from "./level-database.ts";
import { bytesToReplace, openActiveDatabase, removeInactive, replaceDatabase } from "./level-home.ts";

interface PendingWrite {
  readonly ops: readonly MetaOp[];
  readonly bytes: number;
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What may wait to be written; further callers wait before they queue. */
const QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** What one batch takes: bounds what LevelDB copies at once. A single larger write goes alone. */
const GROUP_BYTES_MAX = 2 * 1024 * 1024;
const OP_OVERHEAD_BYTES = 64;
const BACKOFF_MS_MIN = 50;
const BACKOFF_MS_MAX = 10_000;

/** LevelDB's lock is a POSIX one: a second open in this process, though refused, would drop the first one's. */
const openDirectories = new Set<string>();

/**
 * Opens or creates. Faults: `HOME_LOCKED` when another process has it open, `DISK_FULL`, `DISK_FAILED`. At most
 * one store per directory and process, and never one from a worker thread.
 */
export async function openLevelMetaStore(directory: string, log: Log): Promise<MetaStore> {
  let path: string;
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    path = await realpath(directory);
  } catch (error) {
    throw diskFault(error, directory);
  }
  assert(!openDirectories.has(path), `${path} is opened once in a process`);
  openDirectories.add(path);
  try {
    return new LevelMetaStore(path, log, await openActiveDatabase(path));
  } catch (error) {
    openDirectories.delete(path);
    throw diskFault(error, path);
  }
}

/**
 * Writes are put together: while one batch is being synced, all that arrive become the next one. Only one batch
 * is ever under way, so that after a failed one nothing is appended behind a torn record, where LevelDB would
 * not find it again.
 */
class LevelMetaStore implements MetaStore {
  readonly #directory: string;
  readonly #log: Log;
  readonly #budget = new ByteBudget(QUEUE_BYTES_MAX);
  readonly #queue: PendingWrite[] = [];
  #database: LevelDatabase;
  #writer: Promise<void> | undefined;
  /** Set from a failed write until the database has been replaced: writes would fail, reads go on. */
  #broken: { fault: Fault; backoffMs: number; retryAtMs: number } | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Pages being read from `#database`: it is not closed under them. */
  readonly #reading = new Map<LevelDatabase, Set<Promise<unknown>>>();

  constructor(directory: string, log: Log, database: LevelDatabase) {
    this.#directory = directory;
    this.#log = log;
    this.#database = database;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    assert(!this.#closed, "a closed store is not read");
    return this.#database.get(key);
  }

  async *scan(range: MetaRange): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    // Page by page, each read anew: a consumer that takes its time holds no old version of the database.
    let rest = range;
    let left = range.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      assert(!this.#closed, "a closed store is not read");
      const page = await this.#page(left === Number.POSITIVE_INFINITY ? rest : { ...rest, limit: left });
      const last = page.at(-1);
      if (last === undefined) return;
      left -= page.length;
      rest = range.reverse === true ? { ...rest, to: last[0] } : { ...rest, from: successor(last[0]) };
      yield* page;
    }
  }

  async write(ops: readonly MetaOp[], { sync }: { readonly sync: boolean }): Promise<void> {
    assert(!this.#closed, "a closed store is not written");
    if (ops.length === 0) return;
    let bytes = 0;
    for (const op of ops)
      bytes += op.key.length + (op.type === "put" ? op.value.length : 0) + OP_OVERHEAD_BYTES;
    await this.#budget.acquire(bytes);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#queue.push({ ops, bytes, sync, resolve, reject });
        this.#wakeWriter();
      });
    } finally {
      this.#budget.release(bytes);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    while (this.#writer !== undefined || this.#queue.length > 0 || this.#budget.usedBytes > 0) {
      await this.#writer;
    }
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    await this.#settleReads(this.#database);
    try {
      await (this.#broken === undefined ? this.#database.close() : this.#database.abandon());
    } catch (error) {
      throw diskFault(error, this.#directory);
    } finally {
      openDirectories.delete(this.#directory);
    }
  }

  async #page(range: MetaRange) {
    const database = this.#database;
    const page = database.page(range);
    const reading = this.#reading.get(database) ?? new Set();
    this.#reading.set(database, reading.add(page));
    try {
      return await page;
    } finally {
      reading.delete(page);
    }
  }

  async #settleReads(database: LevelDatabase): Promise<void> {
    await Promise.allSettled(this.#reading.get(database) ?? []);
    this.#reading.delete(database);
  }

  #wakeWriter(): void {
    this.#writer ??= this.#writeAll().finally(() => {
      this.#writer = undefined;
      if (this.#queue.length > 0) this.#wakeWriter();
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const failure = this.#broken === undefined ? undefined : await this.#tryReplace();
      if (failure !== undefined) {
        for (const write of this.#queue.splice(0)) write.reject(failure);
        return;
      }
      await this.#writeGroup(this.#takeGroup());
    }
  }

  #takeGroup(): PendingWrite[] {
    let bytes = 0;
    let count = 0;
    for (const write of this.#queue) {
      if (count > 0 && bytes + write.bytes > GROUP_BYTES_MAX) break;
      bytes += write.bytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #writeGroup(group: readonly PendingWrite[]): Promise<void> {
    try {
      await this.#database.write(
        group.flatMap((write) => write.ops),
        group.some((write) => write.sync),
      );
      for (const write of group) write.resolve();
    } catch (error) {
      const fault = diskFault(error, this.#directory);
      this.#broken = { fault, backoffMs: BACKOFF_MS_MIN, retryAtMs: 0 };
      this.#log.warn("meta-store.refused", { directory: this.#directory, reason: fault.message });
      this.#scheduleRetry();
      for (const write of group) write.reject(fault);
    }
  }

  /** Why writes still cannot be taken, or `undefined` when they can again. */
  async #tryReplace(): Promise<Fault | undefined> {
    const broken = this.#broken;
    if (broken === undefined) return undefined;
    const old = this.#database;
    try {
      const { bavail, bsize } = await statfs(this.#directory);
      if (bavail * bsize < (await bytesToReplace(old.path))) return this.#full(bavail * bsize);
      if (performance.now() < broken.retryAtMs) return broken.fault;
      this.#database = await replaceDatabase(this.#directory, old);
    } catch (error) {
      const fault = diskFault(error, this.#directory);
      const backoffMs = Math.min(2 * broken.backoffMs, BACKOFF_MS_MAX);
      this.#broken = { fault, backoffMs, retryAtMs: performance.now() + broken.backoffMs };
      return fault;
    }
    this.#broken = undefined;
    this.#log.info("meta-store.recovered", { directory: this.#directory });
    await this.#dropOld(old);
    return undefined;
  }

  #full(freeBytes: number): Fault {
    return new Fault({ code: "DISK_FULL", where: this.#directory, freeBytes });
  }

  /** The new database is in use already: what goes wrong here costs disk space until the next opening. */
  async #dropOld(old: LevelDatabase): Promise<void> {
    try {
      await this.#settleReads(old);
      await old.abandon();
      await removeInactive(this.#directory, old.path);
    } catch (error) {
      this.#log.warn("meta-store.leftover", { path: old.path, reason: diskFault(error, old.path).message });
    }
  }

  /** Tries again without being asked, so that the first write after room was made finds a working database. */
  #scheduleRetry(): void {
    clearTimeout(this.#retryTimer);
    const broken = this.#broken;
    if (broken === undefined || this.#closed) return;
    this.#retryTimer = setTimeout(() => {
      if (this.#closed || this.#broken === undefined) return;
      this.#writer ??= this.#tryReplace()
        .then((failure) => {
          if (failure !== undefined && isFault(failure, "DISK_FULL")) this.#growBackoff();
        })
        .finally(() => {
          this.#writer = undefined;
          this.#scheduleRetry();
          if (this.#queue.length > 0) this.#wakeWriter();
        });
    }, broken.backoffMs);
    this.#retryTimer.unref();
  }

  #growBackoff(): void {
    if (this.#broken === undefined) return;
    this.#broken = { ...this.#broken, backoffMs: Math.min(2 * this.#broken.backoffMs, BACKOFF_MS_MAX) };
  }
}

function successor(key: Uint8Array): Uint8Array {
  return concatBytes(key, Uint8Array.of(0));
}
