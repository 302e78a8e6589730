import { isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../base/units.ts";
import type { Roster } from "../membership/index.ts";
import type { Clock, Network } from "../ports/index.ts";
import type { PresenceView } from "../presence/index.ts";
import { lastHeardMs } from "../upkeep/index.ts";
import { UNMET_MAX } from "../wire/membership.ts";

export interface UnmetComponents {
  readonly network: Pick<Network, "self" | "connected" | "onConnection">;
  readonly roster: Pick<Roster, "members" | "onChange">;
  /** Newest that was heard of a member, by its own signature. */
  readonly presence: Pick<PresenceView, "hearings">;
  readonly clock: Pick<Clock, "monotonicMs" | "wallMs">;
  /** Tries to reach a member; throws a fault where it cannot. */
  readonly reach: (peer: PeerId) => Promise<void>;
}

/** So long must a member be out of our reach while others hear it: routers restart, lines are repaired. */
export const UNMET_AFTER_MS = 3 * HOUR_MS;
/** A node tells every 5 min that it is up: one of which nothing was heard for three of them is away, for all we know. */
const HEARD_WITHIN_MS = 15 * MINUTE_MS;
/** After a restart what was so before is so again this soon, unless they meet. */
const AGAIN_AFTER_MS = 10 * MINUTE_MS;
/** One that could not be reached is tried again, in swarms too large for a connection to each. */
const TRY_EVERY_MS = 30 * MINUTE_MS;

interface Missed {
  sinceMs: number;
  triedMs: number;
  isOutOfReach: boolean;
}

/**
 * Which members this node cannot reach although they are alive: their signed status still comes, by way of others. It
 * says so in its own status, so that owners do not put the two into one row: they could not repair it for each other.
 */
export class UnmetPeers {
  readonly #c: UnmetComponents;
  readonly #missed = new Map<PeerId, Missed>();
  readonly #unsubscribe: (() => void)[];
  /** Who is missed was looked at since connections or the roster last changed: in a large swarm that is looking at everybody. */
  #isCurrent = false;

  /** `before` is what this node said last before it was started. */
  constructor(components: UnmetComponents, before: readonly PeerId[]) {
    this.#c = components;
    const nowMs = components.clock.monotonicMs();
    for (const peer of before) {
      const sinceMs = nowMs - UNMET_AFTER_MS + AGAIN_AFTER_MS;
      this.#missed.set(peer, { sinceMs, triedMs: Number.NEGATIVE_INFINITY, isOutOfReach: false });
    }
    this.#unsubscribe = [
      components.network.onConnection((peer) => {
        this.#missed.delete(peer);
        this.#isCurrent = false;
      }),
      components.roster.onChange(() => {
        this.#isCurrent = false;
      }),
    ];
  }

  stop(): void {
    for (const end of this.#unsubscribe) end();
  }

  /** The longest missed first. */
  list(): PeerId[] {
    return [...this.#missed]
      .filter(([peer, missed]) => missed.isOutOfReach && this.#isHeard(peer))
      .sort(([, a], [, b]) => a.sinceMs - b.sinceMs)
      .slice(0, UNMET_MAX)
      .map(([peer]) => peer);
  }

  /** To be called every few seconds; tries at most one member. */
  async review(): Promise<void> {
    const nowMs = this.#c.clock.monotonicMs();
    if (!this.#isCurrent) this.#lookForMissed(nowMs);
    const due = [...this.#missed]
      .filter(([peer, { sinceMs }]) => nowMs - sinceMs >= UNMET_AFTER_MS && this.#isHeard(peer))
      .filter(([, { triedMs }]) => nowMs - triedMs >= TRY_EVERY_MS)
      .sort(([, a], [, b]) => a.triedMs - b.triedMs || a.sinceMs - b.sinceMs)[0];
    if (due !== undefined) await this.#try(...due);
  }

  #lookForMissed(nowMs: number): void {
    const { network, roster } = this.#c;
    this.#isCurrent = true;
    const connected = new Set(network.connected());
    const members = new Set(roster.members().map(({ peer }) => peer));
    for (const peer of this.#missed.keys()) if (!members.has(peer)) this.#missed.delete(peer);
    for (const peer of members) {
      if (peer === network.self || connected.has(peer)) this.#missed.delete(peer);
      else if (!this.#missed.has(peer)) {
        this.#missed.set(peer, { sinceMs: nowMs, triedMs: Number.NEGATIVE_INFINITY, isOutOfReach: false });
      }
    }
  }

  async #try(peer: PeerId, missed: Missed): Promise<void> {
    missed.triedMs = this.#c.clock.monotonicMs();
    try {
      await this.#c.reach(peer);
      this.#missed.delete(peer);
      this.#isCurrent = false;
    } catch (error) {
      if (!isFault(error)) throw error;
      // Any answer at all, a refusal too, came over a connection.
      missed.isOutOfReach = isFault(error, "PEER_UNREACHABLE", "PEER_TIMEOUT");
    }
  }

  #isHeard(peer: PeerId): boolean {
    const heardMs = lastHeardMs(this.#c.presence.hearings(peer));
    return heardMs !== undefined && this.#c.clock.wallMs() - heardMs <= HEARD_WITHIN_MS;
  }
}
