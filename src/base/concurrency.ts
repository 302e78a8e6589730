import { assert, must } from "./assert.ts";

/** At most `limit` holders at a time; waiters are served in order. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(limit: number) {
    assert(limit >= 1, "a semaphore has at least one place");
    this.#free = limit;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.acquire();
    try {
      return await task();
    } finally {
      this.release();
    }
  }

  async acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

/** A budget in bytes: an amount larger than the whole is let through alone. Served in order. */
export class ByteBudget {
  readonly #waiting: { bytes: number; wake: () => void }[] = [];
  readonly #limit: number;
  #used = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Throws the signal's reason where it comes first: then nothing was taken, and nobody waits behind it. */
  async acquire(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { bytes, wake: resolve };
    this.#waiting.push(waiter);
    const giveUp = (): void => {
      const at = this.#waiting.indexOf(waiter);
      if (at === -1) return;
      this.#waiting.splice(at, 1);
      reject(signal?.reason);
      this.#wakeNext();
    };
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  release(bytes: number): void {
    this.#used -= bytes;
    assert(this.#used >= 0, "no more is released than was acquired");
    this.#wakeNext();
  }

  #wakeNext(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.bytes;
      next.wake();
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#limit;
  }
}

/** Runs tasks of the same key one after the other. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(task, task);
    const settled = mine.then(
      () => {},
      () => {},
    );
    this.#tails.set(key, settled);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === settled) this.#tails.delete(key);
    }
  }
}

/**
 * Calls `task` for every item with at most `limit` under way; results in the order of the items. The first
 * failure is thrown after the tasks under way have ended, and no further one is begun.
 */
export async function mapLimit<T, R>(
  items: readonly T[],
  limit: number,
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  assert(limit >= 1, "at least one task at a time");
  const results: R[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const index = next++;
      try {
        results[index] = await task(items[index] as T, index);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  throwIfFailed(failure);
  return results;
}

// A function of its own: the compiler does not see that the workers assign the variable.
function throwIfFailed(failure: { readonly error: unknown } | undefined): void {
  if (failure !== undefined) throw failure.error;
}

/**
 * Tasks that run beside the caller, at most `limit` at a time. `add` waits for a free place, which is the
 * back-pressure; the first failure is thrown by the next `add` or by `drain`.
 */
export class TaskPool {
  readonly #places: Semaphore;
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(limit: number) {
    this.#places = new Semaphore(limit);
  }

  async add(task: () => Promise<void>): Promise<void> {
    await this.#places.acquire();
    if (this.#failure !== undefined) {
      this.#places.release();
      throw this.#failure.error;
    }
    // A task that throws before its first await gives its place back too.
    const running = (async () => task())()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running.delete(running);
        this.#places.release();
      });
    this.#running.add(running);
  }

  /** Waits for all tasks, then throws the first failure if there was one. */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** First in, first out, with a bound and one consumer: `push` waits while it is full, iteration ends after `close`. */
export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #limit: number;
  readonly #pushers: (() => void)[] = [];
  #puller: (() => void) | undefined;
  #ended: { error?: unknown } | undefined;

  constructor(limit: number) {
    assert(limit >= 1, "a queue holds at least one item");
    this.#limit = limit;
  }

  async push(item: T): Promise<void> {
    while (this.#items.length >= this.#limit && this.#ended === undefined) {
      await new Promise<void>((resolve) => this.#pushers.push(resolve));
    }
    if (this.#ended !== undefined) throw this.#ended.error ?? new Error("the queue is closed");
    this.#items.push(item);
    this.#wakePuller();
  }

  close(error?: unknown): void {
    this.#ended ??= error === undefined ? {} : { error };
    this.#wakePuller();
    for (const wake of this.#pushers.splice(0)) wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        if (this.#items.length > 0) {
          const item = must(this.#items.shift() as T | undefined, "queued item");
          this.#pushers.shift()?.();
          yield item;
        } else if (this.#ended !== undefined) {
          if (this.#ended.error !== undefined) throw this.#ended.error;
          return;
        } else {
          assert(this.#puller === undefined, "a queue has one consumer");
          await new Promise<void>((resolve) => {
            this.#puller = resolve;
          });
        }
      }
    } finally {
      this.close();
    }
  }

  #wakePuller(): void {
    this.#puller?.();
    this.#puller = undefined;
  }
}
