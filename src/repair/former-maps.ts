import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { OwnerId, PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { peersOfMap } from "../placement/index.ts";
import type { Network } from "../ports/index.ts";
import type { RepairBook } from "./book.ts";
import { inMessages } from "./introductions.ts";
import type { RepairPeers } from "./peers.ts";

export interface FormerMapsComponents {
  readonly ownOwner: OwnerId;
  /** The maps of lives that a recovery of this home ended, as they were signed in them. */
  readonly formerMaps: () => Promise<readonly Uint8Array[]>;
  readonly book: Pick<RepairBook, "maps">;
  readonly network: Pick<Network, "self" | "connected">;
  readonly peers: Pick<RepairPeers, "push">;
  readonly log: Log;
}

/** Told in one round; the others have their turn in the next. */
const PEERS_A_ROUND = 16;
const AT_ONCE = 4;
/** Others than those whom a map names, as candidates for its rows may be. */
const OTHERS_MAX = 64;

/**
 * A holder that was away when its owner wrote the last map of a life cannot take it from its fellow holders once a recovery has
 * ended that life: the old machine may be signing still. It takes it from the owner's new node, which is who can tell.
 * Everybody whom it concerns is told once in a run of the daemon.
 */
export class FormerMaps {
  readonly #c: FormerMapsComponents;
  readonly #told = new Set<PeerId>();

  constructor(components: FormerMapsComponents) {
    this.#c = components;
  }

  async round(signal: AbortSignal): Promise<void> {
    const untold = await this.#untold();
    if (untold.length === 0) return;
    const maps = await this.#c.formerMaps();
    if (maps.length === 0) return;
    const messages = inMessages(maps);
    await mapLimit(untold.slice(0, PEERS_A_ROUND), AT_ONCE, async (peer) => {
      try {
        for (const some of messages) await this.#c.peers.push(peer, this.#c.ownOwner, [], some, signal);
        this.#told.add(peer);
        this.#c.log.debug("former-maps-told", { peer, maps: maps.length });
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error)) throw error;
        this.#c.log.debug("former-maps-not-told", { peer, why: messageOf(error) });
      }
    });
  }

  /** Connected, holders of rows first. */
  async #untold(): Promise<PeerId[]> {
    const { book, network, ownOwner } = this.#c;
    const connected = network.connected().filter((peer) => peer !== network.self);
    const named = new Set<PeerId>();
    for (const { signed, now } of await book.maps(ownOwner))
      for (const peer of [...peersOfMap(now), ...peersOfMap(signed)]) named.add(peer);
    const holders = connected.filter((peer) => named.has(peer));
    const others = connected.filter((peer) => !named.has(peer)).slice(0, OTHERS_MAX);
    return [...holders, ...others].filter((peer) => !this.#told.has(peer));
  }
}
