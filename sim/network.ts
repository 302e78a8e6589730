import { AssertionFailure, must } from "../src/base/assert.ts";
import { Fault } from "../src/base/fault.ts";
import type { OwnerId, PeerId } from "../src/base/ids.ts";
import type { Clock } from "../src/ports/clock.ts";
import type { Directory } from "../src/ports/directory.ts";
import {
  ANSWER_SMALL_BYTES,
  type AnswerSize,
  NET_BODY_BYTES_MAX,
  NET_HEAD_BYTES_MAX,
  type NetMessage,
  type Network,
  type PeerRole,
  type Protocol,
  type RequestHandler,
  type RequestOptions,
} from "../src/ports/network.ts";

/**
 * The ports `Network` and `Directory` for many nodes in one process: bytes are copied and delivered at once.
 * No timer and no randomness of its own, so that a run is as deterministic as the clock and the core in it.
 * Members that list each other count as connected as long as nothing is cut, and so does a member for a former one
 * that does not know yet; call `refresh` after roles changed.
 */
export interface SimNetworks {
  add(init: SimNodeInit): SimNode;
  /** Stops delivery between two nodes, in both directions: requests fail with `PEER_UNREACHABLE`. */
  cut(a: PeerId, b: PeerId): void;
  heal(a: PeerId, b: PeerId): void;
  /** The node's process is gone: connections break, its own requests and those to it fail. It keeps its address. */
  crash(peer: PeerId): void;
  /** Back at the same address, without handlers, as after a start. */
  restart(peer: PeerId): void;
  /** Takes requests but never answers, as a stopped process does: they end with `PEER_TIMEOUT`. */
  hang(peer: PeerId, isHung: boolean): void;
  /** Requests are carried out, but the answer is lost: the connection seems to break. `undefined` ends it. */
  loseAnswers(when: ((from: PeerId, to: PeerId, protocol: Protocol) => boolean) | undefined): void;
  /** Sees every request before it is delivered; may wait (latency) or throw a `Fault`. `undefined` ends it. */
  intercept(hook: ((delivery: SimDelivery) => Promise<void>) | undefined): void;
  /** The same for every answer, on its way back: `delivery` is of the request. */
  interceptAnswers(hook: ((delivery: SimDelivery, answer: NetMessage) => Promise<void>) | undefined): void;
  /**
   * Roles have changed: opens and closes connections accordingly, and tells the listeners. Where only what lies between one
   * node and the others can have changed, or between two, their names save looking at all pairs.
   */
  refresh(only?: PeerId, other?: PeerId): void;
  /** Bytes of bodies delivered, requests and answers, since the start. */
  bodyBytes(): number;
}

export interface SimDelivery {
  readonly from: PeerId;
  readonly to: PeerId;
  readonly protocol: Protocol;
  readonly message: NetMessage;
}

export interface SimNodeInit {
  readonly self: PeerId;
  /** The roster of this node. */
  readonly roleOf: (peer: PeerId) => PeerRole;
  /** @default ["/ip4/10.x.y.z/tcp/4001"], different for every node */
  readonly addresses?: readonly string[];
  /** Served for one peer in one protocol at a time; beyond that `PEER_BUSY`. @default 16 */
  readonly inboundPerPeer?: number;
}

export interface SimNode {
  readonly network: Network;
  readonly directory: Directory;
  /** The peer at an address, as a guest's dial finds it. Throws `PEER_UNREACHABLE` or `NOT_A_MEMBER`. */
  dial(address: string): Promise<PeerId>;
}

interface State {
  readonly init: SimNodeInit;
  readonly addresses: readonly string[];
  readonly handlers: Map<Protocol, { handler: RequestHandler; answerBytesMax: AnswerSize | undefined }>;
  readonly listeners: Set<(peer: PeerId, connected: boolean) => void>;
  readonly refusedListeners: Set<(peer: PeerId) => void>;
  readonly connected: Set<PeerId>;
  /** The same as a list, until it changes: it is asked for much more often. */
  connectedList: PeerId[] | undefined;
  /** Who is up and does not list this node, though this node lists it. */
  readonly turnedAwayBy: Set<State>;
  readonly known: Map<PeerId, string[]>;
  readonly announced: Set<OwnerId>;
  readonly served: Map<string, number>;
  /** Requests from and to it: how to break each off when the node crashes. */
  readonly underWay: Set<() => void>;
  isUp: boolean;
  isHung: boolean;
}

/** Why the timer of a request that is over ends; nobody sees it. */
const ENDED = new Fault({ code: "INTERRUPTED" });

