import { must } from "../base/assert.ts";
import type { PeerId } from "../base/ids.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { Clock } from "../ports/index.ts";
import type { GatherJob } from "./gather.ts";

/** The first time it is asked last for so long; each time it is silent again for twice as long. */
const FIRST_MS = MINUTE_MS;
const LONGEST_MS = 16 * MINUTE_MS;
/** More than anybody's pool; beyond that the one noted first is forgotten. */
const PEERS_MAX = 1024;

/**
 * Peers that left a request without an answer until others were asked in their place. They are asked last for a while,
 * so that a hung one costs the wait once and not again for everything it holds. Any answer ends that at once; without
 * one it ends by itself, and the peer is tried like any other.
 */
export class SilentPeers {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #noted = new Map<PeerId, { readonly untilMs: number; readonly forMs: number }>();

  constructor(components: { clock: Pick<Clock, "monotonicMs"> }) {
    this.#clock = components.clock;
  }

  has(peer: PeerId): boolean {
    return (this.#noted.get(peer)?.untilMs ?? 0) > this.#clock.monotonicMs();
  }

  note(peer: PeerId): void {
    // Several requests that wait for one peer are one silence.
    if (this.has(peer)) return;
    const before = this.#noted.get(peer);
    const forMs = before === undefined ? FIRST_MS : Math.min(LONGEST_MS, before.forMs * 2);
    this.#noted.delete(peer);
    this.#noted.set(peer, { untilMs: this.#clock.monotonicMs() + forMs, forMs });
    const [oldest] = this.#noted.keys();
    if (this.#noted.size > PEERS_MAX && oldest !== undefined) this.#noted.delete(oldest);
  }

  answered(peer: PeerId): void {
    this.#noted.delete(peer);
  }

  /** For gathering shards from these holders: who is asked last, as long as `need` others are there, and who turns out slow. */
  among(holders: ReadonlyMap<number, PeerId>, need: number): Pick<GatherJob<unknown>, "shunned" | "onSlow"> {
    const shunned = new Set([...holders].flatMap(([index, peer]) => (this.has(peer) ? [index] : [])));
    return {
      ...(holders.size - shunned.size >= need ? { shunned } : {}),
      onSlow: (index) => this.note(must(holders.get(index), "holder")),
    };
  }
}
