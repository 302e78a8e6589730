/**
 * The program that runs on a simulated machine, from its start to its end. Whatever reaches it from outside (the answer of
 * a port, a request, a change of a connection) passes here: while the process is paused it waits, and after its end it
 * never arrives, so that nothing of a node that was thrown away goes on.
 */
export class SimProcess {
  #state: "running" | "paused" | "over" = "running";
  /** What arrived while it was paused, in its order. */
  #held: (() => void)[] = [];

  get isOver(): boolean {
    return this.#state === "over";
  }

  get isPaused(): boolean {
    return this.#state === "paused";
  }

  /** As SIGSTOP does. */
  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    for (const arrive of this.#held.splice(0)) arrive();
  }

  end(): void {
    this.#state = "over";
    this.#held = [];
  }

  /** Lets something arrive: now, when the process goes on, or never. */
  arrive(task: () => void): void {
    if (this.#state === "running") task();
    else if (this.#state === "paused") this.#held.push(task);
  }

  /** What the process sees of something that goes on outside of it. */
  seen<T>(outside: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      outside.then(
        (value) => this.arrive(() => resolve(value)),
        (error: unknown) => this.arrive(() => reject(error)),
      );
    });
  }

  /** A port as the process has it. */
  port<T extends object>(port: T): T {
    const methods = new Map<PropertyKey, unknown>();
    return new Proxy(port, {
      get: (target, name) => {
        const known = methods.get(name);
        if (known !== undefined) return known;
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        const method = (...args: unknown[]): unknown => this.#result(Reflect.apply(value, target, args));
        methods.set(name, method);
        return method;
      },
    });
  }

  #result(result: unknown): unknown {
    if (result instanceof Promise) return this.seen(result);
    if (isAsyncIterable(result)) return this.#scan(result);
    return result;
  }

  async *#scan(items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    const iterator = items[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.seen(iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
