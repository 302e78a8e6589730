import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { ByteBudget } from "../../base/concurrency.ts";
import { messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { SECOND_MS } from "../../base/units.ts";
import type { NetMessage, PeerRole, Protocol, RequestHandler } from "../../ports/network.ts";
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
import { fromLibp2p } from "./peers.ts";
import { endLater, StreamIo } from "./stream-io.ts";
import { acquireBytesWithin, ByteGauge } from "./waiting.ts";

export interface RequestServerInit {
  /** @default FRAMINGS */
  readonly framings?: readonly number[];
  readonly roleOf: RoleOf;
  readonly limits: Libp2pLimits;
  readonly log: Log;
}

/** Signs of life that one peer may have under way. */
const HELLOS_PER_PEER_MAX = 4;

/** Whose requests are counted together: none of these takes the places of another. */
type Crowd = "members" | "joiners" | "recoverers" | "formers";

/** One request that is being served. */
interface Serving {
  readonly peer: PeerId;
  readonly io: StreamIo;
  readonly guard: IdleGuard;
  readonly limits: ProtocolLimits;
  readonly handler: RequestHandler;
}

/**
 * Answers requests. Before anything of a request is allocated, the caller's role, the number of requests under
 * way, the lengths in the header and the bytes in memory are looked at, in this order.
 */
export class RequestServer {
  readonly #init: RequestServerInit;
  readonly #handlers = new Map<Protocol, RequestHandler>();
  readonly #served = new Map<string, number>();
  readonly #requestBytes: ByteBudget;
  readonly #bytesOfPeer = new Map<PeerId, { budget: ByteBudget; users: number }>();
  readonly #answers: ByteGauge;
  readonly #answersOfPeer = new Map<PeerId, { gauge: ByteGauge; users: number }>();
  readonly #underWay: Record<Crowd, number> = { members: 0, joiners: 0, recoverers: 0, formers: 0 };

  constructor(init: RequestServerInit) {
    this.#init = init;
    this.#requestBytes = new ByteBudget(init.limits.inboundBytesMax);
    this.#answers = new ByteGauge(init.limits.answersPendingBytesMax);
  }

  get requestBytesInMemory(): number {
    return this.#requestBytes.usedBytes;
  }

  get answerBytesInMemory(): number {
    return this.#answers.bytes;
  }

  handle(protocol: Protocol, handler: RequestHandler): void {
    this.#handlers.set(protocol, handler);
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
    const io = new StreamIo(stream, guard.signal, () => guard.touch());
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
    if (!allowed) return await this.#turnAway(io, STATUS.refused);
    const handler = protocol === "hello" ? answerHello : this.#handlers.get(protocol);
    if (handler === undefined) return await this.#turnAway(io, STATUS.busy);
    const limits = protocol === "hello" ? HELLO_LIMITS : PROTOCOL_LIMITS[protocol];
    const leave = this.#enter(peer, protocol, role);
    if (leave === undefined) return await this.#turnAway(io, STATUS.busy);
    try {
      await this.#serve({ peer, io, guard, limits, handler });
    } finally {
      leave();
    }
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
    const release = await guard.hold(() => this.#reserve(serving.peer, bytes, guard.signal));
    if (release === undefined) return await this.#turnAway(io, STATUS.busy);
    try {
      if (isAsked(lengths)) await writeStatus(io, STATUS.go);
      const stopClock = demandRate(bytes, guard, "the request arrives too slowly");
      const message = await readMessage(io, lengths).finally(stopClock);
      await this.#answer(serving, message);
    } finally {
      release();
    }
  }

  async #answer(serving: Serving, message: NetMessage): Promise<void> {
    const { io, guard, limits, peer } = serving;
    const { gauge, leave } = this.#answersOf(peer);
    try {
      if (limits.answer.bodyBytesMax > 0) {
        const waitMs = this.#init.limits.inboundWaitMs / 2;
        const isRoom = async (): Promise<boolean> =>
          (await gauge.below(waitMs)) && (await this.#answers.below(waitMs));
        if (!(await guard.hold(isRoom))) return await this.#turnAway(io, STATUS.busy);
      }
      await this.#answerNow(serving, message, gauge);
    } finally {
      leave();
    }
  }

  async #answerNow(serving: Serving, message: NetMessage, gauge: ByteGauge): Promise<void> {
    const { io, guard, limits, peer } = serving;
    const answer = await guard.hold(() => this.#run(serving, message));
    if (!withinLimits(lengthsOf(answer), limits.answer)) {
      this.#init.log.error("answer-too-large", { peer, ...lengthsOf(answer) });
      throw new Error("the answer is larger than the protocol allows");
    }
    const bytes = messageBytes(answer);
    this.#answers.add(bytes);
    gauge.add(bytes);
    const stopClock = demandRate(bytes, guard, "the answer is taken too slowly");
    try {
      await writeAnswer(io, answer);
      await io.finish();
    } finally {
      stopClock();
      gauge.remove(bytes);
      this.#answers.remove(bytes);
    }
  }

  /** Of what one peer has not taken: half of the whole, so that one that takes nothing does not stop the others. */
  #answersOf(peer: PeerId): { gauge: ByteGauge; leave: () => void } {
    const known = this.#answersOfPeer.get(peer);
    const share = known ?? { gauge: new ByteGauge(this.#init.limits.answersPendingBytesMax / 2), users: 0 };
    this.#answersOfPeer.set(peer, share);
    share.users++;
    const leave = (): void => {
      if (--share.users === 0) this.#answersOfPeer.delete(peer);
    };
    return { gauge: share.gauge, leave };
  }

  async #run(serving: Serving, message: NetMessage): Promise<NetMessage> {
    try {
      return await serving.handler(serving.peer, message);
    } catch (error) {
      escalate(error);
      this.#init.log.warn("request-handler-failed", { peer: serving.peer, reason: messageOf(error) });
      throw error;
    }
  }

  /** Room for a request, of the peer's share and of all; `undefined` when there was none in time. */
  async #reserve(peer: PeerId, bytes: number, signal: AbortSignal): Promise<(() => void) | undefined> {
    if (bytes === 0) return () => {};
    const share = this.#bytesOfPeer.get(peer) ?? {
      budget: new ByteBudget(this.#init.limits.inboundBytesPerPeerMax),
      users: 0,
    };
    this.#bytesOfPeer.set(peer, share);
    share.users++;
    const leave = (): void => {
      if (--share.users === 0) this.#bytesOfPeer.delete(peer);
    };
    const waitMs = this.#init.limits.inboundWaitMs / 2;
    let hasShare = false;
    try {
      hasShare = await acquireBytesWithin(share.budget, bytes, waitMs, signal);
      if (hasShare && (await acquireBytesWithin(this.#requestBytes, bytes, waitMs, signal))) {
        return () => {
          this.#requestBytes.release(bytes);
          share.budget.release(bytes);
          leave();
        };
      }
    } catch (error) {
      if (hasShare) share.budget.release(bytes);
      leave();
      throw error;
    }
    if (hasShare) share.budget.release(bytes);
    leave();
    return undefined;
  }

  async #turnAway(io: StreamIo, status: Status): Promise<void> {
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

function crowdOf(role: PeerRole): Crowd {
  switch (role) {
    case "member":
      return "members";
    case "join-guest":
      return "joiners";
    case "recovery-guest":
      return "recoverers";
    // Nobody else gets here.
    case "former":
    case "stranger":
      return "formers";
  }
}

function placesOf(crowd: Crowd, limits: Libp2pLimits): number {
  switch (crowd) {
    case "members":
      return limits.inboundTotal;
    case "joiners":
      return limits.inboundJoinersTotal;
    case "recoverers":
      return limits.inboundRecoverersTotal;
    case "formers":
      return limits.inboundFormersTotal;
  }
}

const answerHello: RequestHandler = async () => ({ head: EMPTY_BYTES, body: EMPTY_BYTES });
