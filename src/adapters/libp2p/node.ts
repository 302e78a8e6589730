import { type Identify, type IdentifyPush, identify, identifyPush } from "@libp2p/identify";
import type { Connection, Libp2p, Listener } from "@libp2p/interface";
import { type KadDHT, kadDHT, passthroughMapper } from "@libp2p/kad-dht";
import { noise } from "@libp2p/noise";
import { type Ping, ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import type { LevelDatastore } from "datastore-level";
import { createLibp2p } from "libp2p";
import { must } from "../../base/assert.ts";
import { calmLog } from "../../base/calm-log.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import type { Directory } from "../../ports/directory.ts";
import type { Network } from "../../ports/network.ts";
import { AddressBook } from "./address-book.ts";
import { reachable, withBoundPort } from "./addresses.ts";
import { RequestClient } from "./client.ts";
import { ConnectionBook } from "./connections.ts";
import { openPeerStorage } from "./datastore.ts";
import { Dialer } from "./dialer.ts";
import { Libp2pDirectory } from "./directory.ts";
import { forMembersOnly, gaterFor, type RoleOf } from "./gate.ts";
import { Handshakes } from "./handshakes.ts";
import {
  ADDRESS_AGE_MAX_MS,
  ADDRESSES_PER_PEER_MAX,
  DEFAULT_LIMITS,
  FRAMINGS,
  KAD_PROTOCOL,
  type Libp2pLimits,
  PEER_AGE_MAX_MS,
} from "./limits.ts";
import { muxer } from "./muxer.ts";
import { fromLibp2p, privateKeyOf } from "./peers.ts";
import { Redial } from "./redial.ts";
import { RequestServer } from "./server.ts";

export interface Libp2pNodeInit {
  /** The node's identity: an Ed25519 seed. */
  readonly seed: Uint8Array;
  /** A directory of this node alone. Its database is opened here, once in this process. */
  readonly datastoreDirectory: string;
  /** Multiaddrs; `parseListenAddress` makes them of HOST:PORT. */
  readonly listen: readonly string[];
  /** What others are told instead of the interfaces' addresses. */
  readonly announce?: readonly string[];
  /** Asked at every turn: the roster changes. */
  readonly roleOf: RoleOf;
  /** Whom to be connected to. */
  readonly members: () => readonly PeerId[];
  /** Whether this node was a member and is none any more. @default a member */
  readonly isFormer?: () => boolean;
  readonly log: Log;
  readonly limits?: Partial<Libp2pLimits>;
  /** Versions of the framing that it speaks, newest first. @default those of this program */
  readonly framings?: readonly number[];
}

/** What tests and metrics look at. */
export interface Libp2pGauges {
  readonly requestBytesInMemory: number;
  readonly answerBytesInMemory: number;
  readonly answerBytesBeingRead: number;
  /** Since the start: told "busy", or that their sender may not. */
  readonly requestsRefused: number;
  /** Bytes of all streams that are queued for sending, and received but not read. */
  readonly streamBytes: { readonly queuedToSend: number; readonly unread: number };
  readonly connections: number;
  /** Connections that have not proved yet who they are. */
  readonly handshakes: number;
  /** Peers in kad-dht's routing table. */
  readonly routingTablePeers: number;
}

export interface Libp2pNode {
  readonly network: Network;
  readonly directory: Directory;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** As they were asked for, port 0 replaced by the port that was given; after `start`. */
  listenAddresses(): string[];
  gauges(): Libp2pGauges;
}

type Services = { identify: Identify; identifyPush: IdentifyPush; ping: Ping; dht: KadDHT };
type NodeLibp2p = Libp2p<Services>;

/**
 * A member's node: libp2p over TCP, Noise and yamux with kad-dht, identify and ping for members, and our own
 * protocols. Nothing is dialled and nobody is heard before `start`.
 */
export async function createLibp2pNode(init: Libp2pNodeInit): Promise<Libp2pNode> {
  const limits: Libp2pLimits = { ...DEFAULT_LIMITS, ...init.limits };
  const storage = await openPeerStorage(init.datastoreDirectory, init.log);
  try {
    const addressBook = await AddressBook.open(storage.addresses, init.log);
    // Strangers and members decide how often most of it happens.
    const log = calmLog(init.log, () => performance.now());
    const handshakes = new Handshakes({ max: limits.pendingInboundMax, log });
    const libp2p = await assemble({ ...init, log }, limits, storage.datastore, handshakes);
    return await connectParts({ ...init, log }, limits, libp2p, addressBook, handshakes, storage.close);
  } catch (error) {
    await storage.close();
    throw error;
  }
}

async function assemble(
  init: Libp2pNodeInit,
  limits: Libp2pLimits,
  datastore: LevelDatastore | undefined,
  handshakes: Handshakes,
): Promise<NodeLibp2p> {
  const { roleOf, log } = init;
  return await createLibp2p<Services>({
    start: false,
    privateKey: await privateKeyOf(init.seed),
    ...(datastore === undefined ? {} : { datastore }),
    // The default tells the versions of libp2p and Node; only members ever ask, and need to know neither.
    nodeInfo: { name: "cairn", version: "1", userAgent: "cairn/1" },
    addresses: {
      listen: [...init.listen],
      ...(init.announce !== undefined && init.announce.length > 0 ? { announce: [...init.announce] } : {}),
      announceFilter: (addresses) => reachable(addresses),
    },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [muxer()],
    connectionGater: gaterFor(roleOf, handshakes, log),
    connectionManager: {
      maxConnections: limits.connectionsMax,
      maxParallelDials: 50,
      dialTimeout: limits.dialTimeoutMs,
      addressDialTimeout: limits.addressDialTimeoutMs,
      maxPeerAddrsToDial: 2 * ADDRESSES_PER_PEER_MAX,
      // Ours come best first.
      addressSorter: () => 0,
      inboundConnectionThreshold: limits.inboundPerSecondAndHost,
      // `Handshakes` decides who goes; libp2p would refuse whoever comes next. Those on their way out still count here.
      maxIncomingPendingConnections: 4 * limits.pendingInboundMax,
      inboundUpgradeTimeout: limits.inboundUpgradeTimeoutMs,
      // Redial is ours; libp2p's own gives up after five tries.
      reconnectRetries: 0,
    },
    // It closes a connection whose ping is late, which on a busy slow link is a working one. ConnectionBook does this.
    connectionMonitor: { enabled: false },
    peerStore: { maxAddressAge: ADDRESS_AGE_MAX_MS, maxPeerAge: PEER_AGE_MAX_MS },
    services: {
      // Run by us once a connection is admitted, and for members only.
      identify: (components) => identify({ runOnConnectionOpen: false })(forMembersOnly(components, roleOf)),
      identifyPush: (components) => identifyPush()(forMembersOnly(components, roleOf)),
      // One ping at a time is the default; kad-dht's would fail while another is under way.
      ping: (components) =>
        ping({ maxInboundStreams: 8, maxOutboundStreams: 8 })(forMembersOnly(components, roleOf)),
      dht: (components) =>
        kadDHT({
          protocol: KAD_PROTOCOL,
          // Server at once: the default waits for a public address, which few have.
          clientMode: false,
          // Of one connection; each may be sending a message of some MiB.
          maxInboundStreams: 16,
          // The default drops private addresses.
          peerInfoMapper: passthroughMapper,
          // A hung peer costs every query this much; the defaults are 5 s, growing to a minute.
          networkDialTimeout: { minTimeout: 1_500, maxTimeout: 4_000 },
          // Value records are not used, and none is taken from anybody: this is the one kind it takes by default.
          validators: { pk: refuseRecord },
        })(forMembersOnly(components, roleOf)),
    },
  });
}

async function connectParts(
  init: Libp2pNodeInit,
  limits: Libp2pLimits,
  libp2p: NodeLibp2p,
  addressBook: AddressBook,
  handshakes: Handshakes,
  closeDatabase: () => Promise<void>,
): Promise<Libp2pNode> {
  const { roleOf, log } = init;
  const self = must(fromLibp2p(libp2p.peerId), "own peer id");
  const framings = init.framings ?? FRAMINGS;
  const client = new RequestClient({
    framings,
    limits,
    book: () => book,
    connect: (peer, signal) => dialer.connect(peer, signal),
  });
  const book: ConnectionBook = new ConnectionBook({
    libp2p,
    self,
    roleOf,
    limits,
    log,
    hello: (open, timeoutMs) => client.hello(open, timeoutMs),
    onMember: (connection) => {
      identifyMember(libp2p, connection, addressBook).catch((error: unknown) => {
        log.debug("identify-failed", { peer: connection.remotePeer.toString(), reason: messageOf(error) });
      });
    },
  });
  const server = new RequestServer({ framings, roleOf, limits, log });
  await server.register(libp2p);
  const directory = new Libp2pDirectory({
    self,
    libp2p,
    dht: libp2p.services.dht,
    book: addressBook,
    roleOf,
    limits,
    log,
  });
  const dialer: Dialer = new Dialer({ libp2p, self, book, addressBook, directory, roleOf, limits, log });
  const connect = (peer: PeerId, signal: AbortSignal) => dialer.connect(peer, signal);
  const isFormer = init.isFormer ?? (() => false);
  const redial = new Redial({ self, members: init.members, isFormer, book, connect, limits, log });
  directory.onLearned((peer) => {
    dialer.learned(peer);
    redial.hurry(peer);
  });
  book.onConnection((_, connected) => {
    if (connected) directory.onMemberConnected();
  });
  const bound: Listener[] = [];
  libp2p.addEventListener("transport:listening", (event) => bound.push(event.detail));

  return {
    network: {
      self,
      request: (peer, protocol, message, options) => client.request(peer, protocol, message, options),
      handle: (protocol, handler, answerBytesMax) => server.handle(protocol, handler, answerBytesMax),
      connected: () => book.connected(),
      onConnection: (listener) => book.onConnection(listener),
      onRefused: (listener) => dialer.onRefused(listener),
      disconnect: async (peer) => book.drop(peer),
    },
    directory,
    start: async () => {
      try {
        await libp2p.start();
      } catch (error) {
        const reason = `cannot listen on ${init.listen.join(", ")}: ${messageOf(error)}`;
        throw new Fault({ code: "USAGE", reason }, { cause: error });
      }
      book.start();
      directory.start();
      redial.start();
    },
    stop: async () => {
      redial.stop();
      dialer.stop();
      book.stop();
      await directory.stop();
      await libp2p.stop();
      await closeDatabase();
    },
    listenAddresses: () => init.listen.map((address) => withBoundPort(address, bound)),
    gauges: () => ({
      requestBytesInMemory: server.requestBytesInMemory,
      answerBytesInMemory: server.answerBytesInMemory,
      requestsRefused: server.requestsRefused,
      answerBytesBeingRead: client.answerBytesBeingRead,
      streamBytes: streamBytes(libp2p.getConnections()),
      connections: libp2p.getConnections().length,
      handshakes: handshakes.count,
      routingTablePeers: routingTableSize(libp2p.services.dht),
    }),
  };
}

async function refuseRecord(): Promise<void> {
  throw new Error("value records are not taken");
}

/** Tells kad-dht that the peer speaks it, and us where the peer listens now. */
async function identifyMember(libp2p: NodeLibp2p, connection: Connection, book: AddressBook): Promise<void> {
  const { listenAddrs } = await libp2p.services.identify.identify(connection);
  const peer = fromLibp2p(connection.remotePeer);
  if (peer !== undefined)
    await book.heard(
      peer,
      listenAddrs.map((address) => address.toString()),
    );
}

function streamBytes(connections: readonly Connection[]): Libp2pGauges["streamBytes"] {
  let queuedToSend = 0;
  let unread = 0;
  for (const connection of connections) {
    for (const stream of connection.streams) {
      queuedToSend += stream.writeBufferLength;
      unread += stream.readBufferLength;
    }
  }
  return { queuedToSend, unread };
}

function routingTableSize(dht: KadDHT): number {
  if (!("routingTable" in dht)) return 0;
  const table = dht.routingTable;
  const size = typeof table === "object" && table !== null && "size" in table ? table.size : 0;
  return typeof size === "number" ? size : 0;
}
