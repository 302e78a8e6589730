import type { PeerId } from "../../base/ids.ts";
import { SECOND_MS } from "../../base/units.ts";

/** So many a second in the long run, and so many at once after a rest. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** A bucket of tokens that fill at a rate; it lends. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#atMs = nowMs;
  }

  isFull(nowMs: number): boolean {
    return this.#level(nowMs) >= this.#rate.burst;
  }

  /** Takes one; returns in how many milliseconds it will be there. Whoever asks bounds how many wait. */
  borrow(nowMs: number): number {
    this.#tokens = this.#level(nowMs) - 1;
    this.#atMs = nowMs;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate.perSecond) * SECOND_MS;
  }

  /** Takes one if it is there. */
  take(nowMs: number): boolean {
    if (this.#level(nowMs) < 1) return false;
    this.borrow(nowMs);
    return true;
  }

  #level(nowMs: number): number {
    const filled = ((nowMs - this.#atMs) / SECOND_MS) * this.#rate.perSecond;
    return Math.min(this.#rate.burst, this.#tokens + filled);
  }
}

/** Peers of whom a bucket is kept at a time: more than are connected. Full ones are nothing to remember. */
const BUCKETS_MAX = 4096;

/** A bucket for each peer. */
export class PeerBuckets {
  readonly #rate: Rate;
  readonly #buckets = new Map<PeerId, TokenBucket>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  of(peer: PeerId, nowMs: number): TokenBucket {
    const known = this.#buckets.get(peer);
    // Last used, last in the order.
    if (known !== undefined) this.#buckets.delete(peer);
    const bucket = known ?? new TokenBucket(this.#rate, nowMs);
    this.#buckets.set(peer, bucket);
    for (const [other, idle] of this.#buckets) {
      if (this.#buckets.size <= BUCKETS_MAX && !idle.isFull(nowMs)) break;
      if (other === peer) break;
      this.#buckets.delete(other);
    }
    return bucket;
  }

  get size(): number {
    return this.#buckets.size;
  }
}
