import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { OwnerId, PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { KeptRecords, OwnerRegistry } from "../exchange/index.ts";
import { peersOfMap } from "../placement/index.ts";
import type { Network, Rng } from "../ports/index.ts";
import { encodeSigned } from "../wire/signed.ts";
import type { RepairBook } from "./book.ts";
import { inMessages } from "./introductions.ts";
import type { RepairPeers } from "./peers.ts";

export interface SpreadComponents {
  readonly book: RepairBook;
  readonly kept: Pick<KeptRecords, "newest" | "owners">;
  readonly registry: Pick<OwnerRegistry, "certifiedIncarnation">;
  readonly roster: { memberOfOwner(owner: OwnerId): { readonly peer: PeerId } | undefined };
  readonly network: Pick<Network, "self" | "connected">;
  readonly peers: Pick<RepairPeers, "push" | "pull">;
  readonly rng: Pick<Rng, "float">;
  readonly log: Log;
}

/** Peers told of a repair at once; whoever is away or beyond asks for it later. */
const PUSH_MAX = 64;
const PUSH_AT_ONCE = 4;
/** Owners compared with somebody else in one round, and pages taken of each. */
const OWNERS_A_ROUND = 256;
const PAGES_MAX = 64;

/**
 * Spreads repair records among those who keep an owner's map, and to the owner: told at once by who made them, asked for
 * ever again by everybody, of one other at a time. Whoever was away, or cut off, comes to know the same.
 */
export class RepairSpread {
  readonly #c: SpreadComponents;

  constructor(components: SpreadComponents) {
    this.#c = components;
  }

  /** `newHolders` get what the owner signed besides: they may never have heard of it. */
  async tell(
    owner: OwnerId,
    records: readonly Uint8Array[],
    newHolders: readonly PeerId[],
    signal: AbortSignal,
  ): Promise<void> {
    const certified = this.#c.registry.certifiedIncarnation(owner);
    const kept = (await this.#c.kept.newest(owner, certified)).map(encodeSigned);
    const peers = [...new Set([...newHolders, ...(await this.#poolOf(owner))])].slice(0, PUSH_MAX);
    await mapLimit(peers, PUSH_AT_ONCE, async (peer) => {
      const push = (some: readonly Uint8Array[], and: readonly Uint8Array[]): Promise<boolean> =>
        this.#tried(peer, () => this.#c.peers.push(peer, owner, some, and, signal), signal);
      const first = newHolders.includes(peer) ? inMessages(kept) : [];
      for (const and of first) if (!(await push([], and))) return;
      for (const some of inMessages(records)) if (!(await push(some, []))) return;
    });
  }

  /** Compares what is known of each owner with one other who keeps its map; the own owner too. */
  async round(own: OwnerId, signal: AbortSignal): Promise<void> {
    const owners = [own, ...(await this.#c.kept.owners()).filter((owner) => owner !== own)];
    const from = Math.floor(this.#c.rng.float() * owners.length);
    const turn = [...owners.slice(from), ...owners.slice(0, from)].slice(0, OWNERS_A_ROUND);
    for (const owner of turn) {
      signal.throwIfAborted();
      const pool = await this.#poolOf(owner);
      const peer = pool[Math.floor(this.#c.rng.float() * pool.length)];
      if (peer !== undefined) await this.#tried(peer, () => this.#pull(peer, owner, signal), signal);
    }
  }

  /** What everybody who is connected knows of one owner. Returns how many told it. */
  async ask(owner: OwnerId, signal: AbortSignal): Promise<number> {
    const pool = (await this.#poolOf(owner)).slice(0, PUSH_MAX);
    const told = await mapLimit(pool, PUSH_AT_ONCE, (peer) =>
      this.#tried(peer, () => this.#pull(peer, owner, signal), signal),
    );
    return told.filter(Boolean).length;
  }

  async #pull(peer: PeerId, owner: OwnerId, signal: AbortSignal): Promise<void> {
    await this.#c.book.prune(owner);
    const digest = await this.#c.book.digest(owner);
    let after: Uint8Array | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      const { records, more, last } = await this.#c.peers.pull(peer, owner, digest, after, signal);
      if (records.length > 0) await this.#c.book.offer(owner, records, peer);
      if (!more || last === undefined) return;
      after = last;
    }
  }

  /** Whoever is connected of those who keep an owner's map or hold its shards, and its own node. */
  async #poolOf(owner: OwnerId): Promise<PeerId[]> {
    const { network, roster, book } = this.#c;
    const connected = new Set(network.connected());
    const peers = new Set<PeerId>();
    for (const { signed, now } of await book.maps(owner))
      for (const peer of [...peersOfMap(now), ...peersOfMap(signed)]) peers.add(peer);
    const origin = roster.memberOfOwner(owner)?.peer;
    if (origin !== undefined) peers.add(origin);
    return [...peers].filter((peer) => peer !== network.self && connected.has(peer));
  }

  async #tried(peer: PeerId, task: () => Promise<unknown>, signal: AbortSignal): Promise<boolean> {
    try {
      await task();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      this.#c.log.debug("repair-not-told", { peer, why: messageOf(error) });
      return false;
    }
  }
}
