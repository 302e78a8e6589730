import { z } from "zod";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { isFault } from "../base/fault.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesOf, codec, count, textUpTo } from "../wire/codec.ts";

/** Sets come and go; what is remembered of those that went is bounded. */
const RECORDS_MAX = 256;
const REASON_MAX = 500;

const run = codec(
  "run of a set",
  z
    .object({
      v: z.literal(1),
      startedMs: count,
      endedMs: count,
      /** Tries in a row that made no snapshot, this one included. */
      failures: count,
      /** Why there is no snapshot, or what went wrong after it was made. */
      reason: textUpTo(REASON_MAX).exactOptional(),
      snapshot: bytesOf(32).exactOptional(),
      unreadable: count,
    })
    .strict(),
);
export type RunRecord = Omit<ReturnType<(typeof run)["decode"]>, "v">;
export type RunOutcome = "done" | "failed";

/** The newest try of each set, over restarts: an interval goes on from it, and a failure is not forgotten. */
export class RunRecords {
  readonly #store: MetaStore;
  readonly #runs: Map<string, RunRecord>;

  private constructor(store: MetaStore, runs: Map<string, RunRecord>) {
    this.#store = store;
    this.#runs = runs;
  }

  /** What cannot be read, or is of a later version, is no loss: the set is saved once more. */
  static async open(store: MetaStore): Promise<RunRecords> {
    const runs = new Map<string, RunRecord>();
    for await (const [key, value] of store.scan({})) {
      try {
        const { v: _, ...record } = run.decode(value);
        runs.set(fromUtf8(key), record);
      } catch (error) {
        if (!isFault(error)) throw error;
      }
    }
    return new RunRecords(store, runs);
  }

  of(set: string): RunRecord | undefined {
    return this.#runs.get(set);
  }

  async save(set: string, record: RunRecord): Promise<void> {
    const { reason, ...rest } = record;
    const cut = reason === undefined ? {} : { reason: reason.slice(0, REASON_MAX) };
    this.#runs.set(set, { ...rest, ...cut });
    const ops: MetaOp[] = [{ type: "put", key: utf8(set), value: run.encode({ v: 1, ...rest, ...cut }) }];
    const oldest = [...this.#runs].sort(([, a], [, b]) => a.endedMs - b.endedMs);
    for (const [name] of oldest.slice(0, Math.max(0, this.#runs.size - RECORDS_MAX))) {
      this.#runs.delete(name);
      ops.push({ type: "delete", key: utf8(name) });
    }
    await this.#store.write(ops, { sync: true });
  }
}
