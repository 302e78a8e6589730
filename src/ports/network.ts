import type { PeerId } from "../base/ids.ts";

/**
 * What one peer sends another: a small head that the schema of src/wire decodes, and a body of raw bytes
 * (shard data) that is not encoded again. Either may be empty.
 */
export interface NetMessage {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

/** Limits that both ends enforce before they allocate. */
export const NET_HEAD_BYTES_MAX = 8 * 1024 * 1024;
/** One whole shard of a 16 MiB segment at k = 1, and its header. */
export const NET_BODY_BYTES_MAX = 17 * 1024 * 1024;

/**
 * The protocols of our own. Members may open all of them; a guest only its own one, a former member `sync`:
 * - data: shards, heads, maps, receipts, between members;
 * - sync: roster and records, anti-entropy between members;
 * - join: a token's guest hands in a new node's key;
 * - recover: a recovery identity reads its owner's records and shards.
 */
export const PROTOCOLS = ["data", "sync", "join", "recover"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Who is at the other end of a connection; decided by the roster from the key that the handshake proved. */
export type PeerRole =
  | "member"
  | "join-guest"
  | "recovery-guest"
  /** Was a member, and was replaced or removed: it may learn that, by `sync`, and no more. */
  | "former"
  | "stranger";

export interface RequestOptions {
  /** Without any byte in or out for so long, the request fails with `PEER_TIMEOUT`. */
  readonly idleTimeoutMs: number;
  readonly signal?: AbortSignal;
}

export type RequestHandler = (from: PeerId, message: NetMessage) => Promise<NetMessage>;

/** The most that head and body of the answer to this request have together. What it throws fails the request. */
export type AnswerSize = (from: PeerId, message: NetMessage) => number;
/** Answers up to this size need not be said beforehand. */
export const ANSWER_SMALL_BYTES = 64 * 1024;

/**
 * Contract, checked by test/contract/network.ts against libp2p and the simulator's network:
 * - A request reaches the handler at most once and is answered at most once; the caller gets the answer, or
 *   `PEER_UNREACHABLE` (no connection, or it broke), `PEER_TIMEOUT`, `PEER_BUSY` (the other end has as many
 *   requests under way as it takes), `PEER_PROTOCOL` (limits exceeded), `PEER_REFUSED` (our role there may not use the protocol), or the signal's reason. A request that
 *   failed may have been carried out.
 * - A handler that throws resets the request: the caller gets `PEER_UNREACHABLE`. Refusals are answers.
 * - Neither end holds more than one message in memory for a request, however slow the other is.
 * - Before a handler runs there is room for the largest answer that it may make to this request, as `answerBytesMax` says;
 *   where nothing does, for the largest of the protocol. Until there is, the request waits, and then is told `PEER_BUSY`.
 *   An answer that is larger than was said, and than `ANSWER_SMALL_BYTES`, fails the request as a handler that throws.
 * - Peers whose role is not allowed the protocol never reach its handler.
 */
export interface Network {
  readonly self: PeerId;
  request(
    peer: PeerId,
    protocol: Protocol,
    message: NetMessage,
    options: RequestOptions,
  ): Promise<NetMessage>;
  handle(protocol: Protocol, handler: RequestHandler, answerBytesMax?: AnswerSize): void;
  /** Members with an open connection. */
  connected(): PeerId[];
  /** Called after a peer's first connection opened or its last closed. Returns how to stop. */
  onConnection(listener: (peer: PeerId, connected: boolean) => void): () => void;
  /**
   * Called when a peer that is a member here ended a connection that we had dialled without letting us in: as far as
   * it has heard, we are none. Not called more than once for a dial. Returns how to stop.
   */
  onRefused(listener: (peer: PeerId) => void): () => void;
  /** Ends every connection of a peer whose role changed to stranger. */
  disconnect(peer: PeerId): Promise<void>;
}
