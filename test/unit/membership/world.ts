import { must } from "../../../src/base/assert.ts";
import { compareBytes, concatBytes, fromHex, toHex, u32be, utf8 } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { type PeerId, peerIdOf } from "../../../src/base/ids.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { type Signer, signerFromSeed } from "../../../src/crypto/sign.ts";
import { createSwarm } from "../../../src/membership/administer.ts";
import { Roster } from "../../../src/membership/roster.ts";
import type {
  Clock,
  MetaRange,
  MetaStore,
  NetMessage,
  Network,
  PeerRole,
  Protocol,
  RequestHandler,
  Rng,
} from "../../../src/ports/index.ts";

export const START_MS = 1_800_000_000_000;

export function signer(name: string): Signer {
  return signerFromSeed(sha256(utf8(`test signer ${name}`)));
}

export function testRng(seed: string): Rng {
  let drawn = 0;
  const bytes = (length: number): Uint8Array => {
    const parts: Uint8Array[] = [];
    for (let have = 0; have < length; have += 32) parts.push(sha256(utf8(seed), u32be(drawn++)));
    return new Uint8Array(concatBytes(...parts).subarray(0, length));
  };
  return { bytes, float: () => new DataView(bytes(4).buffer).getUint32(0) / 2 ** 32 };
}

/** Time that goes on only when told; sleepers wake in the order of their times. */
export class TestClock implements Clock {
  #nowMs = START_MS;
  readonly #sleepers = new Set<{ atMs: number; wake: () => void }>();

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - START_MS;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { atMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const next = [...this.#sleepers].sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#sleepers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.wake();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** Lets everything that is ready to run do so. */
export async function settle(rounds = 20): Promise<void> {
  for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve));
}

export class MemoryStore implements MetaStore {
  readonly map = new Map<string, Uint8Array>();
  syncedWrites = 0;
  failNext = false;
  /** Turns of the event loop that a write takes. */
  writeTurns = 0;

  get(key: Uint8Array): Uint8Array | undefined {
    return this.map.get(toHex(key));
  }

  async *scan({ from, to, limit, reverse }: MetaRange) {
    const keys = [...this.map.keys()].map((hex) => must(fromHex(hex), "key")).sort(compareBytes);
    if (reverse === true) keys.reverse();
    let given = 0;
    for (const key of keys) {
      if (from !== undefined && compareBytes(key, from) < 0) continue;
      if (to !== undefined && compareBytes(key, to) >= 0) continue;
      if (limit !== undefined && given++ >= limit) return;
      yield [key, must(this.get(key), "value")] as const;
    }
  }

  async write(
    ops: readonly (
      | { type: "put"; key: Uint8Array; value: Uint8Array }
      | { type: "delete"; key: Uint8Array }
    )[],
    { sync }: { sync: boolean },
  ): Promise<void> {
    for (let turn = 0; turn < this.writeTurns; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (this.failNext) {
      this.failNext = false;
      throw new Fault({ code: "DISK_FULL", where: "test" });
    }
    for (const op of ops) {
      if (op.type === "put") this.map.set(toHex(op.key), new Uint8Array(op.value));
      else this.map.delete(toHex(op.key));
    }
    if (sync) this.syncedWrites++;
  }

  async close(): Promise<void> {}
}

/** The Network port among ends in one process; links can be cut. */
export class MemoryNet {
  readonly ends = new Map<PeerId, MemoryEnd>();
  readonly #cut = new Set<string>();
  requests = 0;
  bytes = 0;
  observe: ((from: PeerId, to: PeerId, message: NetMessage) => void) | undefined;

  end(self: PeerId, roleOf: (peer: PeerId) => PeerRole = () => "member"): MemoryEnd {
    const end = new MemoryEnd(this, self, roleOf);
    this.ends.set(self, end);
    return end;
  }

  reachable(a: PeerId, b: PeerId): boolean {
    return this.ends.has(a) && this.ends.has(b) && !this.#cut.has([a, b].sort().join());
  }

  setLink(a: PeerId, b: PeerId, open: boolean): void {
    const link = [a, b].sort().join();
    if (open === !this.#cut.has(link)) return;
    if (open) this.#cut.delete(link);
    else this.#cut.add(link);
    this.ends.get(a)?.tell(b, open);
    this.ends.get(b)?.tell(a, open);
  }
}

export class MemoryEnd implements Network {
  readonly self: PeerId;
  readonly #net: MemoryNet;
  readonly #roleOf: (peer: PeerId) => PeerRole;
  readonly #handlers = new Map<Protocol, RequestHandler>();
  readonly #listeners = new Set<(peer: PeerId, connected: boolean) => void>();
  readonly #refusedListeners = new Set<(peer: PeerId) => void>();
  /** Answers nobody, though its links are open. */
  isDeaf = false;
  /** For tests that look at or change what goes by. */
  intercept: ((message: NetMessage) => NetMessage | undefined) | undefined;

