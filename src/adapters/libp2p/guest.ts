import type { Connection, Libp2p } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { must } from "../../base/assert.ts";
import { Fault, isFault } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Network } from "../../ports/network.ts";
import { parseDialAddress, withoutPeer } from "./addresses.ts";
import { RequestClient, whenAdmitted } from "./client.ts";
import { ConnectionBook, NotAdmitted, type OpenConnection } from "./connections.ts";
import { dialFault } from "./dialer.ts";
import { IdleGuard } from "./idle-guard.ts";
import { DEFAULT_LIMITS, type Libp2pLimits } from "./limits.ts";
import { muxer } from "./muxer.ts";
import { fromLibp2p, privateKeyOf } from "./peers.ts";
import { listenForLife } from "./signs-of-life.ts";

export interface GuestInit {
  /** Seed of the guest identity: from a join token, or of a recovery identity. */
  readonly seed: Uint8Array;
  readonly log: Log;
  readonly limits?: Partial<Libp2pLimits>;
}

export interface Guest {
  readonly self: PeerId;
  /**
   * Connects to a member at HOST:PORT or a multiaddr, with or without its peer id, and waits until it has
   * answered. Faults: `USAGE` for what is no address, `PEER_UNREACHABLE`, `NOT_A_MEMBER` when it does not admit us.
   */
  dial(address: string): Promise<PeerId>;
  /** Requests go to peers that were dialled. It serves nothing. */
  readonly network: Network;
  stop(): Promise<void>;
}

/**
 * A second, short-lived identity in this process: no listener, no DHT, no identify, no ping, nothing on disk.
 * It can dial members and speak the one protocol that they let it.
 */
export async function createGuest(init: GuestInit): Promise<Guest> {
  const limits: Libp2pLimits = { ...DEFAULT_LIMITS, ...init.limits };
  const libp2p = await createLibp2p({
    privateKey: await privateKeyOf(init.seed),
    nodeInfo: { name: "cairn", version: "1", userAgent: "cairn/1" },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [muxer()],
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyInboundConnection: () => true,
      denyOutboundUpgradedConnection: (_, socket) => listenForLife(socket),
    },
    connectionManager: {
      dialTimeout: limits.dialTimeoutMs,
      addressDialTimeout: limits.addressDialTimeoutMs,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
  });
  const self = must(fromLibp2p(libp2p.peerId), "own peer id");
  const dialled = new Map<PeerId, string>();
  const client = new RequestClient({
    limits,
    book: () => book,
    connect: async (peer, signal) => {
      const open = book.best(peer);
      if (open !== undefined) return await whenAdmitted(open, signal);
      const address = dialled.get(peer);
      if (address === undefined) {
        throw new Fault({ code: "PEER_UNREACHABLE", peer, reason: "it was not dialled" });
      }
      return await reach(libp2p, book, `${address}/p2p/${peer}`, signal);
    },
  });
  const book: ConnectionBook = new ConnectionBook({
    libp2p,
    self,
    // Whoever answers at the address that a person or a token named; what it says is checked by signatures.
    roleOf: () => "member",
    limits,
    log: init.log,
    hello: (open, timeoutMs) => client.hello(open, timeoutMs),
    onMember: () => {},
  });
  book.start();

  return {
    self,
    dial: async (text) => {
      const { address, peer } = parseDialAddress(text);
      const target = peer === undefined ? address : `${address}/p2p/${peer}`;
      const onIdle = () => new Fault({ code: "PEER_TIMEOUT", peer: text, afterMs: limits.dialTimeoutMs });
      const guard = new IdleGuard({ idleMs: limits.dialTimeoutMs + limits.helloTimeoutMs, onIdle });
      try {
        const open = await reach(libp2p, book, target, guard.signal);
        dialled.set(open.peer, withoutPeer(open.connection.remoteAddr).toString());
        return open.peer;
      } catch (error) {
        throw asGuestFault(error, peer);
      } finally {
        guard.close();
      }
    },
    network: {
      self,
      request: async (peer, protocol, message, options) => {
        try {
          return await client.request(peer, protocol, message, options);
        } catch (error) {
          throw asGuestFault(error, peer);
        }
      },
      handle: () => {},
      connected: () => book.connected(),
      onConnection: (listener) => book.onConnection(listener),
      // A guest that is turned away hears so from its own dial.
      onRefused: () => () => {},
      disconnect: async (peer) => book.drop(peer),
    },
    stop: async () => {
      book.stop();
      await libp2p.stop();
    },
  };
}

async function reach(
  libp2p: Libp2p,
  book: ConnectionBook,
  target: string,
  signal: AbortSignal,
): Promise<OpenConnection> {
  let connection: Connection;
  try {
    connection = await libp2p.dial(multiaddr(target), { signal });
  } catch (error) {
    throw dialFault(error, target);
  }
  const open = book.of(connection);
  if (open === undefined) throw new NotAdmitted();
  return await whenAdmitted(open, signal);
}

function asGuestFault(error: unknown, peer: PeerId | undefined): unknown {
  const isRefused = error instanceof NotAdmitted || (isFault(error) && error.cause instanceof NotAdmitted);
  if (!isRefused) return error;
  return new Fault({ code: "NOT_A_MEMBER", ...(peer === undefined ? {} : { peer }) }, { cause: error });
}
