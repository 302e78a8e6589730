import type { ByteBudget, Semaphore } from "../../base/concurrency.ts";
import { raceAbort } from "./idle-guard.ts";

/** A place in the semaphore, or the signal's reason; a place that comes too late goes to the next. */
export async function acquirePlace(places: Semaphore, signal: AbortSignal): Promise<void> {
  await raceAbort(places.acquire(), signal, () => places.release());
}

export async function acquireBytes(budget: ByteBudget, bytes: number, signal: AbortSignal): Promise<void> {
  await raceAbort(budget.acquire(bytes), signal, () => budget.release(bytes));
}

/** Whether the bytes were to be had within the time. Throws the signal's reason. */
export async function acquireBytesWithin(
  budget: ByteBudget,
  bytes: number,
  waitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), waitMs);
  try {
    await acquireBytes(budget, bytes, AbortSignal.any([signal, limit.signal]));
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (limit.signal.aborted) return false;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Bytes that exist already and are counted as they come and go; `below` waits until there are few enough. */
export class ByteGauge {
  readonly #limitBytes: number;
  readonly #waiting = new Set<() => void>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < this.#limitBytes) for (const wake of this.#waiting) wake();
  }

  /** Whether there were few enough within the time. */
  async below(waitMs: number): Promise<boolean> {
    if (this.#bytes < this.#limitBytes) return true;
    return await new Promise<boolean>((resolve) => {
      const settle = (isBelow: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(isBelow);
      };
      const wake = (): void => settle(true);
      const timer = setTimeout(() => settle(false), waitMs);
      this.#waiting.add(wake);
    });
  }
}