const ALLOWED: Readonly<Record<PeerRole, readonly Protocol[]>> = {
  member: ["data", "sync", "join", "recover"],
  "join-guest": ["join"],
  "recovery-guest": ["recover"],
  former: ["sync"],
  stranger: [],
};

/** A clock that may have cheaper timers than sleeps that are broken off. */
type NetworkClock = Clock & { readonly after?: (ms: number, task: () => void) => () => void };

export function createSimNetworks(init: { readonly clock: NetworkClock }): SimNetworks {
  return new SimSwarm(init.clock);
}

class SimSwarm implements SimNetworks {
  readonly #clock: NetworkClock;
  readonly #nodes = new Map<PeerId, State>();
  readonly #cuts = new Set<string>();
  /** Of each pair, how to break off what is under way between them. */
  readonly #links = new Map<string, Set<() => void>>();
  #losing: ((from: PeerId, to: PeerId, protocol: Protocol) => boolean) | undefined;
  #intercept: ((delivery: SimDelivery) => Promise<void>) | undefined;
  #interceptAnswer: ((delivery: SimDelivery, answer: NetMessage) => Promise<void>) | undefined;
  #bodyBytes = 0;

  constructor(clock: NetworkClock) {
    this.#clock = clock;
  }

  add(init: SimNodeInit): SimNode {
    const index = this.#nodes.size + 1;
    const state: State = {
      init,
      addresses: init.addresses ?? [`/ip4/10.${index >> 16}.${(index >> 8) & 255}.${index & 255}/tcp/4001`],
      handlers: new Map(),
      listeners: new Set(),
      refusedListeners: new Set(),
      connected: new Set(),
      connectedList: undefined,
      turnedAwayBy: new Set(),
      known: new Map(),
      announced: new Set(),
      served: new Map(),
      underWay: new Set(),
      isUp: true,
      isHung: false,
    };
    this.#nodes.set(init.self, state);
    this.refresh(init.self);
    return {
      network: this.#networkOf(state),
      directory: this.#directoryOf(state),
      dial: (address) => this.#dial(state, address),
    };
  }

  cut(a: PeerId, b: PeerId): void {
    this.#cuts.add(linkKey(a, b));
    this.#breakLink(a, b);
    this.refresh(a, b);
  }

  heal(a: PeerId, b: PeerId): void {
    this.#cuts.delete(linkKey(a, b));
    this.refresh(a, b);
  }

  crash(peer: PeerId): void {
    const state = this.#state(peer);
    state.isUp = false;
    for (const breakOff of [...state.underWay]) breakOff();
    state.handlers.clear();
    state.listeners.clear();
    state.refusedListeners.clear();
    state.announced.clear();
    state.served.clear();
    this.refresh(peer);
  }

  restart(peer: PeerId): void {
    const state = this.#state(peer);
    state.isUp = true;
    state.isHung = false;
    this.refresh(peer);
  }

  hang(peer: PeerId, isHung: boolean): void {
    this.#state(peer).isHung = isHung;
  }

  loseAnswers(when: ((from: PeerId, to: PeerId, protocol: Protocol) => boolean) | undefined): void {
    this.#losing = when;
  }

  intercept(hook: ((delivery: SimDelivery) => Promise<void>) | undefined): void {
    this.#intercept = hook;
  }

  interceptAnswers(hook: ((delivery: SimDelivery, answer: NetMessage) => Promise<void>) | undefined): void {
    this.#interceptAnswer = hook;
  }

  bodyBytes(): number {
    return this.#bodyBytes;
  }

