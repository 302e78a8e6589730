import { Fault } from "../src/base/fault.ts";
import {
  ingestFiles,
  openFrames,
  prepareChunks,
  rebuildShards,
  sealAndEncode,
  shardRoots,
} from "../src/compute/index.ts";
import type { ErasureCodec } from "../src/erasure/index.ts";
import type { Compute } from "../src/ports/compute.ts";
import type { FileOpener } from "../src/ports/file-tree.ts";

/** `Compute` in the calling thread: the simulator's, so that a seed gives the same run whatever the machine. */
export function createInlineCompute(opener: FileOpener, codec: ErasureCodec): Compute {
  let closed = false;
  // Async, so that what is thrown arrives as a rejection, as it does from a thread.
  const run = async <T>(work: () => T): Promise<T> => {
    if (closed) throw new Fault({ code: "INTERRUPTED" });
    return work();
  };
  return {
    ingest: (jobs, keys) => run(() => ingestFiles(jobs, keys, opener)),
    prepare: (chunks, chunkIdKey) => run(() => prepareChunks(chunks, chunkIdKey)),
    seal: (job) => run(() => sealAndEncode(job, codec)),
    rebuild: (job) => run(() => rebuildShards(job, codec)),
    roots: (jobs) => run(() => shardRoots(jobs)),
    open: (job) => run(() => openFrames(job)),
    close: async () => {
      closed = true;
    },
  };
}
