import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock } from "../ports/clock.ts";
import type { Rng } from "../ports/rng.ts";

/** A timer of Node takes a signed 32-bit number of milliseconds; a longer sleep is made of several. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The machine's clock. `monotonicMs` counts from the start of the process and is not adjusted. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    const wakeAtMs = performance.now() + ms;
    for (let restMs = ms; ; restMs = wakeAtMs - performance.now()) {
      // A timer may fire up to a millisecond early by this clock: `sleep` never does.
      await timer(Math.min(Math.max(0, Math.ceil(restMs)), TIMER_MS_MAX), signal);
      if (performance.now() >= wakeAtMs) return;
    }
  },
};

function timer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Randomness of the operating system; `float` is the engine's generator, which is no secret. */
export const systemRng: Rng = {
  bytes: (length) => randomBytes(length),
  float: () => Math.random(),
};
