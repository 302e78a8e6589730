import type { Connection, Libp2p } from "@libp2p/interface";
import { isFault, messageOf } from "../../base/fault.ts";
import type { PeerId } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";
import { MINUTE_MS, SECOND_MS } from "../../base/units.ts";
import { crowdedOut } from "./crowding.ts";
import type { RoleOf } from "./gate.ts";
import { escalate } from "./last-resort.ts";
import type { Libp2pLimits } from "./limits.ts";
import { fromLibp2p } from "./peers.ts";
import { type SignsOfLife, signsOfLife } from "./signs-of-life.ts";

/** The other end closed the connection instead of answering: so far it does not list us, or no longer. */
export class NotAdmitted extends Error {
  override readonly name = "NotAdmitted";
  constructor(cause?: unknown) {
    super("it closed the connection before any answer: it does not admit this node", { cause });
  }
}

export interface OpenConnection {
  readonly connection: Connection;
  readonly peer: PeerId;
  /** Settles with the first exchange; rejects with `NotAdmitted` or `PEER_TIMEOUT`. */
  readonly admitted: Promise<void>;
  isAdmitted: boolean;
  isProbed: boolean;
  readonly life: SignsOfLife;
  /** When a request last used it. */
  usedMs: number;
}

export interface ConnectionBookInit {
  readonly libp2p: Libp2p;
  readonly self: PeerId;
  readonly roleOf: RoleOf;
  readonly limits: Libp2pLimits;
  readonly log: Log;
  /** One hello exchange. */
  readonly hello: (open: OpenConnection, timeoutMs: number) => Promise<void>;
  /** Called once a member's connection is admitted. */
  readonly onMember: (connection: Connection) => void;
}

/** From this many connections on, those that nobody uses are closed. */
const IDLE_CLOSE_ABOVE = 128;
const IDLE_CLOSE_MS = 5 * MINUTE_MS;
/** One, and the next one after the first was lost unnoticed. */
const CONNECTIONS_PER_FORMER = 2;
/** How long two connections to one peer stand before one is closed: requests under way at the other end may be on either. */
const DUPLICATE_GRACE_MS = 10 * SECOND_MS;

/**
 * The open connections, and which of them count. libp2p calls a connection open once the handshake is done,
 * but a listener that does not list us closes it only after that: so a dialled connection counts from the first
 * answered exchange on. One that went silent is asked for a sign of life and closed without one: after a
 * power cut TCP itself would take a quarter of an hour to notice, and libp2p's own monitor closes links that
 * are merely busy.
 */
export class ConnectionBook {
  readonly #init: ConnectionBookInit;
  readonly #open = new Map<string, OpenConnection>();
  readonly #byPeer = new Map<PeerId, OpenConnection[]>();
  readonly #announced = new Set<PeerId>();
  readonly #listeners = new Set<(peer: PeerId, connected: boolean) => void>();
  #sweeper: NodeJS.Timeout | undefined;

