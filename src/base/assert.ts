/**
 * A broken rule of our own code, as opposed to a `Fault`, which is the world's doing. Nobody catches it:
 * going on with a state that cannot be would risk somebody's data.
 */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

export function assert(holds: boolean, what: string): asserts holds {
  if (!holds) throw new AssertionFailure(what);
}

/** The value, where the code around it has already made sure that there is one. */
export function must<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionFailure(`${what} is missing`);
  return value;
}

/** Makes the compiler refuse a `switch` that forgot a case. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unexpected value: ${JSON.stringify(value)}`);
}
