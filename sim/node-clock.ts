import type { Clock } from "../src/ports/clock.ts";
import type { Scheduler } from "./scheduler.ts";

/** When every simulated world begins. */
export const WORLD_BEGINS_MS = Date.UTC(2026, 0, 1);

/** How the clock of one machine is wrong. It outlives the programs that run there. */
export interface ClockError {
  /** Of the time of day. */
  skewMs: number;
  /** 1 is right; 1.001 goes a second in a thousand too fast. */
  rate: number;
}

/**
 * A real clock goes on while a program waits. Added to the time of a long run, less than this may be nothing: whoever waits for the
 * rest of something would wait for ever.
 */
const LEAST_MS = 1e-6;

/** The clock of one machine, as one program there sees it. */
export class NodeClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #error: ClockError;
  readonly #startedMs: number;
  #sleeping = 0;

  constructor(scheduler: Scheduler, error: ClockError = { skewMs: 0, rate: 1 }) {
    this.#scheduler = scheduler;
    this.#error = error;
    this.#startedMs = scheduler.nowMs;
  }

  /** Sleeps under way: none is left after a program ended in good order. */
  get sleeping(): number {
    return this.#sleeping;
  }

  wallMs(): number {
    const { skewMs, rate } = this.#error;
    return WORLD_BEGINS_MS + Math.floor(this.#scheduler.nowMs * rate + skewMs);
  }

  monotonicMs(): number {
    return (this.#scheduler.nowMs - this.#startedMs) * this.#error.rate;
  }

  /** Calls the task after so long, unless what it returns is called before: a sleep for what is ended nearly always. */
  after(ms: number, task: () => void): () => void {
    const timer = this.#scheduler.after(Math.max(ms <= 0 ? 0 : LEAST_MS, ms / this.#error.rate), task);
    return () => this.#scheduler.cancel(timer);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        this.#scheduler.cancel(timer);
        this.#sleeping--;
        reject(signal?.reason);
      };
      const timer = this.#scheduler.after(Math.max(ms <= 0 ? 0 : LEAST_MS, ms / this.#error.rate), () => {
        signal?.removeEventListener("abort", onAbort);
        this.#sleeping--;
        resolve();
      });
      this.#sleeping++;
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
