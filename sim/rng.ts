import { assert } from "../src/base/assert.ts";
import { utf8 } from "../src/base/bytes.ts";
import { sha256 } from "../src/crypto/hash.ts";
import type { Rng } from "../src/ports/rng.ts";

/**
 * Randomness from a seed (sfc32, 128 bits of state): the same seed gives the same sequence everywhere. Each
 * concern takes a fork of its own, so that drawing more in one does not reshuffle the others.
 */
export class SeededRng implements Rng {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: string | number) {
    this.#seed = String(seed);
    const digest = sha256(utf8(this.#seed));
    const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
    this.#a = view.getInt32(0);
    this.#b = view.getInt32(4);
    this.#c = view.getInt32(8);
    this.#counter = view.getInt32(12);
  }

  /** An independent sequence that depends on seed and name alone, not on what was drawn so far. */
  fork(name: string): SeededRng {
    return new SeededRng(`${this.#seed}/${name}`);
  }

  /** Uniform in 0 .. 2^32-1. */
  uint32(): number {
    const mixed = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + mixed) | 0;
    return mixed >>> 0;
  }

  float(): number {
    // 53 bits, as many as a number between 0 and 1 can tell apart.
    return ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    const view = new DataView(out.buffer);
    let at = 0;
    for (; at + 4 <= length; at += 4) view.setUint32(at, this.uint32());
    for (let rest = at < length ? this.uint32() : 0; at < length; at++, rest >>>= 8) out[at] = rest & 0xff;
    return out;
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** Uniform in 0 .. bound-1. */
  below(bound: number): number {
    assert(bound >= 1, "there is something to choose from");
    return Math.floor(this.float() * bound);
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    assert(item !== undefined, "the items have no gaps");
    return item;
  }

  /** A new array in random order. */
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let last = out.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [out[last], out[other]] = [out[other] as T, out[last] as T];
    }
    return out;
  }
}
