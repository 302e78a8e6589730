import { assert } from "../../base/assert.ts";
import { ByteBudget } from "../../base/concurrency.ts";
import type { PeerId } from "../../base/ids.ts";
import { acquireBytesWithin } from "./waiting.ts";

export interface SharedBytesInit {
  /** All peers together. */
  readonly bytesMax: number;
  /** One of them; what is left to the others takes at least one message of the largest size. */
  readonly bytesPerPeerMax: number;
  /** How long one waits for its own share while nothing moves, and again for the whole. */
  readonly waitMs: number;
}

/** What was taken; `release` gives back what is left of it, once. */
export interface TakenBytes {
  shrinkTo(bytes: number): void;
  release(): void;
}

interface Share {
  readonly budget: ByteBudget;
  users: number;
  movedMs: number;
}

/**
 * Memory for messages, taken before there is anything of them: so much of all peers together, so much of one. Whoever
 * waits behind its own messages waits as long as some of them move, as on a slow link; that costs nobody else anything.
 * An amount larger than share or whole is let through alone.
 */
export class SharedBytes {
  readonly #init: SharedBytesInit;
  readonly #whole: ByteBudget;
  readonly #shares = new Map<PeerId, Share>();

  constructor(init: SharedBytesInit) {
    this.#init = init;
    this.#whole = new ByteBudget(init.bytesMax);
  }

  get usedBytes(): number {
    return this.#whole.usedBytes;
  }

  /** Something came from this peer, or went to it. */
  moved(peer: PeerId): void {
    const share = this.#shares.get(peer);
    if (share !== undefined) share.movedMs = performance.now();
  }

  /** `undefined` when there was no room in time. Throws the signal's reason. */
  async take(peer: PeerId, bytes: number, signal: AbortSignal): Promise<TakenBytes | undefined> {
    if (bytes === 0) return NOTHING;
    const { waitMs } = this.#init;
    const share = this.#enter(peer);
    const patience = { waitMs, movedMs: () => share.movedMs };
    let hasShare = false;
    let hasAll = false;
    try {
      hasShare = await acquireBytesWithin(share.budget, bytes, patience, signal);
      hasAll = hasShare && (await acquireBytesWithin(this.#whole, bytes, { waitMs }, signal));
    } finally {
      if (hasShare && !hasAll) share.budget.release(bytes);
      if (!hasAll) this.#leave(peer, share);
    }
    return hasAll ? this.#taken(peer, share, bytes) : undefined;
  }

  #taken(peer: PeerId, share: Share, takenBytes: number): TakenBytes {
    let bytes = takenBytes;
    const shrinkTo = (lessBytes: number): void => {
      assert(lessBytes <= bytes, "what was taken does not grow");
      this.#whole.release(bytes - lessBytes);
      share.budget.release(bytes - lessBytes);
      bytes = lessBytes;
    };
    const release = (): void => {
      shrinkTo(0);
      this.#leave(peer, share);
    };
    return { shrinkTo, release };
  }

  #enter(peer: PeerId): Share {
    const share = this.#shares.get(peer) ?? {
      budget: new ByteBudget(this.#init.bytesPerPeerMax),
      users: 0,
      movedMs: 0,
    };
    this.#shares.set(peer, share);
    share.users++;
    return share;
  }

  #leave(peer: PeerId, share: Share): void {
    if (--share.users === 0) this.#shares.delete(peer);
  }
}

const NOTHING: TakenBytes = { shrinkTo: () => {}, release: () => {} };
