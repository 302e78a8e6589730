import { AssertionFailure } from "../../base/assert.ts";

/**
 * A broken invariant inside a callback must not be swallowed by whoever called it, libp2p or our own loops:
 * it goes on as an uncaught exception, for the process's last resort. Other errors are the caller's to handle.
 */
export function escalate(error: unknown): void {
  if (!(error instanceof AssertionFailure)) return;
  queueMicrotask(() => {
    throw error;
  });
}
