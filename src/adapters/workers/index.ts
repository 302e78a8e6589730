/**
 * The port `Compute` over worker threads: a pool that runs the functions of src/compute off the main thread.
 *
 * Invariant: every call settles, exactly once, with the same result as the function called inline, or an error
 * of the same class. Bytes handed in stay the caller's; results are moved, not copied. Does not retry and keeps
 * nothing between calls.
 */
export { readReedSolomonWasm } from "./reed-solomon-wasm.ts";
export { createWorkerCompute, type WorkerComputeInit } from "./worker-compute.ts";
