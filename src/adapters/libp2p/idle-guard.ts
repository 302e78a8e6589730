/**
 * Ends an exchange when nothing moves any more, or when the caller no longer wants it. `touch` is called for
 * every piece of data, so it only notes the time; the timer looks at the note when it fires.
 */
export class IdleGuard {
  readonly #controller = new AbortController();
  readonly #idleMs: number;
  readonly #onIdle: () => Error;
  readonly #outer: AbortSignal | undefined;
  readonly #abortOuter: () => void;
  /** Progress that counts besides our own, such as of the peer's other requests while we wait for a place. */
  readonly #elsewhereMs: (() => number) | undefined;
  #lastMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #held = 0;

  constructor(init: {
    idleMs: number;
    onIdle: () => Error;
    signal?: AbortSignal | undefined;
    elsewhereMs?: () => number;
  }) {
    this.#idleMs = init.idleMs;
    this.#onIdle = init.onIdle;
    this.#outer = init.signal;
    this.#elsewhereMs = init.elsewhereMs;
    this.#abortOuter = () => this.abort(init.signal?.reason);
    if (init.signal?.aborted === true) this.abort(init.signal.reason);
    else init.signal?.addEventListener("abort", this.#abortOuter, { once: true });
    this.#arm(this.#idleMs);
  }

  /** Aborted with the caller's reason, or with what `onIdle` made. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  touch(): void {
    this.#lastMs = performance.now();
  }

  /** The time that passes meanwhile is ours, not the peer's. */
  async hold<T>(task: () => Promise<T>): Promise<T> {
    this.#held++;
    try {
      return await task();
    } finally {
      this.#held--;
      this.touch();
    }
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
    this.close();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#abortOuter);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.max(1, Math.ceil(ms)));
  }

  #check(): void {
    const lastMs = Math.max(this.#lastMs, this.#elsewhereMs?.() ?? 0);
    const leftMs = this.#idleMs - (performance.now() - lastMs);
    if (this.#held > 0) this.#arm(this.#idleMs);
    else if (leftMs > 0) this.#arm(leftMs);
    else this.abort(this.#onIdle());
  }
}

/** Waits for `task`, but not longer than until the signal; then `late` undoes what `task` still did. */
export async function raceAbort<T>(
  task: Promise<T>,
  signal: AbortSignal,
  late: (value: T) => void = () => {},
): Promise<T> {
  if (signal.aborted) {
    task.then(late, () => {});
    throw signal.reason;
  }
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([task, aborted]);
  } catch (error) {
    if (signal.aborted) task.then(late, () => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
