import { assert } from "../../base/assert.ts";
import { KIB, MIB } from "../../base/units.ts";
import { WINDOW_BYTES } from "../../compute/index.ts";
import type { Compute, IngestJob } from "../../ports/compute.ts";
import { GarbageCollection, MAIN_COLLECTS_BYTES } from "./collect-garbage.ts";
import { isResultOf, type ResultOf, type TaskKind, type TaskOf } from "./messages.ts";
import { moduleUrl } from "./module-url.ts";
import { defaultThreads, WorkerPool } from "./pool.ts";

/** A task reads, hashes or compresses about so much: some 30 ms, which is what another lane waits for its turn. */
const TASK_BYTES_MAX = 8 * MIB;
/** What opening and looking at a file costs besides its bytes, expressed in bytes: 128 empty ones make a task. */
const ITEM_COST_BYTES = 64 * KIB;

export interface WorkerComputeInit {
  /** Worker threads. @default the machine's cores, at most 4 */
  readonly threads?: number;
  /** URL of a module that exports `createFileOpener(): FileOpener`. @default the real file system */
  readonly openerModule?: string;
}

/**
 * `Compute` over worker threads. Lists are divided into tasks of bounded size, so that one long call neither
 * occupies a thread for long nor is bound to one thread. Faults are those of the port, and `WORKER_LOST` when a
 * thread died (the call may be made again), `INTERRUPTED` after or by `close`. Arguments must stay unchanged
 * until the call has settled.
 */
export function createWorkerCompute(init: WorkerComputeInit = {}): Compute {
  const openerModule = init.openerModule ?? moduleUrl("../files/opener").href;
  const pool = new WorkerPool({ openerModule }, init.threads ?? defaultThreads());

  const garbage = new GarbageCollection(MAIN_COLLECTS_BYTES);

  const run = async <Kind extends TaskKind>(kind: Kind, task: TaskOf<Kind>): Promise<ResultOf<Kind>> => {
    const result = await pool.run(task);
    assert(isResultOf(kind, result), "the worker answers the task it was given");
    return result;
  };

  return {
    ingest: (jobs, keys) =>
      inParts(jobs, windowBytes, async (part) => {
        return (await run("ingest", { kind: "ingest", jobs: part, keys })).value;
      }),
    prepare: (chunks, chunkIdKey) =>
      inParts(chunks, lengthOf, async (part) => {
        return (await run("prepare", { kind: "prepare", chunks: part, chunkIdKey })).value;
      }),
    roots: (jobs) =>
      inParts(
        jobs,
        (job) => job.bytes.length,
        async (part) => (await run("roots", { kind: "roots", jobs: part })).value,
      ),
    seal: async (job) => {
      const { value } = await run("seal", { kind: "seal", job });
      garbage.handled(value.shardBytes * value.shards.length);
      return value;
    },
    rebuild: async (job) => (await run("rebuild", { kind: "rebuild", job })).value,
    open: async (job) => {
      const { value } = await run("open", { kind: "open", job });
      garbage.handled(value.reduce((sum, { length }) => sum + length, 0));
      return value;
    },
    close: () => pool.close(),
  };
}

function lengthOf(bytes: Uint8Array): number {
  return bytes.length;
}

function windowBytes(job: IngestJob): number {
  return Math.min(Math.max(0, job.expected.size - job.offset), WINDOW_BYTES);
}

/** Calls `task` with runs of items that cost little enough (once for no items); results in the items' order. */
async function inParts<T, R>(
  items: readonly T[],
  bytesOf: (item: T) => number,
  task: (part: readonly T[]) => Promise<R[]>,
): Promise<R[]> {
  let part: T[] = [];
  let partBytes = 0;
  const parts = [part];
  for (const item of items) {
    const itemBytes = bytesOf(item) + ITEM_COST_BYTES;
    if (part.length > 0 && partBytes + itemBytes > TASK_BYTES_MAX) {
      part = [];
      partBytes = 0;
      parts.push(part);
    }
    part.push(item);
    partBytes += itemBytes;
  }
  return (await Promise.all(parts.map(task))).flat();
}
