import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { MetaOp } from "../../ports/meta-store.ts";
import { errnoOf } from "./disk-faults.ts";

export interface LogTuning {
  /** LevelDB's `writeBufferSize`. */
  readonly writeBufferBytes: number;
  /** Called with the name of each file or directory that was synced here. For tests. */
  readonly onSync?: (name: string) => void;
}

/** Above what a skip-list node, its sequence number and two lengths cost an entry in LevelDB's memory. */
const ENTRY_OVERHEAD_BYTES = 128;

/**
 * Closes a gap of LevelDB: when its write buffer is full it goes on in a new log file and closes the old one
 * without syncing it. A synced write into the new log is then on disk while unsynced ones before it, in the
 * old log, are not: a power failure would lose the middle and keep the end. So unsynced writes are synced by
 * us before a synced one, and a log that was left behind as soon as that is noticed.
 */
export class LevelLogs {
  readonly #directory: string;
  readonly #tuning: LogTuning;
  #newest: string | undefined;
  #unsynced = false;
  /** At least what the current log's writes take in LevelDB's buffer. */
  #bufferedBytes = 0;

  private constructor(directory: string, tuning: LogTuning) {
    this.#directory = directory;
    this.#tuning = tuning;
  }

  static async open(directory: string, tuning: LogTuning): Promise<LevelLogs> {
    const logs = new LevelLogs(directory, tuning);
    logs.#newest = (await logs.#list()).at(-1);
    await logs.#sync(".");
    return logs;
  }

  async beforeSyncedWrite(): Promise<void> {
    if (!this.#unsynced) return;
    if (this.#newest !== undefined) await this.#sync(this.#newest);
    this.#unsynced = false;
  }

  async afterWrite(ops: readonly MetaOp[], synced: boolean): Promise<void> {
    for (const op of ops) {
      this.#bufferedBytes += op.key.length + (op.type === "put" ? op.value.length : 0) + ENTRY_OVERHEAD_BYTES;
    }
    // Half is a wide margin for what the estimate leaves out: before that no new log can have been begun, and
    // the directory need not be listed after each of many small writes.
    if (this.#bufferedBytes >= this.#tuning.writeBufferBytes / 2) await this.#followNewLog();
    if (!synced) this.#unsynced = true;
  }

  async #followNewLog(): Promise<void> {
    const logs = await this.#list();
    const newest = logs.at(-1);
    if (newest === this.#newest) return;
    if (this.#unsynced) for (const log of logs.slice(0, -1)) await this.#sync(log);
    await this.#sync(".");
    this.#newest = newest;
    this.#bufferedBytes = 0;
  }

  /** Oldest first: the names are numbers of at least six digits. */
  async #list(): Promise<string[]> {
    const names = (await readdir(this.#directory)).filter((name) => /^\d+\.log$/.test(name));
    return names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  }

  async #sync(name: string): Promise<void> {
    try {
      const handle = await open(join(this.#directory, name), "r");
      try {
        await (name === "." ? handle.sync() : handle.datasync());
      } finally {
        await handle.close();
      }
      this.#tuning.onSync?.(name);
    } catch (error) {
      // A log whose entries have gone into a table, which LevelDB syncs, is removed by it.
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}
