import { DAY_MS, HOUR_MS, KIB, MIB, MINUTE_MS, SECOND_MS } from "../../base/units.ts";
import { NET_BODY_BYTES_MAX, NET_HEAD_BYTES_MAX, PROTOCOLS, type Protocol } from "../../ports/network.ts";
import type { Rate } from "./pace.ts";

/** Sizes that one kind of message may have; checked before anything of it is allocated. */
export interface MessageLimits {
  readonly headBytesMax: number;
  readonly bodyBytesMax: number;
}

export interface ProtocolLimits {
  readonly request: MessageLimits;
  readonly answer: MessageLimits;
}

const WHOLE: MessageLimits = { headBytesMax: NET_HEAD_BYTES_MAX, bodyBytesMax: NET_BODY_BYTES_MAX };
/** What a guest may send: a certificate, a query. Nobody vouches for guests, so it is small. */
const GUEST_REQUEST: MessageLimits = { headBytesMax: 256 * KIB, bodyBytesMax: 0 };

export const PROTOCOL_LIMITS: Readonly<Record<Protocol, ProtocolLimits>> = {
  data: { request: WHOLE, answer: WHOLE },
  sync: { request: WHOLE, answer: WHOLE },
  join: { request: GUEST_REQUEST, answer: { headBytesMax: NET_HEAD_BYTES_MAX, bodyBytesMax: 0 } },
  recover: { request: GUEST_REQUEST, answer: WHOLE },
};

/** The first exchange of a connection: proves to the dialler that it is admitted. */
export const HELLO_LIMITS: ProtocolLimits = {
  request: { headBytesMax: KIB, bodyBytesMax: 0 },
  answer: { headBytesMax: KIB, bodyBytesMax: 0 },
};

export const KAD_PROTOCOL = "/cairn/kad/1";
/**
 * Versions of the framing, newest first: all are served, and the newest that both ends know is used. What the messages
 * say is versioned by their own field `v`, not here.
 */
export const FRAMINGS: readonly number[] = [1];
export type Framed = Protocol | "hello";
/** `/cairn/1/data`, for each framing. */
export function protocolIds(protocol: Framed, framings: readonly number[]): string[] {
  return framings.map((framing) => `/cairn/${framing}/${protocol}`);
}
export const ALL_PROTOCOLS: readonly Protocol[] = PROTOCOLS;

/** Bounds that tests make smaller; the daemon uses the defaults. */
export interface Libp2pLimits {
  /** Requests under way to one peer in one protocol; further ones wait. */
  readonly outboundPerPeer: number;
  /** Requests under way to all peers; further ones wait. */
  readonly outboundTotal: number;
  /** Requests that wait for a place, for one peer in one protocol; further ones fail with `PEER_BUSY`. */
  readonly outboundWaitingPerPeer: number;
  /**
   * Requests served for one peer in one protocol; further ones are answered "busy". Twice what a peer sends,
   * because the end of one request is seen a round trip earlier by the peer than by us.
   */
  readonly inboundPerPeer: number;
  /** Requests served for all members together. */
  readonly inboundTotal: number;
  /** The same for one guest, or former member, in its protocol. */
  readonly inboundPerGuest: number;
  /** The same for all guests with tokens together: they must not take the places of anybody else. */
  readonly inboundJoinersTotal: number;
  /** The same for all recovery identities. */
  readonly inboundRecoverersTotal: number;
  /** The same for former members, who have nothing to do here but to learn that they are. */
  readonly inboundFormersTotal: number;
  /** Connections that former members have together; the next one is closed. */
  readonly formerConnectionsMax: number;
  /**
   * Requests of one peer that are served, in all protocols. What comes faster waits its turn in the place that it has,
   * so that an honest peer is slowed down and never refused.
   */
  readonly requestRatePerPeer: Rate;
  /** The same for all members together, and for all others of one kind: guests with tokens, recovery identities, former members. */
  readonly requestRateMembers: Rate;
  readonly requestRateOthers: Rate;
  /** Requests of one peer that are told "busy". Whoever goes on beyond that has its connection closed at each further one. */
  readonly refusalRatePerPeer: Rate;
  /** Bytes of requests in memory, of all peers; reading the next one waits. */
  readonly inboundBytesMax: number;
  /** The share of it that one peer can have. */
  readonly inboundBytesPerPeerMax: number;
  /** Bytes of answers that are being made, or that slow peers have not taken yet; making the next one waits. */
  readonly answersPendingBytesMax: number;
  /** The share of it that one peer can have. */
  readonly answersPendingBytesPerPeerMax: number;
  /** Bytes of answers to our own requests that are being read. */
  readonly answersReadBytesMax: number;
  /**
   * How long a request waits for those bytes before it is told "busy": less than any caller's idle timeout. Behind the
   * caller's own messages it waits for as long as they move, which the caller sees.
   */
  readonly inboundWaitMs: number;
  /** A served request with no byte either way for so long is given up. */
  readonly inboundIdleMs: number;
  /** First exchange after a dial. */
  readonly helloTimeoutMs: number;
  /** A connection on which nothing was heard for so long is asked for a sign of life. */
  readonly silentMs: number;
  /** It is closed when none comes and nothing else moves in this time; the answer may wait behind bulk data. */
  readonly signOfLifeMs: number;
  /** Dials of kad-dht and of guests, all addresses together. */
  readonly dialTimeoutMs: number;
  readonly addressDialTimeoutMs: number;
  /** `Directory.find` and `Directory.pool`. */
  readonly lookupTimeoutMs: number;
  /** Swarms up to this size keep a connection between every two members. */
  readonly meshMembersMax: number;
  /** Connections that the redial loop keeps in larger swarms; others are dialled when there is a request. */
  readonly meshConnectionsMin: number;
  readonly redialParallelMax: number;
  readonly redialFirstMs: number;
  readonly redialMaxMs: number;
  /** The same for a member that is there but does not know us yet: news of us may reach it any second. */
  readonly redialRefusedMaxMs: number;
  readonly connectionsMax: number;
  /** Handshakes that have not ended yet. Beyond, the oldest of the address that has most of them goes. */
  readonly pendingInboundMax: number;
  readonly inboundPerSecondAndHost: number;
  readonly inboundUpgradeTimeoutMs: number;
}

