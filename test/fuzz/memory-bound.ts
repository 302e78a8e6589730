import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect } from "vitest";
import { MIB } from "../../src/base/units.ts";

/** What is left when everything that nobody holds was collected: more than a hundred thousand messages may leave. */
const LEFT_BYTES_MAX = 48 * MIB;
/** In between, garbage included: a node that holds on to what it is told comes to gigabytes. */
const PEAK_BYTES_MAX = 768 * MIB;

setFlagsFromString("--expose-gc");
const collect: unknown = runInNewContext("gc");

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function liveBytes(): number {
  if (typeof collect !== "function") throw new Error("garbage cannot be collected");
  // What one collection frees may hold what only the next one can.
  for (let times = 0; times < 3; times++) collect();
  return usedBytes();
}

/** That what comes in leaves nothing behind, and does not pile up while it comes. */
export class MemoryBound {
  readonly #before = liveBytes();
  #peak = this.#before;

  sample(): void {
    this.#peak = Math.max(this.#peak, usedBytes());
  }

  expectBounded(leftBytesMax = LEFT_BYTES_MAX): void {
    expect(liveBytes() - this.#before, "bytes left behind").toBeLessThan(leftBytesMax);
    expect(this.#peak - this.#before, "bytes at the peak").toBeLessThan(PEAK_BYTES_MAX);
  }

  toString(): string {
    const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`;
    return `peak ${mib(this.#peak - this.#before)}, left ${mib(liveBytes() - this.#before)}`;
  }
}
