import type { OwnerId, PeerId } from "../base/ids.ts";

/**
 * Finding peers and what they are for: kad-dht and an address book in the daemon. All of it is a hint; nothing
 * here is believed before the peer proves it.
 */
export interface Directory {
  /** Where a peer was last known to listen, as multiaddrs without the peer id; best first. */
  addresses(peer: PeerId): Promise<string[]>;
  /** Adds addresses heard from elsewhere (a roster record, an operator). */
  learn(peer: PeerId, addresses: readonly string[]): Promise<void>;
  /** Our own addresses that others could dial. */
  ownAddresses(): string[];
  /** Asks the DHT where a peer listens now; remembers and returns it. Bounded in time. */
  find(peer: PeerId): Promise<string[]>;
  /** Announces that this node keeps something of this owner; renewed until `withdraw`. */
  announce(owner: OwnerId): Promise<void>;
  withdraw(owner: OwnerId): Promise<void>;
  /** Peers that announced the owner, as far as the DHT finds them in a bounded time. */
  pool(owner: OwnerId): Promise<PeerId[]>;
}
