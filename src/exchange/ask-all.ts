import { isFault } from "../base/fault.ts";
import { SECOND_MS } from "../base/units.ts";
import type { Clock } from "../ports/index.ts";

/** Once more than half have answered, the others have so long still, and never less than the half took. */
export const PATIENCE_MS = 3 * SECOND_MS;

export interface Asked<P> {
  /** Not waited for: they may answer later, or never. */
  readonly late: readonly P[];
}

/**
 * Asks all of these peers at once, and waits for all that are prompt: one that hangs costs the others seconds, not its
 * time-out. `ask` resolves with whether the peer answered, and does not reject for a peer's doing. What is late goes on
 * beside what follows; a bug in it is still thrown.
 */
export async function askAll<P>(
  peers: readonly P[],
  ask: (peer: P) => Promise<boolean>,
  { clock, signal }: { readonly clock: Pick<Clock, "monotonicMs" | "sleep">; readonly signal?: AbortSignal },
): Promise<Asked<P>> {
  const waiting = new Set(peers);
  const half = Promise.withResolvers<void>();
  const beganMs = clock.monotonicMs();
  let answered = 0;
  const asking = peers.map(async (peer) => {
    const hasAnswered = await ask(peer);
    waiting.delete(peer);
    if (hasAnswered && ++answered * 2 > peers.length) half.resolve();
  });
  const all = Promise.all(asking).then(() => {});
  const timer = new AbortController();
  const patience = half.promise.then(async () => {
    const waitMs = Math.max(PATIENCE_MS, clock.monotonicMs() - beganMs);
    await clock.sleep(waitMs, timer.signal).catch(() => {});
  });
  try {
    await Promise.race([all, patience]);
  } finally {
    timer.abort();
  }
  signal?.throwIfAborted();
  all.catch((error: unknown) => {
    if (signal?.aborted !== true && !isFault(error, "INTERRUPTED")) throw error;
  });
  return { late: [...waiting] };
}
