/**
 * The jobs for processors, one function for each method of the port `Compute`: in the daemon the worker
 * threads run them, in the simulator they run inline.
 *
 * Invariant: pure and synchronous; the same arguments (and file contents) give the same results. Results never
 * share memory with arguments or with each other's scratch space, and arguments are left as they were. A call
 * holds one window of a file plus its results in memory. Does not queue, thread or retry: adapters/workers does.
 */
export { ingestFiles, WINDOW_BYTES } from "./ingest.ts";
export { prepareChunks } from "./prepare.ts";
export { openFrames, rebuildShards, sealAndEncode, shardRoots } from "./shards.ts";
