import type { Clock } from "../../src/ports/clock.ts";

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

/** Turns of the event loop in which nothing may be left to do before time is skipped. */
const QUIET_TURNS = 20;
/** Work on real files comes back from other threads: so long is waited for it before time is skipped. */
const QUIET_REAL_MS = 15;

/**
 * The real time of day plus what a test has skipped, because file times are real. Sleepers wake only when the test
 * skips time, so that nothing depends on how fast this machine is.
 */
export class SteeredClock implements Clock {
  readonly #startMs = Date.now();
  #skippedMs = 0;
  readonly #sleepers = new Set<Sleeper>();

  wallMs(): number {
    return Date.now() + Math.floor(this.#skippedMs);
  }

  monotonicMs(): number {
    return this.wallMs() - this.#startMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const onAbort = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      const sleeper = {
        atMs: this.wallMs() + ms,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Lets so much time pass; sleepers wake one after the other. */
  async advance(ms: number): Promise<void> {
    const endMs = this.wallMs() + ms;
    for (let next = this.#next(); next !== undefined && next.atMs <= endMs; next = this.#next()) {
      this.#wake(next);
      await quiet();
    }
    this.#skippedMs += Math.max(0, endMs - this.wallMs());
    await quiet();
  }

  /** So much time is gone at once, as after a suspended machine: every sleeper that was due meanwhile wakes once. */
  async jump(ms: number): Promise<void> {
    const due = [...this.#sleepers].filter(({ atMs }) => atMs <= this.wallMs() + ms);
    this.#skippedMs += ms;
    for (const sleeper of due.sort((a, b) => a.atMs - b.atMs)) {
      if (this.#sleepers.has(sleeper)) this.#wake(sleeper);
      await quiet();
    }
  }

  /** Skips whatever is slept for until the promise settles; fails when that would take longer than `withinMs`. */
  async during<T>(promise: Promise<T>, withinMs = 600_000): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    const endMs = this.#skippedMs + withinMs;
    while (!settled) {
      const from = performance.now();
      while (!settled && performance.now() - from < QUIET_REAL_MS) await quiet();
      const next = this.#next();
      if (settled) break;
      if (next === undefined) continue;
      if (this.#skippedMs > endMs) throw new Error(`nothing came of it within ${withinMs} ms`);
      this.#wake(next);
    }
    return promise;
  }

  #next(): Sleeper | undefined {
    let first: Sleeper | undefined;
    for (const sleeper of this.#sleepers)
      if (first === undefined || sleeper.atMs < first.atMs) first = sleeper;
    return first;
  }

  #wake(sleeper: Sleeper): void {
    this.#skippedMs += Math.max(0, sleeper.atMs - this.wallMs());
    this.#sleepers.delete(sleeper);
    sleeper.wake();
  }
}

/** Lets everything that waits for promises alone go on. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < QUIET_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
}