  constructor(init: ConnectionBookInit) {
    this.#init = init;
    init.libp2p.addEventListener("connection:open", (event) => this.#opened(event.detail));
    init.libp2p.addEventListener("connection:close", (event) => this.#closed(event.detail));
  }

  start(): void {
    this.#sweeper = setInterval(() => this.#sweep(), Math.max(50, this.#init.limits.silentMs / 4));
    this.#sweeper.unref();
  }

  stop(): void {
    clearInterval(this.#sweeper);
  }

  /** The connection to use: the newest admitted one, else the newest that is being admitted. */
  best(peer: PeerId): OpenConnection | undefined {
    const all = (this.#byPeer.get(peer) ?? []).filter((open) => open.connection.status === "open");
    return all.findLast((open) => open.isAdmitted) ?? all.at(-1);
  }

  of(connection: Connection): OpenConnection | undefined {
    return this.#open.get(connection.id);
  }

  isConnected(peer: PeerId): boolean {
    return this.#announced.has(peer);
  }

  connected(): PeerId[] {
    return [...this.#announced].filter((peer) => this.#init.roleOf(peer) === "member");
  }

  onConnection(listener: (peer: PeerId, connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends every connection of the peer at once. */
  drop(peer: PeerId): void {
    for (const open of [...(this.#byPeer.get(peer) ?? [])]) open.connection.abort(new Error("disconnected"));
  }

  /** A request on it got no answer: closes it unless the peer gives a sign of life. */
  async probe(open: OpenConnection): Promise<void> {
    if (open.isProbed || !open.isAdmitted || open.connection.status !== "open") return;
    open.isProbed = true;
    const beforeMs = open.life.heardMs;
    try {
      await this.#init.hello(open, this.#init.limits.signOfLifeMs);
    } catch (error) {
      // On a busy slow link the answer comes late, but bytes move; a guest serves no hello, but says so.
      const isAlive =
        open.life.heardMs > beforeMs || (error instanceof Error && error.name === "UnsupportedProtocolError");
      if (isAlive || open.connection.status !== "open") return;
      this.#init.log.info("connection-silent", { peer: open.peer, reason: messageOf(error) });
      open.connection.abort(new Error("no sign of life"));
    } finally {
      open.isProbed = false;
    }
  }

  #opened(connection: Connection): void {
    const peer = fromLibp2p(connection.remotePeer);
    const role = peer === undefined ? "stranger" : this.#init.roleOf(peer);
    if (peer === undefined || role === "stranger") {
      connection.abort(new Error("not a member"));
      return;
    }
    if (role === "former" && !this.#hasRoomForFormer(peer)) {
      connection.abort(new Error("former members have as many connections as they may"));
      return;
    }
    const nowMs = performance.now();
    const admission = Promise.withResolvers<void>();
    // The request that waits for it reports a failure; without one nobody does.
    admission.promise.catch(() => {});
    const state = { isAdmitted: false, isProbed: false, usedMs: nowMs };
    const open: OpenConnection = {
      connection,
      peer,
      admitted: admission.promise,
      life: signsOfLife(connection),
      ...state,
    };
    this.#open.set(connection.id, open);
    this.#byPeer.set(peer, [...(this.#byPeer.get(peer) ?? []), open]);
    this.#admit(open).then(admission.resolve, admission.reject);
    for (const other of crowdedOut(peer, this.#open.values(), this.#init.roleOf)) {
      this.#init.log.info("connection-crowded-out", { peer: other.peer, by: peer });
      other.connection.abort(new Error("too many connections"));
    }
  }

  async #admit(open: OpenConnection): Promise<void> {
    // Who dials us wants us, and the gater has let it in: nothing is left to prove.
    if (open.connection.direction === "outbound") await this.#proveAdmission(open);
    open.isAdmitted = true;
    this.#probeOlder(open);
    this.#announce(open.peer);
    if (this.#init.roleOf(open.peer) === "member") this.#init.onMember(open.connection);
  }

  async #proveAdmission(open: OpenConnection): Promise<void> {
    try {
      await this.#init.hello(open, this.#init.limits.helloTimeoutMs);
    } catch (error) {
      open.connection.abort(new Error("not admitted"));
      throw isFault(error, "PEER_TIMEOUT", "PEER_BUSY") ? error : new NotAdmitted(error);
    }
  }

  #hasRoomForFormer(peer: PeerId): boolean {
    if ((this.#byPeer.get(peer) ?? []).length >= CONNECTIONS_PER_FORMER) return false;
    let formers = 0;
    for (const open of this.#open.values()) if (this.#init.roleOf(open.peer) === "former") formers++;
    return formers < this.#init.limits.formerConnectionsMax;
  }

  /** A peer that connects anew may have lost the connection that we still think we have. */
  #probeOlder(newest: OpenConnection): void {
    for (const open of this.#byPeer.get(newest.peer) ?? []) {
      const isSilent = performance.now() - open.life.heardMs > this.#init.limits.helloTimeoutMs;
      if (open !== newest && isSilent) void this.probe(open);
    }
  }

  #closed(connection: Connection): void {
    const open = this.#open.get(connection.id);
    if (open === undefined) return;
    this.#open.delete(connection.id);
    const left = (this.#byPeer.get(open.peer) ?? []).filter((other) => other !== open);
    if (left.length > 0) this.#byPeer.set(open.peer, left);
    else this.#byPeer.delete(open.peer);
    this.#announce(open.peer);
  }

  #announce(peer: PeerId): void {
    const isConnected = (this.#byPeer.get(peer) ?? []).some((open) => open.isAdmitted);
    if (isConnected === this.#announced.has(peer)) return;
    if (isConnected && this.#init.roleOf(peer) !== "member") return;
    if (isConnected) this.#announced.add(peer);
    else this.#announced.delete(peer);
    this.#init.log.debug(isConnected ? "peer-connected" : "peer-disconnected", { peer });
    for (const listener of this.#listeners) {
      try {
        listener(peer, isConnected);
      } catch (error) {
        escalate(error);
        this.#init.log.error("connection-listener-failed", { peer, reason: messageOf(error) });
      }
    }
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const open of this.#open.values()) {
      if (nowMs - open.life.heardMs > this.#init.limits.silentMs) void this.probe(open);
    }
    for (const [peer, all] of this.#byPeer) this.#closeDuplicates(peer, all);
    if (this.#open.size > IDLE_CLOSE_ABOVE) this.#closeUnused(nowMs);
  }

  /** Two that dial each other at the same time have two connections. One end alone closes the older, once it is free. */
  #closeDuplicates(peer: PeerId, all: readonly OpenConnection[]): void {
    const keep = this.best(peer);
    if (all.length < 2 || this.#init.self > peer || keep === undefined || !keep.isAdmitted) return;
    if (Date.now() - keep.connection.timeline.open < DUPLICATE_GRACE_MS) return;
    for (const open of all) {
      if (open !== keep && open.isAdmitted && open.connection.streams.length === 0) this.#close(open);
    }
  }

  #closeUnused(nowMs: number): void {
    for (const open of this.#open.values()) {
      const isUnused = nowMs - open.usedMs > IDLE_CLOSE_MS && open.connection.streams.length === 0;
      if (isUnused) this.#close(open);
    }
  }

  #close(open: OpenConnection): void {
    open.connection.close({ signal: AbortSignal.timeout(SECOND_MS) }).catch((error: unknown) => {
      open.connection.abort(error instanceof Error ? error : new Error(String(error)));
    });
  }
}
