import type { ProgressEvent } from "./results.ts";

/** Warnings beyond these are in the result only. */
const WARNINGS_MAX = 1000;

/**
 * Progress between a handler that must not wait and a reader that may be slow: the newest progress replaces
 * the one not yet taken, warnings are kept in order up to a bound.
 */
export class ProgressMailbox {
  #newest: ProgressEvent | undefined;
  #warnings: ProgressEvent[] = [];
  #wake: (() => void) | undefined;

  post(event: ProgressEvent): void {
    if (event.type === "progress") this.#newest = event;
    else if (this.#warnings.length < WARNINGS_MAX) this.#warnings.push(event);
    this.wake();
  }

  take(): ProgressEvent[] {
    const taken = this.#newest === undefined ? this.#warnings : [...this.#warnings, this.#newest];
    this.#warnings = [];
    this.#newest = undefined;
    return taken;
  }

  /** Has `arrival` resolve although nothing came. */
  wake(): void {
    this.#wake?.();
  }

  /** Resolves at the next `post` or `wake`, or at once if something waits. One waiter at a time. */
  arrival(): Promise<void> {
    if (this.#newest !== undefined || this.#warnings.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
