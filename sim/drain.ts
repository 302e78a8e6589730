/**
 * Lets everything that waits for promises alone go on until nothing of it is left, within one call. Node does this itself
 * between two callbacks of its event loop, by a function that is not documented; where it is not there, or does not do it,
 * turns of the event loop take its place, at several times the cost and with the same result.
 */
export type Drain =
  | { readonly kind: "at-once"; readonly drain: () => void }
  | { readonly kind: "by-turns"; readonly drain: () => Promise<void> };

/** Taken now: the determinism guard puts something else in its place. */
const nextTurn = setImmediate;

/** Must have been passed by the self-test within one call: about what a request through several layers waits for. */
const AWAITS_TESTED = 50;

/** Looks what this Node can do. */
export async function chooseDrain(prefer: "at-once" | "by-turns" = "at-once"): Promise<Drain> {
  // A checkpoint within a microtask does nothing, and this function goes on in one after an `await`.
  const atOnce = await new Promise<(() => void) | undefined>((resolve) => {
    nextTurn(() => resolve(prefer === "at-once" ? workingTick() : undefined));
  });
  if (atOnce !== undefined) return { kind: "at-once", drain: atOnce };
  return { kind: "by-turns", drain: () => new Promise((resolve) => void nextTurn(resolve)) };
}

/** Runs the task from the event loop itself, where a drain works. */
export function fromEventLoop(task: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    nextTurn(() => {
      try {
        task();
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
}

function workingTick(): (() => void) | undefined {
  const tick: unknown = Reflect.get(process, "_tickCallback");
  if (typeof tick !== "function") return undefined;
  const drain = (): void => void Reflect.apply(tick, process, []);
  let passed = 0;
  const pass = async (): Promise<void> => {
    for (; passed < AWAITS_TESTED; passed++) await undefined;
  };
  void pass();
  drain();
  return passed === AWAITS_TESTED ? drain : undefined;
}
