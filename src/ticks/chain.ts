import { assert } from "../base/assert.ts";
import { utf8 } from "../base/bytes.ts";
import { sha256 } from "../crypto/hash.ts";
import { TICK_BYTES } from "../wire/ticks.ts";

const DOMAIN = utf8("cairn/1/tick\0");

/** The value before, in the order in which they are told: whoever has one can make all earlier ones, and no later one. */
export function tickBefore(signer: Uint8Array, value: Uint8Array): Uint8Array {
  return sha256(DOMAIN, signer, value).subarray(0, TICK_BYTES);
}

/** A node's values for as many beats: the anchor goes, signed, into its status, the others are told one by one. */
export class OwnChain {
  /** Position 0 is the anchor. */
  readonly #values: readonly Uint8Array[];

  constructor(signer: Uint8Array, seed: Uint8Array, count: number) {
    assert(seed.length === TICK_BYTES && count >= 1, "a chain has a seed and a length");
    const values = [seed];
    for (let value = seed; values.length <= count; values.push(value)) value = tickBefore(signer, value);
    this.#values = values.reverse();
  }

  get anchor(): Uint8Array {
    return this.at(0);
  }

  at(index: number): Uint8Array {
    const value = this.#values[index];
    assert(value !== undefined, "a chain has no such position");
    return value;
  }
}
