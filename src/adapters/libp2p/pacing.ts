import { setTimeout as delay } from "node:timers/promises";
import type { PeerId } from "../../base/ids.ts";
import type { Crowd } from "./crowds.ts";
import type { Libp2pLimits } from "./limits.ts";
import { PeerBuckets, TokenBucket } from "./pace.ts";

/**
 * How fast requests are served, whatever they are. A request that has a place and comes too fast waits in it: an honest
 * peer, which has fewer under way than there are places, is slowed down and never refused. What has no place is refused, and
 * that too costs something: so it is counted.
 */
export class Pacing {
  readonly #served: PeerBuckets;
  readonly #servedOf: Readonly<Record<Crowd, TokenBucket>>;
  readonly #refused: PeerBuckets;

  constructor(limits: Libp2pLimits) {
    const nowMs = performance.now();
    const others = (): TokenBucket => new TokenBucket(limits.requestRateOthers, nowMs);
    this.#served = new PeerBuckets(limits.requestRatePerPeer);
    this.#servedOf = {
      members: new TokenBucket(limits.requestRateMembers, nowMs),
      joiners: others(),
      recoverers: others(),
      formers: others(),
    };
    this.#refused = new PeerBuckets(limits.refusalRatePerPeer);
  }

  /** Nobody waits long: there are so few places that what all of them borrow comes within a second. */
  async itsTurn(peer: PeerId, crowd: Crowd, signal: AbortSignal): Promise<void> {
    const nowMs = performance.now();
    const waitMs = Math.max(this.#served.of(peer, nowMs).borrow(nowMs), this.#servedOf[crowd].borrow(nowMs));
    if (waitMs > 0) await delay(waitMs, undefined, { signal });
  }

  /** False for one that was refused without end: it is not worth an answer. */
  mayBeRefused(peer: PeerId): boolean {
    const nowMs = performance.now();
    return this.#refused.of(peer, nowMs).take(nowMs);
  }
}
