import { Level } from "level";
import { Fault } from "../../base/fault.ts";
import { MIB } from "../../base/units.ts";
import type { MetaOp, MetaRange } from "../../ports/meta-store.ts";
import { GarbageCollection } from "../workers/collect-garbage.ts";
import { diskFault } from "./disk-faults.ts";
import { LevelLogs, type LogTuning } from "./level-logs.ts";

type Entry = [key: Uint8Array, value: Uint8Array];

/** LevelDB's own default: the log is exchanged for a sorted table when about this much has been written. */
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;
/** Half of LevelDB's default: the tables are mapped into memory too, so a block is seldom far. */
const CACHE_BYTES = 4 * 1024 * 1024;
/** One page of a scan: few enough entries to be held twice, enough of them that beginning anew costs little. */
const PAGE_ENTRIES = 1000;
const PAGE_BYTES = 256 * 1024;
/**
 * Bytes of pages between two collections. A closed iterator keeps its last page outside of the heap, where V8 does not count it, until it is
 * collected itself: going through a million shards took a gigabyte.
 */
const PAGES_COLLECT_BYTES = 32 * MIB;
/** LevelDB gives the text of the system error and no errno. */
const LEVEL_FULL = /No space left on device|Disk quota exceeded/;

/** One open LevelDB directory. Writes must come one at a time: see LevelMetaStore. */
export class LevelDatabase {
  readonly #level: Level<Uint8Array, Uint8Array>;
  readonly #logs: LevelLogs;
  readonly #garbage = new GarbageCollection(PAGES_COLLECT_BYTES, "all");
  readonly path: string;

  private constructor(path: string, level: Level<Uint8Array, Uint8Array>, logs: LevelLogs) {
    this.path = path;
    this.#level = level;
    this.#logs = logs;
  }

  /** Opens or creates. Faults: `HOME_LOCKED` (another process has it open), `DISK_FULL`, `DISK_FAILED`. */
  static async open(path: string, tuning: Partial<LogTuning> = {}): Promise<LevelDatabase> {
    const level = new Level<Uint8Array, Uint8Array>(path, {
      keyEncoding: "view",
      valueEncoding: "view",
      writeBufferSize: WRITE_BUFFER_BYTES,
      cacheSize: CACHE_BYTES,
    });
    try {
      await level.open();
      return new LevelDatabase(
        path,
        level,
        await LevelLogs.open(path, { writeBufferBytes: WRITE_BUFFER_BYTES, ...tuning }),
      );
    } catch (error) {
      await level.close().catch(() => {});
      throw levelFault(error, path);
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#level.getSync(key);
    } catch (error) {
      throw levelFault(error, this.path);
    }
  }

  /** The first entries of the range: an empty page is its end. */
  async page(range: MetaRange): Promise<Entry[]> {
    const limit = Math.min(range.limit ?? PAGE_ENTRIES, PAGE_ENTRIES);
    const iterator = this.#level.iterator({
      ...(range.from === undefined ? {} : { gte: range.from }),
      ...(range.to === undefined ? {} : { lt: range.to }),
      reverse: range.reverse ?? false,
      limit,
      highWaterMarkBytes: PAGE_BYTES,
    });
    try {
      const entries = await iterator.nextv(limit);
      this.#garbage.handled(entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0));
      return entries;
    } catch (error) {
      throw levelFault(error, this.path);
    } finally {
      await iterator.close();
    }
  }

  async write(ops: readonly MetaOp[], sync: boolean): Promise<void> {
    try {
      if (sync) await this.#logs.beforeSyncedWrite();
      await this.#level.batch(ops.map(levelOp), { sync });
      await this.#logs.afterWrite(ops, sync);
    } catch (error) {
      throw levelFault(error, this.path);
    }
  }

  /** Closing cleanly also syncs what was written without. */
  async close(): Promise<void> {
    try {
      await this.#logs.beforeSyncedWrite();
    } finally {
      await this.#level.close();
    }
  }

  /** Gives it up after a failure: what it still has in memory is not written anywhere. */
  async abandon(): Promise<void> {
    await this.#level.close();
  }
}

function levelOp(op: MetaOp) {
  return op.type === "put"
    ? { type: "put" as const, key: op.key, value: op.value }
    : { type: "del" as const, key: op.key };
}

function levelFault(error: unknown, where: string): Fault {
  if (error instanceof Fault) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
    if (LEVEL_FULL.test(cause.message)) return new Fault({ code: "DISK_FULL", where }, { cause: error });
    if (code === "LEVEL_LOCKED") return new Fault({ code: "HOME_LOCKED", home: where }, { cause: error });
    if (code === "LEVEL_IO_ERROR") {
      return new Fault({ code: "DISK_FAILED", where, errno: "EIO" }, { cause: error });
    }
    if (code === "LEVEL_CORRUPTION") {
      return new Fault({ code: "DISK_FAILED", where, errno: code }, { cause: error });
    }
  }
  return diskFault(error, where);
}
