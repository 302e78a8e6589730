import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MIB } from "../../base/units.ts";

/** Bytes that a worker hands out between two collections. */
export const WORKER_COLLECTS_BYTES = 16 * MIB;
/**
 * Bytes of plaintext and of shards that the main thread is handed between two. Its heap is ten times as large as a
 * worker's, so it is done less often.
 */
export const MAIN_COLLECTS_BYTES = 48 * MIB;

/**
 * Collects a thread's garbage by the bytes that it handles. A worker's JavaScript heap stays at a few megabytes, so V8 sees
 * little reason to collect, while the buffers of zstd, of file windows and of sealed segments pile up behind it: 200 to
 * 300 MB in each thread were measured. Collecting so small a heap takes a few milliseconds. The main thread's is
 * larger, but behind it lie what the network read and the plaintext that was written, which V8 lets grow by 64 MB.
 */
export class GarbageCollection {
  readonly #collect: () => void;
  readonly #everyBytes: number;
  #bytes = 0;

  /** @param what `all`: also what has lived for a while, for what hangs on objects that outlive a few collections of the young */
  constructor(everyBytes: number, what: "young" | "all" = "young") {
    this.#everyBytes = everyBytes;
    this.#collect = garbageCollector(what);
  }

  handled(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#everyBytes) return;
    this.#bytes = 0;
    this.#collect();
  }
}

/** Collects the garbage of this thread's JavaScript heap, at once; of its young generation unless told. */
export function garbageCollector(what: "young" | "all" = "young"): () => void {
  const collect = gc();
  return () => collect({ type: what === "all" ? "major" : "minor" });
}

/**
 * Collects all there is, moves the rest together and forgets the bytecode of what does not run: 10 to 20 MB less in an idle
 * daemon, for the fifth of a second that it takes.
 */
export function thoroughGarbageCollector(): () => void {
  const collect = gc();
  return () => collect({ type: "major", flavor: "last-resort" });
}

interface CollectOptions {
  readonly type: "major" | "minor";
  readonly flavor?: "last-resort";
}

function gc(): (options: CollectOptions) => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  return typeof collect === "function" ? (options) => void collect(options) : () => {};
}
