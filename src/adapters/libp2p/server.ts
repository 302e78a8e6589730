import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { SECOND_MS } from "../../base/units.ts";
import {
  ANSWER_SMALL_BYTES,
  type AnswerSize,
  type NetMessage,
  type PeerRole,
  type Protocol,
  type RequestHandler,
} from "../../ports/network.ts";
import { type Crowd, crowdOf, placesOf } from "./crowds.ts";
import {
  isAsked,
  lengthsOf,
  messageBytes,
  readLengths,
  readMessage,
  STATUS,
  type Status,
  withinLimits,
  writeAnswer,
  writeStatus,
} from "./framing.ts";
import { mayOpen, type RoleOf, roleAt } from "./gate.ts";
import { IdleGuard } from "./idle-guard.ts";
import { escalate } from "./last-resort.ts";
import {
  ALL_PROTOCOLS,
  FRAMINGS,
  HEADER_TIMEOUT_MS,
  HELLO_LIMITS,
  type Libp2pLimits,
  PROTOCOL_LIMITS,
  type ProtocolLimits,
  protocolIds,
  RATE_GRACE_MS,
  RATE_MIN_BYTES_PER_S,
  STREAMS_PER_CONNECTION_MAX,
} from "./limits.ts";
import { Pacing } from "./pacing.ts";
import { fromLibp2p } from "./peers.ts";
import { SharedBytes, type TakenBytes } from "./shared-bytes.ts";
import { endLater, StreamIo } from "./stream-io.ts";

export interface RequestServerInit {
  /** @default FRAMINGS */
  readonly framings?: readonly number[];
  readonly roleOf: RoleOf;
  readonly limits: Libp2pLimits;
  readonly log: Log;
}

/** Signs of life that one peer may have under way. */
const HELLOS_PER_PEER_MAX = 4;

/** One request that is being served. */
interface Serving {
  readonly peer: PeerId;
  readonly io: StreamIo;
  readonly guard: IdleGuard;
  readonly limits: ProtocolLimits;
  readonly service: Service;
}

interface Service {
  readonly handler: RequestHandler;
  /** @default the most that the protocol allows */
  readonly answerBytesMax?: AnswerSize | undefined;
}

/**
 * Answers requests. Before anything of a request is allocated, the caller's role, the number of requests under
 * way, the lengths in the header and the bytes in memory are looked at, in this order; before its answer is made, how
 * large that can get.
 */
export class RequestServer {
  readonly #init: RequestServerInit;
  readonly #services = new Map<Protocol, Service>();
  readonly #served = new Map<string, number>();
  readonly #requests: SharedBytes;
  readonly #answers: SharedBytes;
  readonly #pacing: Pacing;
  #refused = 0;
  readonly #underWay: Record<Crowd, number> = { members: 0, joiners: 0, recoverers: 0, formers: 0 };