  constructor(net: MemoryNet, self: PeerId, roleOf: (peer: PeerId) => PeerRole) {
    this.#net = net;
    this.self = self;
    this.#roleOf = roleOf;
  }

  async request(peer: PeerId, protocol: Protocol, message: NetMessage): Promise<NetMessage> {
    this.#net.requests++;
    this.#net.observe?.(this.self, peer, message);
    this.#net.bytes += message.head.length;
    await new Promise((resolve) => setImmediate(resolve));
    const other = this.#net.ends.get(peer);
    if (other === undefined || !this.#net.reachable(this.self, peer)) throw unreachable(peer);
    const answer = await other.serve(this.self, protocol, message);
    await new Promise((resolve) => setImmediate(resolve));
    const passed = this.intercept === undefined ? answer : this.intercept(answer);
    if (passed === undefined || !this.#net.reachable(this.self, peer)) throw unreachable(peer);
    this.#net.bytes += passed.head.length;
    return passed;
  }

  async serve(from: PeerId, protocol: Protocol, message: NetMessage): Promise<NetMessage> {
    const role = this.#roleOf(from);
    const allowed =
      role === "member" ||
      (role === "join-guest" && protocol === "join") ||
      (role === "recovery-guest" && protocol === "recover") ||
      (role === "former" && protocol === "sync");
    const handler = this.#handlers.get(protocol);
    if (!allowed || handler === undefined || this.isDeaf) throw unreachable(this.self);
    try {
      return await handler(from, message);
    } catch (error) {
      if (error instanceof Fault) throw unreachable(this.self);
      throw error;
    }
  }

  handle(protocol: Protocol, handler: RequestHandler): void {
    this.#handlers.set(protocol, handler);
  }

  connected(): PeerId[] {
    return [...this.#net.ends.keys()].filter(
      (peer) => peer !== this.self && this.#net.reachable(this.self, peer) && this.#roleOf(peer) === "member",
    );
  }

  onConnection(listener: (peer: PeerId, connected: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  onRefused(listener: (peer: PeerId) => void): () => void {
    this.#refusedListeners.add(listener);
    return () => void this.#refusedListeners.delete(listener);
  }

  /** As when the peer turned us away at its door. */
  refusedBy(peer: PeerId): void {
    for (const listener of this.#refusedListeners) listener(peer);
  }

  tell(peer: PeerId, connected: boolean): void {
    if (this.#roleOf(peer) === "member") for (const listener of this.#listeners) listener(peer, connected);
  }

  async disconnect(): Promise<void> {}
}

function unreachable(peer: PeerId): Fault {
  return new Fault({ code: "PEER_UNREACHABLE", peer, reason: "no link" });
}

export interface Keys {
  readonly node: Signer;
  readonly owner: Signer;
  readonly recovery: Signer;
  readonly peer: PeerId;
}

export function keysOf(name: string): Keys {
  const node = signer(`${name} node`);
  return {
    node,
    owner: signer(`${name} owner`),
    recovery: signer(`${name} recovery`),
    peer: peerIdOf(node.publicKey),
  };
}

/** A swarm with one node, "first" at site "alpha". */
export async function newSwarm(
  options: { administrators?: Signer[]; threshold?: number; name?: string } = {},
) {
  const name = options.name ?? "first";
  const clock = new TestClock();
  const rng = testRng(name);
  const administrators = options.administrators ?? [signer("administrator")];
  const keys = keysOf(name);
  const created = createSwarm(
    { rng, clock },
    {
      administrators,
      ...(options.threshold === undefined ? {} : { threshold: options.threshold }),
      node: keys.node.publicKey,
      owner: keys.owner.publicKey,
      recovery: keys.recovery.publicKey,
      description: { site: "alpha", name, host: `${name}.example`, capacityBytes: 1e9 },
    },
  );
  const store = new MemoryStore();
  const roster = await Roster.create(
    { store, clock },
    { genesis: created.genesis.bytes, entries: [created.certificate.bytes] },
  );
  return { ...created, clock, rng, administrators, keys, store, roster };
}

/** The fault that a promise or function ends with. */
export async function faultFrom(action: () => unknown): Promise<Fault> {
  try {
    await action();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("it was not refused");
}
