import { assert, must } from "../src/base/assert.ts";
import type { Clock } from "../src/ports/clock.ts";

interface Sleeper {
  readonly wakeAtMs: number;
  /** Order of going to sleep: decides between those that wake at the same time. */
  readonly sequence: number;
  wake: () => void;
}

/** Rounds of promise callbacks after a sleeper was woken; a chain of more awaits than that is not followed. */
const SETTLE_ROUNDS = 200;

/**
 * Time that stands still until somebody advances it. Sleepers wake one after the other, in order of time, then
 * of going to sleep; what each does, as far as it waits for nothing but promises, is done before the next wakes.
 */
export class VirtualClock implements Clock {
  readonly #wallAtStartMs: number;
  #nowMs = 0;
  #sequence = 0;
  /** A binary heap, the earliest first. */
  readonly #sleepers: Sleeper[] = [];

  /** @param wallAtStartMs what `wallMs` says at first; 2026-01-01 unless told. */
  constructor(wallAtStartMs = Date.UTC(2026, 0, 1)) {
    this.#wallAtStartMs = wallAtStartMs;
  }

  wallMs(): number {
    return this.#wallAtStartMs + Math.floor(this.#nowMs);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** When the next sleeper wakes; `undefined` when all are awake. */
  nextWakeMs(): number | undefined {
    return this.#sleepers[0]?.wakeAtMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        // It stays in the heap until its time: waking it then does nothing.
        sleeper.wake = () => {};
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        wakeAtMs: this.#nowMs + Math.max(0, ms),
        sequence: this.#sequence++,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#push(sleeper);
    });
  }

  /** Lets so much time pass; also wakes those that go to sleep meanwhile and are due before its end. */
  async advance(ms: number): Promise<void> {
    assert(ms >= 0, "time does not go back");
    const endMs = this.#nowMs + ms;
    await settlePromises();
    for (let next = this.nextWakeMs(); next !== undefined && next <= endMs; next = this.nextWakeMs()) {
      this.#nowMs = next;
      this.#pop().wake();
      await settlePromises();
    }
    this.#nowMs = endMs;
  }

  /** Advances until the promise settles, at most so long; then fails. */
  async until<T>(promise: Promise<T>, withinMs: number): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    const endMs = this.#nowMs + withinMs;
    await settlePromises();
    while (!settled) {
      const next = this.nextWakeMs();
      if (next === undefined || next > endMs) throw new Error(`nothing happened within ${withinMs} ms`);
      await this.advance(next - this.#nowMs);
    }
    return promise;
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#sleepers;
    let at = heap.length;
    heap.push(sleeper);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!earlier(sleeper, must(heap[above], "sleeper"))) break;
      heap[at] = must(heap[above], "sleeper");
      at = above;
    }
    heap[at] = sleeper;
  }

  #pop(): Sleeper {
    const heap = this.#sleepers;
    const first = must(heap[0], "sleeper");
    const last = must(heap.pop(), "sleeper");
    if (heap.length === 0) return first;
    let at = 0;
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      const right = heap[below + 1];
      if (right !== undefined && earlier(right, must(heap[below], "sleeper"))) below++;
      const child = must(heap[below], "sleeper");
      if (!earlier(child, last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function earlier(a: Sleeper, b: Sleeper): boolean {
  return a.wakeAtMs < b.wakeAtMs || (a.wakeAtMs === b.wakeAtMs && a.sequence < b.sequence);
}

async function settlePromises(): Promise<void> {
  for (let round = 0; round < SETTLE_ROUNDS; round++) await undefined;
}
