import type { ByteBudget, Semaphore } from "../../base/concurrency.ts";
import { IdleGuard, raceAbort } from "./idle-guard.ts";

/** A place in the semaphore, or the signal's reason; a place that comes too late goes to the next. */
export async function acquirePlace(places: Semaphore, signal: AbortSignal): Promise<void> {
  await raceAbort(places.acquire(), signal, () => places.release());
}

/**
 * Whether the bytes were to be had before the wait was over: `waitMs` after it began, or after something last moved
 * (by `performance.now()`). Throws the signal's reason.
 */
export async function acquireBytesWithin(
  budget: ByteBudget,
  bytes: number,
  patience: { readonly waitMs: number; readonly movedMs?: () => number },
  signal: AbortSignal,
): Promise<boolean> {
  const guard = new IdleGuard({
    idleMs: patience.waitMs,
    onIdle: () => new Error("no room in time"),
    signal,
    ...(patience.movedMs === undefined ? {} : { elsewhereMs: patience.movedMs }),
  });
  try {
    await budget.acquire(bytes, guard.signal);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (guard.signal.aborted) return false;
    throw error;
  } finally {
    guard.close();
  }
}
