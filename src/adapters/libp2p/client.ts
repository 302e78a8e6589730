import { must } from "../../base/assert.ts";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { ByteBudget, Semaphore } from "../../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { NetMessage, Protocol, RequestOptions } from "../../ports/network.ts";
import { type ConnectionBook, NotAdmitted, type OpenConnection } from "./connections.ts";
import { exchange } from "./exchange.ts";
import { lengthsOf, withinLimits } from "./framing.ts";
import { IdleGuard, raceAbort } from "./idle-guard.ts";
import { FRAMINGS, HELLO_LIMITS, type Libp2pLimits, PROTOCOL_LIMITS, protocolIds } from "./limits.ts";
import { acquirePlace } from "./waiting.ts";

export interface RequestClientInit {
  /** @default FRAMINGS */
  readonly framings?: readonly number[];
  readonly limits: Libp2pLimits;
  /** Set after construction by whoever owns both, since the book needs `hello`. */
  readonly book: () => ConnectionBook;
  /** An open connection, dialled if need be. Rejects with a `Fault`, `NotAdmitted`, or what libp2p throws. */
  readonly connect: (peer: PeerId, signal: AbortSignal) => Promise<OpenConnection>;
}

/** What is under way and waiting for one peer in one protocol. */
interface Lane {
  readonly places: Semaphore;
  waiting: number;
  users: number;
}

const EMPTY_MESSAGE: NetMessage = { head: EMPTY_BYTES, body: EMPTY_BYTES };

/** Our requests: bounded per peer and in total, so that a slow or hung peer takes neither memory nor everybody's places. */
export class RequestClient {
  readonly #init: RequestClientInit;
  readonly #framings: readonly number[];
  readonly #lanes = new Map<string, Lane>();
  readonly #total: Semaphore;
  readonly #budget: ByteBudget;
  /** Last byte to or from a peer in any request: whoever waits for a place at a live peer is not timed out. */
  readonly #progressMs = new Map<PeerId, number>();

  constructor(init: RequestClientInit) {
    this.#init = init;
    this.#framings = init.framings ?? FRAMINGS;
    this.#total = new Semaphore(init.limits.outboundTotal);
    this.#budget = new ByteBudget(init.limits.answersReadBytesMax);
  }

  get answerBytesBeingRead(): number {
    return this.#budget.usedBytes;
  }

  async request(
    peer: PeerId,
    protocol: Protocol,
    message: NetMessage,
    options: RequestOptions,
  ): Promise<NetMessage> {
    const limits = PROTOCOL_LIMITS[protocol];
    if (!withinLimits(lengthsOf(message), limits.request)) {
      const reason = `a request of ${message.head.length} + ${message.body.length} bytes is more than the protocol allows`;
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason });
    }
    const guard = new IdleGuard({
      idleMs: options.idleTimeoutMs,
      onIdle: () => new Fault({ code: "PEER_TIMEOUT", peer, afterMs: options.idleTimeoutMs }),
      signal: options.signal,
      elsewhereMs: () => this.#progressMs.get(peer) ?? 0,
    });
    try {
      return await this.#inLane(peer, protocol, guard, () => this.#send(peer, protocol, message, guard));
    } catch (error) {
      throw asRequestFault(error, peer, guard.signal);
    } finally {
      guard.close();
    }
  }

  /** The first exchange of a connection, and later the sign of life. */
  async hello(open: OpenConnection, afterMs: number): Promise<void> {
    const guard = new IdleGuard({
      idleMs: afterMs,
      onIdle: () => new Fault({ code: "PEER_TIMEOUT", peer: open.peer, afterMs }),
    });
    try {
      await exchange(open.connection, {
        protocolIds: protocolIds("hello", this.#framings),
        limits: HELLO_LIMITS,
        message: EMPTY_MESSAGE,
        guard,
        budget: this.#budget,
        peer: open.peer,
        onProgress: () => this.#progressed(open.peer),
      });
    } finally {
      guard.close();
    }
  }

  async #send(peer: PeerId, protocol: Protocol, message: NetMessage, guard: IdleGuard): Promise<NetMessage> {
    const open = await this.#init.connect(peer, guard.signal);
    guard.touch();
    open.usedMs = performance.now();
    try {
      return await exchange(open.connection, {
        protocolIds: protocolIds(protocol, this.#framings),
        limits: PROTOCOL_LIMITS[protocol],
        message,
        guard,
        budget: this.#budget,
        peer,
        onProgress: () => this.#progressed(open.peer),
      });
    } catch (error) {
      if (isFault(error, "PEER_TIMEOUT")) void this.#init.book().probe(open);
      throw error;
    }
  }

  #progressed(peer: PeerId): void {
    this.#progressMs.set(peer, performance.now());
  }

  async #inLane<T>(peer: PeerId, protocol: Protocol, guard: IdleGuard, task: () => Promise<T>): Promise<T> {
    const key = `${protocol} ${peer}`;
    const lane = this.#lanes.get(key) ?? this.#newLane(key);
    if (lane.waiting >= this.#init.limits.outboundWaitingPerPeer)
      throw new Fault({ code: "PEER_BUSY", peer });
    lane.users++;
    lane.waiting++;
    try {
      await acquirePlace(lane.places, guard.signal).finally(() => lane.waiting--);
      try {
        return await this.#withTotal(guard, task);
      } finally {
        lane.places.release();
      }
    } finally {
      if (--lane.users === 0) {
        this.#lanes.delete(key);
        this.#progressMs.delete(peer);
      }
    }
  }

  async #withTotal<T>(guard: IdleGuard, task: () => Promise<T>): Promise<T> {
    // Others' requests fill the places, not this peer: their time is not counted against it.
    await guard.hold(() => acquirePlace(this.#total, guard.signal));
    try {
      return await task();
    } finally {
      this.#total.release();
    }
  }

  #newLane(key: string): Lane {
    const lane = { places: new Semaphore(this.#init.limits.outboundPerPeer), waiting: 0, users: 0 };
    this.#lanes.set(key, lane);
    return lane;
  }
}

/** Waits until the connection is admitted. */
export async function whenAdmitted(open: OpenConnection, signal: AbortSignal): Promise<OpenConnection> {
  if (!open.isAdmitted) await raceAbort(open.admitted, signal);
  return open;
}

function asRequestFault(error: unknown, peer: PeerId, signal: AbortSignal): unknown {
  if (signal.aborted) return must(signal.reason as unknown, "reason of an abort");
  if (error instanceof Fault) return error;
  if (error instanceof Error && error.name === "UnsupportedProtocolError") {
    return new Fault(
      { code: "PEER_PROTOCOL", peer, reason: "it does not speak this protocol" },
      { cause: error },
    );
  }
  const reason = error instanceof NotAdmitted ? error.message : `the exchange broke: ${messageOf(error)}`;
  return new Fault({ code: "PEER_UNREACHABLE", peer, reason }, { cause: error });
}