export const DEFAULT_LIMITS: Libp2pLimits = {
  outboundPerPeer: 8,
  outboundTotal: 256,
  outboundWaitingPerPeer: 1024,
  inboundPerPeer: 16,
  inboundTotal: 256,
  inboundPerGuest: 8,
  inboundJoinersTotal: 8,
  inboundRecoverersTotal: 16,
  inboundFormersTotal: 4,
  formerConnectionsMax: 16,
  requestRatePerPeer: { perSecond: 500, burst: 2000 },
  requestRateMembers: { perSecond: 4000, burst: 16_000 },
  requestRateOthers: { perSecond: 500, burst: 2000 },
  refusalRatePerPeer: { perSecond: 50, burst: 1000 },
  inboundBytesMax: 64 * MIB,
  inboundBytesPerPeerMax: 40 * MIB,
  answersPendingBytesMax: 64 * MIB,
  answersPendingBytesPerPeerMax: 40 * MIB,
  answersReadBytesMax: 64 * MIB,
  inboundWaitMs: 8 * SECOND_MS,
  inboundIdleMs: 30 * SECOND_MS,
  helloTimeoutMs: 5 * SECOND_MS,
  silentMs: 30 * SECOND_MS,
  signOfLifeMs: 15 * SECOND_MS,
  dialTimeoutMs: 5 * SECOND_MS,
  addressDialTimeoutMs: 3 * SECOND_MS,
  lookupTimeoutMs: 4 * SECOND_MS,
  meshMembersMax: 64,
  meshConnectionsMin: 16,
  redialParallelMax: 8,
  redialFirstMs: SECOND_MS,
  redialMaxMs: 30 * SECOND_MS,
  redialRefusedMaxMs: 5 * SECOND_MS,
  connectionsMax: 600,
  pendingInboundMax: 256,
  inboundPerSecondAndHost: 64,
  inboundUpgradeTimeoutMs: 3 * SECOND_MS,
};

/**
 * Messages up to this size follow their header at once; larger ones wait for the other end's word, so that it
 * can first find room for them. A round trip is little beside the time that more bytes take.
 */
export const UNASKED_BYTES_MAX = 64 * KIB;

/** What is handed to a stream at once. */
export const WRITE_CHUNK_BYTES = 256 * KIB;

/**
 * Flow-control window of a stream. A window that is larger than the read buffer lets a paused stream overflow,
 * and then it is reset: so window <= READ_BUFFER_BYTES. Streams times window is what a slow link queues before
 * anything else gets through (8 MiB are 13 s at 5 Mbit/s), so it is no larger than a fast link needs:
 * 512 KiB every 50 ms are 80 Mbit/s in one stream.
 */
export const STREAM_WINDOW_BYTES = 512 * KIB;
export const READ_BUFFER_BYTES = 4 * MIB;

/** A request that is served must arrive, and its answer be taken, at this rate on average, after a start. Otherwise a drip holds its bytes for ever. */
export const RATE_MIN_BYTES_PER_S = 8 * KIB;
export const RATE_GRACE_MS = 2 * MINUTE_MS;
/** From the place among the requests under way to the eight bytes of lengths, which follow the opening of the stream at once. */
export const HEADER_TIMEOUT_MS = 20 * SECOND_MS;

/**
 * Streams of one protocol in one connection: libp2p resets what is beyond. Ours answers "busy" long before, and streams that
 * have ended linger for a round trip.
 */
export const STREAMS_PER_CONNECTION_MAX = 64;
/** Streams of all protocols that the other end opens in one connection; each may fill a window before it is read. */
export const STREAMS_INBOUND_MAX = 128;
/** Connections of one peer: two that dial each other have two, one that lost its power has old ones. The oldest goes. */
export const CONNECTIONS_PER_PEER_MAX = 4;
/** Of all guests together; beyond, the oldest of the guest that has most goes. */
export const GUEST_CONNECTIONS_MAX = 64;

/** How long we remember where a peer was, and that it was: branches are closed over weeks. */
export const ADDRESS_AGE_MAX_MS = 90 * DAY_MS;
export const PEER_AGE_MAX_MS = 365 * DAY_MS;
export const ADDRESSES_PER_PEER_MAX = 12;

/** Provider records live 48 hours on the nodes that keep them. */
export const ANNOUNCE_EVERY_MS = 12 * HOUR_MS;
export const ANNOUNCE_RETRY_MS = 15 * SECOND_MS;
export const ANNOUNCE_TIMEOUT_MS = 20 * SECOND_MS;
export const ANNOUNCED_OWNERS_MAX = 10_000;
export const POOL_PEERS_MAX = 64;
