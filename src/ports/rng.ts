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
