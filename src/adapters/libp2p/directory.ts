import { createHash } from "node:crypto";
import type { Libp2p } from "@libp2p/interface";
import type { KadDHT } from "@libp2p/kad-dht";
import { CID } from "multiformats/cid";
import * as raw from "multiformats/codecs/raw";
import { create as multihashOf } from "multiformats/hashes/digest";
import { utf8 } from "../../base/bytes.ts";
import { messageOf } from "../../base/fault.ts";
import { idBytes, type OwnerId, type PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Directory } from "../../ports/directory.ts";
import type { AddressBook } from "./address-book.ts";
import { reachable, withoutPeer } from "./addresses.ts";
import { Announcer } from "./announcer.ts";
import type { RoleOf } from "./gate.ts";
import { type Libp2pLimits, POOL_PEERS_MAX } from "./limits.ts";
import { fromLibp2p, toLibp2p } from "./peers.ts";

const SHA2_256 = 0x12;

/** The DHT key of an owner's pool: CIDv1, raw, SHA-256 of "cairn/1/owner" and the owner's public key. */
export function ownerKey(owner: OwnerId): CID {
  const hash = createHash("sha256").update(utf8("cairn/1/owner")).update(idBytes(owner)).digest();
  return CID.createV1(raw.code, multihashOf(SHA2_256, hash));
}

export interface DirectoryInit {
  readonly self: PeerId;
  readonly libp2p: Libp2p;
  readonly dht: KadDHT;
  readonly book: AddressBook;
  readonly roleOf: RoleOf;
  readonly limits: Libp2pLimits;
  readonly log: Log;
}

/** Addresses from the own book, the peer store and kad-dht; pools from provider records. All of it hearsay. */
export class Libp2pDirectory implements Directory {
  readonly #init: DirectoryInit;
  readonly #announcer: Announcer;
  #onLearned: (peer: PeerId) => void = () => {};

  constructor(init: DirectoryInit) {
    this.#init = init;
    this.#announcer = new Announcer(init.dht, init.log);
  }

  start(): void {
    this.#announcer.start();
  }

  async stop(): Promise<void> {
    await this.#announcer.stop();
  }

  /** Called when an address is new. */
  onLearned(listener: (peer: PeerId) => void): void {
    this.#onLearned = listener;
  }

  /** A first connection is when an announcement that found nobody may find somebody. */
  onMemberConnected(): void {
    this.#announcer.retrySoon();
  }

  async addresses(peer: PeerId): Promise<string[]> {
    const own = this.#init.book.addresses(peer);
    const stored = await this.#stored(peer);
    return [...new Set([...own, ...stored])];
  }

  async learn(peer: PeerId, addresses: readonly string[]): Promise<void> {
    if (peer === this.#init.self) return;
    const before = this.#init.book.addresses(peer);
    await this.#init.book.heard(peer, addresses);
    if (this.#init.book.addresses(peer).some((address) => !before.includes(address))) this.#onLearned(peer);
  }

  ownAddresses(): string[] {
    return reachable(this.#init.libp2p.getMultiaddrs().map((address) => withoutPeer(address).toString()));
  }

  /**
   * Asks other nodes, never the own peer store, which would answer with what is known already. The answers are
   * merged: a node that has not heard of a move answers with the old address.
   */
  async find(peer: PeerId): Promise<string[]> {
    const found = new Set<string>();
    const signal = AbortSignal.timeout(this.#init.limits.lookupTimeoutMs);
    try {
      for await (const event of this.#init.dht.findPeer(toLibp2p(peer), { useCache: false, signal })) {
        if (event.name !== "FINAL_PEER") continue;
        for (const address of event.peer.multiaddrs) found.add(withoutPeer(address).toString());
      }
    } catch (error) {
      // Not found, or the time is up with what came until then.
      this.#init.log.debug("find-peer-ended", { peer, found: found.size, reason: messageOf(error) });
    }
    const addresses = [...found];
    await this.learn(peer, addresses);
    return addresses;
  }

  async announce(owner: OwnerId): Promise<void> {
    this.#announcer.announce(owner, ownerKey(owner));
  }

  async withdraw(owner: OwnerId): Promise<void> {
    await this.#announcer.withdraw(owner, ownerKey(owner));
  }

  async pool(owner: OwnerId): Promise<PeerId[]> {
    const peers = new Set<PeerId>();
    const signal = AbortSignal.timeout(this.#init.limits.lookupTimeoutMs);
    try {
      for await (const event of this.#init.dht.findProviders(ownerKey(owner), { signal })) {
        if (event.name !== "PROVIDER") continue;
        for (const provider of event.providers) {
          const peer = fromLibp2p(provider.id);
          if (peer === undefined || peer === this.#init.self || this.#init.roleOf(peer) !== "member")
            continue;
          if (peers.size < POOL_PEERS_MAX) peers.add(peer);
          await this.learn(
            peer,
            provider.multiaddrs.map((address) => address.toString()),
          );
        }
        if (peers.size >= POOL_PEERS_MAX) break;
      }
    } catch (error) {
      this.#init.log.debug("find-pool-ended", { owner, found: peers.size, reason: messageOf(error) });
    }
    return [...peers];
  }

  /** What identify and kad-dht left in libp2p's peer store. */
  async #stored(peer: PeerId): Promise<string[]> {
    try {
      const known = await this.#init.libp2p.peerStore.get(toLibp2p(peer));
      return known.addresses.map(({ multiaddr }) => withoutPeer(multiaddr).toString());
    } catch {
      return []; // it throws for a peer that it does not know
    }
  }
}
