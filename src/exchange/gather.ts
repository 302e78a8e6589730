import { must } from "../base/assert.ts";
import { MINUTE_MS, SECOND_MS } from "../base/units.ts";
import type { Clock } from "../ports/index.ts";

export interface GatherJob<T> {
  /** Shards that would spare a rebuild. */
  readonly wanted: readonly number[];
  /** So many of any shards do as well. */
  readonly need: number;
  /** Every shard that somebody holds, best first. */
  readonly indexes: readonly number[];
  /** `undefined`: it could not be had. Never rejects for a peer's doing. */
  readonly fetch: (index: number, signal: AbortSignal) => Promise<T | undefined>;
  /** Asked last: they are not likely to answer soon. A wanted one among them is not waited for. */
  readonly shunned?: ReadonlySet<number>;
  /** Told of each shard that is so slow that others are asked for beside it. */
  readonly onSlow?: (index: number) => void;
  readonly clock: Clock;
  /** What one fetch brings. @default 0 */
  readonly bytes?: number;
  readonly signal?: AbortSignal;
}

export interface Gathering<T> {
  readonly have: ReadonlyMap<number, T>;
  /** All wanted ones, or `need` of any. */
  readonly complete: boolean;
}

/** How long the first answers may take before further shards are asked for beside them, whatever their size. */
const HEDGE_FIRST_MS = 3 * SECOND_MS;
/** And so much longer for what is asked for: 4 Mbit/s, a slow uplink at work, is no reason to ask elsewhere. */
const HEDGE_BYTES_PER_MS = 500;
const HEDGE_MAX_MS = MINUTE_MS;

/**
 * Asks for the wanted shards, and for others as soon as one of them fails or all are slow (a hedge), until all wanted
 * or any `need` are there. What is still under way then is aborted.
 */
export async function gather<T>(job: GatherJob<T>): Promise<Gathering<T>> {
  const have = new Map<number, T>();
  const stop = new AbortController();
  const abort = (): void => stop.abort(job.signal?.reason);
  job.signal?.addEventListener("abort", abort, { once: true });
  const running = new Map<number, Promise<void>>();
  const isShunned = (index: number): boolean => job.shunned?.has(index) === true;
  const untried = [...job.indexes.filter((index) => !isShunned(index)), ...job.indexes.filter(isShunned)];
  let failure: { error: unknown } | undefined;

  const isComplete = (): boolean => have.size >= job.need || job.wanted.every((index) => have.has(index));
  const start = (index: number): void => {
    untried.splice(untried.indexOf(index), 1);
    const task = job
      .fetch(index, stop.signal)
      .then(
        (value) => {
          if (value !== undefined) have.set(index, value);
        },
        (error: unknown) => {
          failure ??= { error };
        },
      )
      .finally(() => running.delete(index));
    running.set(index, task);
  };
  /** As many under way as still make it complete: the wanted ones while all of them may come, else `need`. */
  const topUp = (): void => {
    const wantedAlive = job.wanted.every(
      (index) => have.has(index) || running.has(index) || (untried.includes(index) && !isShunned(index)),
    );
    if (wantedAlive) for (const index of job.wanted) if (untried.includes(index)) start(index);
    if (wantedAlive) return;
    while (have.size + running.size < job.need && untried[0] !== undefined) start(untried[0]);
  };

  try {
    let hedgeMs = HEDGE_FIRST_MS + (job.bytes ?? 0) / HEDGE_BYTES_PER_MS;
    topUp();
    while (!isComplete() && failure === undefined) {
      job.signal?.throwIfAborted();
      if (running.size === 0) break;
      const timer = new AbortController();
      const slow = job.clock.sleep(hedgeMs, timer.signal).then(
        () => true,
        () => false,
      );
      const hedge = await Promise.race([
        slow,
        ...[...running.values()].map((task) => task.then(() => false)),
      ]);
      timer.abort();
      if (hedge) for (const index of running.keys()) job.onSlow?.(index);
      if (hedge && untried[0] !== undefined) {
        // As many as make one slow shard superfluous: to spare a single one, that is a whole set of k others.
        do start(must(untried[0], "untried shard"));
        while (have.size + running.size <= job.need && untried.length > 0);
        hedgeMs = Math.min(hedgeMs * 2, Math.max(hedgeMs, HEDGE_MAX_MS));
      }
      topUp();
    }
  } finally {
    job.signal?.removeEventListener("abort", abort);
    stop.abort();
  }
  job.signal?.throwIfAborted();
  if (failure !== undefined) throw failure.error;
  return { have, complete: isComplete() };
}
