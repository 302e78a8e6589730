import type { Level } from "level";
import { messageOf } from "../../base/fault.ts";
import { type PeerId, parsePeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { cleanAddress } from "./addresses.ts";
import { ADDRESS_AGE_MAX_MS, ADDRESSES_PER_PEER_MAX } from "./limits.ts";

interface KnownAddress {
  readonly address: string;
  /** Wall time of the last dial that reached the peer there, or 0. */
  readonly reachedMs: number;
  /** Wall time when it was last heard of. */
  readonly heardMs: number;
}

/**
 * Where members were last known to listen, kept over restarts. libp2p's peer store is no place for it: identify
 * replaces what it has by what a peer says of itself, and a peer behind a forwarded port does not know its own
 * outer address.
 */
export class AddressBook {
  readonly #store: AddressStore;
  readonly #log: Log;
  readonly #known = new Map<PeerId, readonly KnownAddress[]>();

  private constructor(store: AddressStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  static async open(store: AddressStore, log: Log): Promise<AddressBook> {
    const book = new AddressBook(store, log);
    for await (const [key, value] of store.entries()) {
      const peer = parsePeerId(key);
      if (peer !== undefined) book.#known.set(peer, parseKnown(value));
    }
    return book;
  }

  /** Where it was reached last, then what was heard last: after a move the new address is the second to be tried. */
  addresses(peer: PeerId): string[] {
    return (this.#known.get(peer) ?? []).map((known) => known.address);
  }

  async heard(peer: PeerId, addresses: readonly string[]): Promise<void> {
    await this.#note(peer, addresses, (known) => ({ ...known, heardMs: Date.now() }));
  }

  async reached(peer: PeerId, address: string): Promise<void> {
    await this.#note(peer, [address], (known) => ({ ...known, reachedMs: Date.now(), heardMs: Date.now() }));
  }

  async #note(
    peer: PeerId,
    addresses: readonly string[],
    update: (known: KnownAddress) => KnownAddress,
  ): Promise<void> {
    const before = new Map((this.#known.get(peer) ?? []).map((entry) => [entry.address, entry]));
    const noted = new Map<string, KnownAddress>();
    for (const text of addresses) {
      const address = cleanAddress(text);
      if (address === undefined) continue;
      noted.set(address, update(before.get(address) ?? { address, reachedMs: 0, heardMs: 0 }));
      before.delete(address);
    }
    if (noted.size === 0) return;
    // The newest first, for within a millisecond the order is all that tells; the sorts below are stable.
    const entries = [...noted.values(), ...before.values()].filter(
      (entry) => entry.heardMs > Date.now() - ADDRESS_AGE_MAX_MS,
    );
    const kept = keepBest(entries);
    this.#known.set(peer, kept);
    try {
      await this.#store.put(peer, JSON.stringify(kept));
    } catch (error) {
      this.#log.warn("address-not-saved", { peer, reason: messageOf(error) });
    }
  }
}

/** Texts by peer id. */
export interface AddressStore {
  entries(): AsyncIterable<[peer: string, text: string]>;
  put(peer: string, text: string): Promise<void>;
}

export function levelAddresses(database: Level<string, Uint8Array>): AddressStore {
  const store = database.sublevel<string, string>("addresses", { valueEncoding: "utf8" });
  return { entries: () => store.iterator(), put: (peer, text) => store.put(peer, text) };
}

/** Keeps nothing: the book itself has all of it in memory. */
export function memoryAddresses(): AddressStore {
  return { entries: async function* () {}, put: async () => {} };
}

/** Half of the room is for addresses that worked: a flood of hearsay must not push them out, nor they a new one. */
function keepBest(entries: readonly KnownAddress[]): KnownAddress[] {
  const reached = entries.filter((entry) => entry.reachedMs > 0).sort((a, b) => b.reachedMs - a.reachedMs);
  const worked = reached.slice(0, ADDRESSES_PER_PEER_MAX / 2);
  const byHearing = [...entries].sort((a, b) => b.heardMs - a.heardMs);
  const others = byHearing.filter((entry) => !worked.includes(entry));
  const kept = new Set([...worked, ...others.slice(0, ADDRESSES_PER_PEER_MAX - worked.length)]);
  const last = worked.slice(0, 1);
  return [...last, ...byHearing.filter((entry) => kept.has(entry) && !last.includes(entry))];
}

/** A record that cannot be read is as good as none. */
function parseKnown(text: string): KnownAddress[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((entry: unknown) => {
    if (typeof entry !== "object" || entry === null) return [];
    const { address, reachedMs, heardMs } = entry as Partial<Record<keyof KnownAddress, unknown>>;
    if (typeof address !== "string" || typeof reachedMs !== "number" || typeof heardMs !== "number")
      return [];
    return [{ address, reachedMs, heardMs }];
  });
}
