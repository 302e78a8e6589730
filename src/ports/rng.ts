/** Randomness as the core sees it: the operating system's in the daemon, seeded in the simulator. */
export interface Rng {
  /** Fit for keys, salts and nonces. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). For choices that need no secrecy: jitter, sampling, shuffling. */
  float(): number;
}

/** Uniform in 0 .. bound-1. */
export function randomInt(rng: Pick<Rng, "float">, bound: number): number {
  return Math.floor(rng.float() * bound);
}

/** Different ones of the items, drawn at random; all of them, shuffled, if there are no more. */
export function sampleOf<T>(rng: Pick<Rng, "float">, items: readonly T[], size: number): T[] {
  const rest = [...items];
  const chosen: T[] = [];
  while (chosen.length < size && rest.length > 0) {
    const [item] = rest.splice(randomInt(rng, rest.length), 1);
    if (item !== undefined) chosen.push(item);
  }
  return chosen;
}
