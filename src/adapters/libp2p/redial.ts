import { messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { type ConnectionBook, NotAdmitted, type OpenConnection } from "./connections.ts";
import type { Libp2pLimits } from "./limits.ts";

export interface RedialInit {
  readonly self: PeerId;
  readonly members: () => readonly PeerId[];
  /** No member itself: it keeps a few connections, to hear of it when it becomes one again. */
  readonly isFormer: () => boolean;
  readonly book: ConnectionBook;
  readonly connect: (peer: PeerId, signal: AbortSignal) => Promise<OpenConnection>;
  readonly limits: Libp2pLimits;
  readonly log: Log;
}

interface Attempts {
  failed: number;
  dueMs: number;
  isUnderWay: boolean;
}

const TICK_MS = 250;
/** Of two members that miss each other, the one with the smaller id dials at once: both would leave two connections. */
const YIELD_MS = 1500;
/** Connections of one that is no member any more. */
const FORMER_CONNECTIONS = 3;
/** Puts the members of a large swarm into an order that is another at every node. */
const SHUFFLE_MS = 100;

/**
 * Connects members to each other and again when a connection is lost: libp2p does neither by itself. Waits
 * double from about a second to half a minute, jittered, so that a power cut does not end in a volley.
 */
export class Redial {
  readonly #init: RedialInit;
  readonly #attempts = new Map<PeerId, Attempts>();
  readonly #stopped = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #underWay = 0;

  constructor(init: RedialInit) {
    this.#init = init;
    init.book.onConnection((peer, connected) => {
      // A peer that just left may be restarting: first look again soon.
      if (connected) this.#attempts.delete(peer);
      else this.#attempts.set(peer, this.#first());
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#stopped.abort(new Error("the node stops"));
  }

  /** News of a peer, such as a new address: it is tried without further waiting. */
  hurry(peer: PeerId): void {
    const attempts = this.#attempts.get(peer);
    if (attempts !== undefined) attempts.dueMs = Math.min(attempts.dueMs, performance.now() + TICK_MS);
  }

  #tick(): void {
    const { limits, book, members, self } = this.#init;
    if (this.#underWay >= limits.redialParallelMax) return;
    const others = members().filter((peer) => peer !== self);
    if (book.connected().length >= this.#wanted(others.length)) return;
    const nowMs = performance.now();
    const due: { peer: PeerId; attempts: Attempts }[] = [];
    for (const peer of others) {
      if (book.isConnected(peer)) continue;
      const attempts = this.#attemptsOf(peer, nowMs);
      if (!attempts.isUnderWay && attempts.dueMs <= nowMs) due.push({ peer, attempts });
    }
    this.#forget(others);
    due.sort((a, b) => a.attempts.dueMs - b.attempts.dueMs);
    for (const { peer, attempts } of due.slice(0, limits.redialParallelMax - this.#underWay)) {
      void this.#try(peer, attempts);
    }
  }

  /** How many connections are enough. */
  #wanted(others: number): number {
    const { limits, isFormer } = this.#init;
    if (isFormer()) return FORMER_CONNECTIONS;
    return others <= limits.meshMembersMax ? Number.POSITIVE_INFINITY : limits.meshConnectionsMin;
  }

  #attemptsOf(peer: PeerId, nowMs: number): Attempts {
    const known = this.#attempts.get(peer);
    if (known !== undefined) return known;
    const yieldMs = this.#init.self < peer ? 0 : YIELD_MS;
    const attempts = { failed: 0, dueMs: nowMs + (yieldMs + SHUFFLE_MS) * Math.random(), isUnderWay: false };
    this.#attempts.set(peer, attempts);
    return attempts;
  }

  #first(): Attempts {
    return {
      failed: 0,
      dueMs: performance.now() + this.#init.limits.redialFirstMs * Math.random(),
      isUnderWay: false,
    };
  }

  async #try(peer: PeerId, attempts: Attempts): Promise<void> {
    const { limits, log } = this.#init;
    attempts.isUnderWay = true;
    this.#underWay++;
    let maxMs = limits.redialMaxMs;
    try {
      await this.#init.connect(peer, this.#stopped.signal);
      attempts.failed = 0;
    } catch (error) {
      maxMs = error instanceof NotAdmitted ? limits.redialRefusedMaxMs : limits.redialMaxMs;
      attempts.failed++;
      // Once per doubling at most, so that a dead peer does not fill the log.
      if ((attempts.failed & (attempts.failed - 1)) === 0) {
        log.debug("dial-failed", { peer, attempts: attempts.failed, reason: messageOf(error) });
      }
    } finally {
      const waitMs = Math.min(maxMs, limits.redialFirstMs * 2 ** Math.min(attempts.failed, 20));
      attempts.dueMs = performance.now() + waitMs * (0.5 + Math.random() * 0.5);
      attempts.isUnderWay = false;
      this.#underWay--;
    }
  }

  /** Who is no longer a member. */
  #forget(others: readonly PeerId[]): void {
    if (this.#attempts.size <= others.length) return;
    const current = new Set(others);
    for (const [peer, attempts] of this.#attempts) {
      if (!current.has(peer) && !attempts.isUnderWay) this.#attempts.delete(peer);
    }
  }
}
