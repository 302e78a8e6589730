import type { Connection, Libp2p } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { Fault, messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { SECOND_MS } from "../../base/units.ts";
import type { AddressBook } from "./address-book.ts";
import { withoutPeer } from "./addresses.ts";
import { whenAdmitted } from "./client.ts";
import { type ConnectionBook, NotAdmitted, type OpenConnection } from "./connections.ts";
import type { Libp2pDirectory } from "./directory.ts";
import type { RoleOf } from "./gate.ts";
import { raceAbort } from "./idle-guard.ts";
import { escalate } from "./last-resort.ts";
import type { Libp2pLimits } from "./limits.ts";

export interface DialerInit {
  readonly self: PeerId;
  readonly libp2p: Libp2p;
  readonly book: ConnectionBook;
  readonly addressBook: AddressBook;
  readonly directory: Libp2pDirectory;
  readonly roleOf: RoleOf;
  readonly limits: Libp2pLimits;
  readonly log: Log;
}

/** The DHT is asked for one peer at most this often: every request to a dead peer would ask otherwise. */
const FIND_EVERY_MS = 20 * SECOND_MS;
const FIND_MEMORY_MAX = 10_000;
/** How often one attempt begins anew because an address was learnt. */
const SUPERSEDED_MAX = 4;

/** Gets a connection to a member: the open one, or by dialling what the address book has, or what the DHT finds. */
export class Dialer {
  readonly #init: DialerInit;
  readonly #dialling = new Map<PeerId, Promise<OpenConnection>>();
  readonly #superseded = new Map<PeerId, AbortController>();
  readonly #foundMs = new Map<PeerId, number>();
  readonly #refusedListeners = new Set<(peer: PeerId) => void>();
  readonly #stopped = new AbortController();

  constructor(init: DialerInit) {
    this.#init = init;
  }

  stop(): void {
    this.#stopped.abort(new Error("the node stops"));
  }

  /**
   * There is a new address: a dial under way does not have it, and may spend half a minute on old ones that swallow
   * what is sent. It begins anew with the new one first.
   */
  learned(peer: PeerId): void {
    this.#superseded.get(peer)?.abort(new Error("a newer address is known"));
  }

  onRefused(listener: (peer: PeerId) => void): () => void {
    this.#refusedListeners.add(listener);
    return () => this.#refusedListeners.delete(listener);
  }

  /** Rejects with `PEER_UNREACHABLE`, `NotAdmitted` or the signal's reason. */
  async connect(peer: PeerId, signal: AbortSignal): Promise<OpenConnection> {
    const open = this.#init.book.best(peer);
    if (open !== undefined) return await whenAdmitted(open, signal);
    // Several requests share one attempt, which goes on if one of them gives up: it has its own bounds.
    const dialling = this.#dialling.get(peer) ?? this.#begin(peer);
    return await raceAbort(dialling, signal);
  }

  #begin(peer: PeerId): Promise<OpenConnection> {
    const dialling = this.#reach(peer).finally(() => {
      if (this.#dialling.get(peer) === dialling) this.#dialling.delete(peer);
    });
    dialling.catch((error: unknown) => {
      if (error instanceof NotAdmitted) this.#tellRefused(peer);
    });
    this.#dialling.set(peer, dialling);
    return dialling;
  }

  #tellRefused(peer: PeerId): void {
    for (const listener of this.#refusedListeners) {
      try {
        listener(peer);
      } catch (error) {
        escalate(error);
        this.#init.log.error("refused-listener-failed", { peer, reason: messageOf(error) });
      }
    }
  }

  async #reach(peer: PeerId): Promise<OpenConnection> {
    if (peer === this.#init.self) throw unreachable(peer, "it is this node");
    if (this.#init.roleOf(peer) !== "member") throw unreachable(peer, "it is not a member");
    const tried = new Set<string>();
    for (let turn = 0; ; turn++) {
      const known = await this.#init.directory.addresses(peer);
      const news = known.filter((address) => !tried.has(address));
      const superseded = new AbortController();
      // The last turn is let run to its end: a peer that tells new addresses without end must not keep us from any.
      if (turn < SUPERSEDED_MAX) this.#superseded.set(peer, superseded);
      for (const address of known) tried.add(address);
      try {
        return await this.#dial(
          peer,
          [...news, ...known.filter((address) => !news.includes(address))],
          superseded.signal,
        );
      } catch (error) {
        if (superseded.signal.aborted && !this.#stopped.signal.aborted) continue;
        if (error instanceof NotAdmitted) throw error;
        const found = (await this.#find(peer)).filter((address) => !tried.has(address));
        if (found.length === 0) throw error;
        return await this.#dial(peer, found);
      } finally {
        this.#superseded.delete(peer);
      }
    }
  }

  async #find(peer: PeerId): Promise<string[]> {
    const nowMs = performance.now();
    const lastMs = this.#foundMs.get(peer);
    if (lastMs !== undefined && nowMs - lastMs < FIND_EVERY_MS) return [];
    if (this.#init.book.connected().length === 0) return [];
    if (this.#foundMs.size >= FIND_MEMORY_MAX) this.#foundMs.clear();
    this.#foundMs.set(peer, nowMs);
    return await this.#init.directory.find(peer);
  }

  async #dial(peer: PeerId, addresses: readonly string[], superseded?: AbortSignal): Promise<OpenConnection> {
    if (addresses.length === 0) throw unreachable(peer, "no address of it is known");
    const targets = addresses.map((address) => multiaddr(`${address}/p2p/${peer}`));
    // Each address has its own limit; with a common one, two dead addresses would hide all others for good.
    const limitMs = targets.length * this.#init.limits.addressDialTimeoutMs + SECOND_MS;
    const signals = [this.#stopped.signal, AbortSignal.timeout(limitMs)];
    const signal = AbortSignal.any(superseded === undefined ? signals : [...signals, superseded]);
    let connection: Connection;
    try {
      connection = await this.#init.libp2p.dial(targets, { signal });
    } catch (error) {
      throw dialFault(error, peer);
    }
    const open = this.#init.book.of(connection);
    if (open === undefined) throw new NotAdmitted();
    await whenAdmitted(open, this.#stopped.signal);
    if (connection.direction === "outbound") {
      await this.#init.addressBook.reached(peer, withoutPeer(connection.remoteAddr).toString());
    }
    return open;
  }
}

export function dialFault(error: unknown, peer: string): Error {
  // The listener's gater acts after the handshake: the connection may be closed before `dial` returns.
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  const isRefusal = (each: unknown): boolean =>
    each instanceof Error && /^(ConnectionClosedError|MuxerUnavailableError)$/.test(each.name);
  if (errors.some(isRefusal)) return new NotAdmitted(error);
  const reasons = errors.map(messageOf).join("; ").slice(0, 500);
  return unreachable(peer, `dialling failed: ${reasons}`, error);
}

function unreachable(peer: string, reason: string, cause?: unknown): Fault {
  return new Fault({ code: "PEER_UNREACHABLE", peer, reason }, cause === undefined ? {} : { cause });
}
