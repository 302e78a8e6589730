import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Bytes handed out between two collections. */
const COLLECT_EVERY_BYTES = 16 * 1024 * 1024;

/**
 * Collects a worker's garbage by the bytes that it handles. Its JavaScript heap stays at a few megabytes, so V8 sees
 * little reason to collect, while the buffers of zstd, of file windows and of sealed segments pile up behind it: 200 to
 * 300 MB in each thread were measured. Collecting so small a heap takes a few milliseconds.
 */
export class GarbageCollection {
  readonly #collect: () => void;
  #bytes = 0;

  constructor() {
    this.#collect = garbageCollector();
  }

  handled(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < COLLECT_EVERY_BYTES) return;
    this.#bytes = 0;
    this.#collect();
  }
}

/** Collects all garbage of this thread's JavaScript heap, at once. */
export function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  return typeof collect === "function" ? () => void collect() : () => {};
}