  refresh(only?: PeerId, other?: PeerId): void {
    const changes: (() => void)[] = [];
    const [one, two] = [only, other].map((peer) => (peer === undefined ? undefined : this.#nodes.get(peer)));
    for (const state of this.#nodes.values()) {
      for (const seen of this.#seenAnew(state, one, two)) this.#look(state, seen, changes);
      if (state.turnedAwayBy.size > 0) changes.push(() => this.#knockOnDoors(state));
    }
    // Listeners look at other nodes too: all sets are right before the first is called.
    for (const tell of changes) tell();
  }

  #seenAnew(state: State, one: State | undefined, two: State | undefined): Iterable<State> {
    if (one === undefined) return this.#nodes.values();
    if (two === undefined) return state === one ? this.#nodes.values() : [one];
    if (state === one) return [two];
    return state === two ? [one] : [];
  }

  /** Whether the first has the second, as things are now; what has changed is told later. */
  #look(state: State, other: State, changes: (() => void)[]): void {
    const peer = other.init.self;
    if (this.#turnsAway(other, state)) state.turnedAwayBy.add(other);
    else state.turnedAwayBy.delete(other);
    const isConnected = this.#areConnected(state, other);
    if (isConnected === state.connected.has(peer)) return;
    if (isConnected) state.connected.add(peer);
    else state.connected.delete(peer);
    state.connectedList = undefined;
    for (const listener of state.listeners) changes.push(() => listener(peer, isConnected));
  }

  #turnsAway(other: State, state: State): boolean {
    const [self, peer] = [state.init.self, other.init.self];
    return (
      other !== state &&
      this.#reaches(state, other) &&
      state.init.roleOf(peer) === "member" &&
      other.init.roleOf(self) === "stranger"
    );
  }

  /** A node dials the members that it misses; one that does not list it turns it away. */
  #knockOnDoors(state: State): void {
    for (const other of this.#nodes.values())
      if (state.turnedAwayBy.has(other) && this.#turnsAway(other, state))
        for (const listener of state.refusedListeners) listener(other.init.self);
  }

  #areConnected(a: State, b: State): boolean {
    const roleAt = (node: State, other: State): PeerRole => node.init.roleOf(other.init.self);
    const admits = a !== b && ["member", "former"].includes(roleAt(b, a));
    return admits && this.#reaches(a, b) && roleAt(a, b) === "member";
  }

  #reaches(a: State, b: State): boolean {
    return a.isUp && b.isUp && !this.#cuts.has(linkKey(a.init.self, b.init.self));
  }

  #breakLink(a: PeerId, b: PeerId): void {
    for (const breakOff of [...(this.#links.get(linkKey(a, b)) ?? [])]) breakOff();
  }

  #networkOf(state: State): Network {
    return {
      self: state.init.self,
      request: (peer, protocol, message, options) => this.#request(state, peer, protocol, message, options),
      handle: (protocol, handler, answerBytesMax) => {
        state.handlers.set(protocol, { handler, answerBytesMax });
      },
      connected: () => (state.connectedList ??= [...state.connected]),
      onConnection: (listener) => {
        state.listeners.add(listener);
        return () => state.listeners.delete(listener);
      },
      onRefused: (listener) => {
        state.refusedListeners.add(listener);
        return () => state.refusedListeners.delete(listener);
      },
      disconnect: async (peer) => {
        this.#breakLink(state.init.self, peer);
        this.refresh(state.init.self, peer);
      },
    };
  }

  async #request(
    from: State,
    peer: PeerId,
    protocol: Protocol,
    message: NetMessage,
    options: RequestOptions,
  ): Promise<NetMessage> {
    options.signal?.throwIfAborted();
    checkSize(peer, message);
    const sent = copyOf(message);
    const to = this.#nodes.get(peer);
    if (to === undefined || to === from || !this.#reaches(from, to)) throw unreachable(peer, "no connection");
    if (from.init.roleOf(peer) !== "member") throw unreachable(peer, "it is not a member");
    const role = to.init.roleOf(from.init.self);
    if (role === "stranger") throw unreachable(peer, "it does not admit this node");
    return new Promise((resolve, reject) => {
      let isEnded = false;
      const places = [from.underWay, to.underWay, this.#linkOf(from.init.self, peer)];
      const onAbort = (): void => end(() => reject(options.signal?.reason));
      const breakOff = (): void => end(() => reject(unreachable(peer, "the connection broke")));
      const end = (settle: () => void): void => {
        if (isEnded) return;
        isEnded = true;
        endTimer();
        for (const place of places) place.delete(breakOff);
        options.signal?.removeEventListener("abort", onAbort);
        settle();
      };
      for (const place of places) place.add(breakOff);
      options.signal?.addEventListener("abort", onAbort, { once: true });
      const afterMs = options.idleTimeoutMs;
      const endTimer = this.#after(afterMs, () =>
        end(() => reject(new Fault({ code: "PEER_TIMEOUT", peer, afterMs }))),
      );
      this.#deliver({ from, to, role, protocol, message: sent }).then(
        (answer) => end(() => resolve(answer)),
        (error: unknown) => end(() => reject(error)),
      );
    });
  }

  #after(ms: number, task: () => void): () => void {
    if (this.#clock.after !== undefined) return this.#clock.after(ms, task);
    const ended = new AbortController();
    this.#clock.sleep(ms, ended.signal).then(task, () => {});
    return () => ended.abort(ENDED);
  }

  async #deliver(request: {
    from: State;
    to: State;
    role: PeerRole;
    protocol: Protocol;
    message: NetMessage;
  }): Promise<NetMessage> {
    const { from, to, role, protocol, message } = request;
    const [sender, peer] = [from.init.self, to.init.self];
    // The handler never runs before `request` has returned its promise, as over a real network.
    await Promise.resolve();
    const delivery = { from: sender, to: peer, protocol, message };
    await this.#intercept?.(delivery);
    if (to.isHung) return await never();
    if (!to.isUp) throw unreachable(peer, "the connection broke");
    if (!ALLOWED[role].includes(protocol)) {
      throw new Fault({
        code: "PEER_REFUSED",
        peer,
        refusal: "role",
        reason: "our role may not use this protocol",
      });
    }
    const answer = await this.#serve(to, sender, protocol, message);
    await this.#interceptAnswer?.(delivery, answer);
    if (to.isHung) return await never();
    if (this.#losing?.(sender, peer, protocol) === true) throw unreachable(peer, "the connection broke");
    this.#bodyBytes += message.body.length + answer.body.length;
    return copyOf(answer);
  }

  async #serve(to: State, sender: PeerId, protocol: Protocol, message: NetMessage): Promise<NetMessage> {
    const peer = to.init.self;
    const service = to.handlers.get(protocol);
    const key = `${protocol} ${sender}`;
    const served = to.served.get(key) ?? 0;
    if (service === undefined || served >= (to.init.inboundPerPeer ?? 16))
      throw new Fault({ code: "PEER_BUSY", peer });
    to.served.set(key, served + 1);
    try {
      const said = service.answerBytesMax?.(sender, message);
      const answer = await service.handler(sender, message);
      checkSize(peer, answer);
      const bytes = answer.head.length + answer.body.length;
      if (said !== undefined && bytes > Math.max(said, ANSWER_SMALL_BYTES))
        throw new Error(`an answer of ${bytes} bytes, where ${said} were said`);
      return answer;
    } catch (error) {
      // A broken invariant in the core under test must end the test, whoever asked.
      if (error instanceof AssertionFailure) throw error;
      throw unreachable(peer, "its handler failed", error);
    } finally {
      // A crash ends all service at once; what was served by then counts no more.
      const left = (to.served.get(key) ?? 0) - 1;
      if (left > 0) to.served.set(key, left);
      else to.served.delete(key);
    }
  }

  #linkOf(a: PeerId, b: PeerId): Set<() => void> {
    const key = linkKey(a, b);
    const link = this.#links.get(key) ?? new Set();
    this.#links.set(key, link);
    return link;
  }

  #directoryOf(state: State): Directory {
    const addressesOf = async (peer: PeerId): Promise<string[]> => [...(state.known.get(peer) ?? [])];
    return {
      addresses: addressesOf,
      learn: async (peer, addresses) => {
        state.known.set(peer, [...new Set([...addresses, ...(state.known.get(peer) ?? [])])].slice(0, 12));
      },
      ownAddresses: () => [...state.addresses],
      find: async (peer) => {
        const target = this.#nodes.get(peer);
        if (target?.isUp !== true || state.connected.size === 0) return [];
        state.known.set(peer, [...target.addresses]);
        return [...target.addresses];
      },
      announce: async (owner) => {
        state.announced.add(owner);
      },
      withdraw: async (owner) => {
        state.announced.delete(owner);
      },
      // Records are held by others, so a crashed node's are found as long as anybody is there to ask.
      pool: async (owner) =>
        state.connected.size === 0
          ? []
          : [...this.#nodes.values()]
              .filter((other) => other !== state && other.announced.has(owner))
              .map((other) => other.init.self),
    };
  }

  async #dial(from: State, address: string): Promise<PeerId> {
    const plain = address.replace(/\/p2p\/[^/]+$/, "");
    const to = [...this.#nodes.values()].find((other) => other.addresses.includes(plain));
    if (to === undefined || !this.#reaches(from, to)) throw unreachable(address, "nobody listens there");
    const peer = to.init.self;
    if (to.init.roleOf(from.init.self) === "stranger") throw new Fault({ code: "NOT_A_MEMBER", peer });
    return peer;
  }

  #state(peer: PeerId): State {
    return must(this.#nodes.get(peer), "simulated node");
  }
}

function linkKey(a: PeerId, b: PeerId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function checkSize(peer: PeerId, message: NetMessage): void {
  if (message.head.length <= NET_HEAD_BYTES_MAX && message.body.length <= NET_BODY_BYTES_MAX) return;
  throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "the message is larger than the protocol allows" });
}

function copyOf(message: NetMessage): NetMessage {
  return { head: message.head.slice(), body: message.body.slice() };
}

function unreachable(peer: string, reason: string, cause?: unknown): Fault {
  return new Fault({ code: "PEER_UNREACHABLE", peer, reason }, cause === undefined ? {} : { cause });
}

function never(): Promise<never> {
  return new Promise(() => {});
}
