import { Fault } from "../base/fault.ts";
import type { Clock } from "../ports/index.ts";

/**
 * `op`, but no longer than `afterMs`: then its signal is aborted and `PEER_TIMEOUT` thrown, even if `op` takes no notice.
 * An abort of `outer` ends it too.
 */
export async function within<T>(
  clock: Pick<Clock, "sleep">,
  { peer, afterMs, outer }: { peer: string; afterMs: number; outer?: AbortSignal | undefined },
  op: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const done = new AbortController();
  const signal = outer === undefined ? stop.signal : AbortSignal.any([stop.signal, outer]);
  signal.throwIfAborted();
  const ended = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true, signal: done.signal });
  });
  clock.sleep(afterMs, done.signal).then(
    () => stop.abort(new Fault({ code: "PEER_TIMEOUT", peer, afterMs })),
    () => {},
  );
  try {
    return await Promise.race([op(signal), ended]);
  } finally {
    done.abort();
  }
}