  constructor(init: RequestServerInit) {
    this.#init = init;
    const { limits } = init;
    const waitMs = limits.inboundWaitMs / 2;
    this.#pacing = new Pacing(limits);
    this.#requests = new SharedBytes({
      bytesMax: limits.inboundBytesMax,
      bytesPerPeerMax: limits.inboundBytesPerPeerMax,
      waitMs,
    });
    this.#answers = new SharedBytes({
      bytesMax: limits.answersPendingBytesMax,
      bytesPerPeerMax: limits.answersPendingBytesPerPeerMax,
      waitMs,
    });
  }

  get requestBytesInMemory(): number {
    return this.#requests.usedBytes;
  }

  /** Without those of up to `ANSWER_SMALL_BYTES`, of which there is one for each request under way. */
  get answerBytesInMemory(): number {
    return this.#answers.usedBytes;
  }

  /** Requests that were told "busy" or refused since the start. */
  get requestsRefused(): number {
    return this.#refused;
  }

  handle(protocol: Protocol, handler: RequestHandler, answerBytesMax?: AnswerSize): void {
    this.#services.set(protocol, { handler, answerBytesMax });
  }

  /** Before the node starts: identify tells the protocols once. */
  async register(libp2p: Libp2p): Promise<void> {
    const options = {
      maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
      maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
    };
    const framings = this.#init.framings ?? FRAMINGS;
    for (const protocol of [...ALL_PROTOCOLS, "hello"] as const) {
      await libp2p.handle(
        protocolIds(protocol, framings),
        (stream, connection) => this.#accept(stream, connection, protocol),
        options,
      );
    }
  }

  /** Never rejects: libp2p would only reset the stream, which has been done by then. */
  async #accept(stream: Stream, connection: Connection, protocol: Protocol | "hello"): Promise<void> {
    const peer = fromLibp2p(connection.remotePeer);
    if (peer === undefined) return stream.abort(new Error("not an Ed25519 key"));
    const guard = new IdleGuard({
      idleMs: this.#init.limits.inboundIdleMs,
      onIdle: () => new Error("nothing moved for too long"),
    });
    const io = new StreamIo(stream, guard.signal, () => {
      guard.touch();
      this.#requests.moved(peer);
      this.#answers.moved(peer);
    });
    try {
      await this.#decide(peer, connection, protocol, io, guard);
    } catch (error) {
      this.#init.log.debug("request-broken", { peer, protocol, reason: messageOf(error) });
      io.reset(error instanceof Error ? error : new Error(String(error)));
    } finally {
      io.detach();
      guard.close();
      endLater(stream);
    }
  }

  async #decide(
    peer: PeerId,
    connection: Connection,
    protocol: Protocol | "hello",
    io: StreamIo,
    guard: IdleGuard,
  ): Promise<void> {
    const role = roleAt(connection.remotePeer, this.#init.roleOf);
    const allowed = protocol === "hello" ? role !== "stranger" : mayOpen(role, protocol);
    if (!allowed) return await this.#shutOut(peer, connection, io, STATUS.refused);
    const service = protocol === "hello" ? HELLO : this.#services.get(protocol);
    if (service === undefined) return await this.#turnAway(io, STATUS.busy);
    const limits = protocol === "hello" ? HELLO_LIMITS : PROTOCOL_LIMITS[protocol];
    const leave = this.#enter(peer, protocol, role);
    if (leave === undefined) return await this.#shutOut(peer, connection, io, STATUS.busy);
    try {
      await guard.hold(() => this.#pacing.itsTurn(peer, crowdOf(role), guard.signal));
      await this.#serve({ peer, io, guard, limits, service });
    } finally {
      leave();
    }
  }

  async #shutOut(peer: PeerId, connection: Connection, io: StreamIo, status: Status): Promise<void> {
    if (this.#pacing.mayBeRefused(peer)) return await this.#turnAway(io, status);
    this.#refused++;
    this.#init.log.warn("peer-flooding", { peer, connection: connection.id });
    connection.abort(new Error("too many requests"));
  }

  /** A place among the requests under way, or `undefined` when there is none. */
  #enter(peer: PeerId, protocol: Protocol | "hello", role: PeerRole): (() => void) | undefined {
    const { limits } = this.#init;
    const crowd = crowdOf(role);
    const perPeer = role === "member" ? limits.inboundPerPeer : limits.inboundPerGuest;
    const key = `${protocol} ${peer}`;
    const served = this.#served.get(key) ?? 0;
    if (served >= (protocol === "hello" ? HELLOS_PER_PEER_MAX : perPeer)) return undefined;
    // Signs of life are not counted in the total: a node with all hands full is not a dead one.
    const counts = protocol !== "hello";
    if (counts && this.#underWay[crowd] >= placesOf(crowd, limits)) return undefined;
    const add = (difference: number): void => {
      const now = (this.#served.get(key) ?? 0) + difference;
      if (now === 0) this.#served.delete(key);
      else this.#served.set(key, now);
      if (counts) this.#underWay[crowd] += difference;
    };
    add(1);
    return () => add(-1);
  }

  async #serve(serving: Serving): Promise<void> {
    const { io, guard, limits } = serving;
    // Whoever has a place has something to say: eight bytes, at once.
    const stopHeaderClock = giveUpAfter(HEADER_TIMEOUT_MS, guard, "the header does not come");
    const lengths = await readLengths(io).finally(stopHeaderClock);
    if (!withinLimits(lengths, limits.request)) return await this.#turnAway(io, STATUS.tooLarge);
    const bytes = lengths.headBytes + lengths.bodyBytes;
    const room = await guard.hold(() => this.#requests.take(serving.peer, bytes, guard.signal));
    if (room === undefined) return await this.#turnAway(io, STATUS.busy);
    try {
      if (isAsked(lengths)) await writeStatus(io, STATUS.go);
      const stopClock = demandRate(bytes, guard, "the request arrives too slowly");
      const message = await readMessage(io, lengths).finally(stopClock);
      await this.#answer(serving, message);
    } finally {
      room.release();
    }
  }

  async #answer(serving: Serving, message: NetMessage): Promise<void> {
    const { io, guard, peer } = serving;
    const bytesMax = await this.#attempt(peer, async () => answerBytesMax(serving, message));
    // Small ones are as many as requests under way, and wait for nobody's large ones.
    const bytes = bytesMax <= ANSWER_SMALL_BYTES ? 0 : bytesMax;
    const room = await guard.hold(() => this.#answers.take(peer, bytes, guard.signal));
    if (room === undefined) return await this.#turnAway(io, STATUS.busy);
    try {
      await this.#answerWithin(serving, message, bytesMax, room);
    } finally {
      room.release();
    }
  }

  async #answerWithin(
    serving: Serving,
    message: NetMessage,
    bytesMax: number,
    room: TakenBytes,
  ): Promise<void> {
    const { io, guard, limits, peer, service } = serving;
    const answer = await guard.hold(() => this.#attempt(peer, () => service.handler(peer, message)));
    const bytes = messageBytes(answer);
    if (!withinLimits(lengthsOf(answer), limits.answer) || bytes > bytesMax) {
      this.#init.log.error("answer-too-large", { peer, ...lengthsOf(answer), bytesMax });
      throw new Error("the answer is larger than the protocol allows, or than was said");
    }
    room.shrinkTo(bytes);
    const stopClock = demandRate(bytes, guard, "the answer is taken too slowly");
    try {
      await writeAnswer(io, answer);
      await io.finish();
    } finally {
      stopClock();
    }
  }

  async #attempt<T>(peer: PeerId, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      escalate(error);
      this.#init.log.warn("request-handler-failed", { peer, reason: messageOf(error) });
      throw error;
    }
  }

  async #turnAway(io: StreamIo, status: Status): Promise<void> {
    this.#refused++;
    await writeStatus(io, status);
    await io.finish();
  }
}

/** The idle timeout alone would let a drip of bytes hold its room for ever. */
function demandRate(bytes: number, guard: IdleGuard, reason: string): () => void {
  const allowedMs = RATE_GRACE_MS + (bytes / RATE_MIN_BYTES_PER_S) * SECOND_MS;
  return giveUpAfter(allowedMs, guard, reason);
}

function giveUpAfter(ms: number, guard: IdleGuard, reason: string): () => void {
  const timer = setTimeout(() => guard.abort(new Error(reason)), ms);
  return () => clearTimeout(timer);
}

/** Whatever was said, no more than the protocol allows, and no less than what need not be said. */
function answerBytesMax({ service, limits, peer }: Serving, message: NetMessage): number {
  const allowed = limits.answer.headBytesMax + limits.answer.bodyBytesMax;
  const said = service.answerBytesMax?.(peer, message) ?? allowed;
  return Math.min(Math.max(said, ANSWER_SMALL_BYTES), allowed);
}

const HELLO: Service = { handler: async () => ({ head: EMPTY_BYTES, body: EMPTY_BYTES }) };
