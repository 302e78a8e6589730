/** Whether a machine that ports belong to is still on. */
export interface Life {
  isOver: boolean;
}

/**
 * A port of a machine that may lose its power: from then on whoever waits for an answer waits for ever, as in a machine
 * that is off, so that nothing of a node that was thrown away goes on.
 */
export function mortal<T extends object>(port: T, life: Life): T {
  const methods = new Map<PropertyKey, unknown>();
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      const known = methods.get(name);
      if (known !== undefined) return known;
      const method = (...args: unknown[]): unknown => guarded(Reflect.apply(value, target, args), life);
      methods.set(name, method);
      return method;
    },
  });
}

function guarded(result: unknown, life: Life): unknown {
  if (result instanceof Promise) {
    return new Promise((resolve, reject) => {
      result.then(
        (value) => {
          if (!life.isOver) resolve(value);
        },
        (error: unknown) => {
          if (!life.isOver) reject(error);
        },
      );
    });
  }
  if (isAsyncIterable(result)) return guardedScan(result, life);
  return result;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

async function* guardedScan(items: AsyncIterable<unknown>, life: Life): AsyncGenerator<unknown> {
  for await (const item of items) {
    if (life.isOver) await new Promise<never>(() => {});
    yield item;
  }
}
