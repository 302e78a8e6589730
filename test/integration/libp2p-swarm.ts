import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createGuest,
  createLibp2pNode,
  type Guest,
  type Libp2pLimits,
  type Libp2pNode,
} from "../../src/adapters/libp2p/index.ts";
import { must } from "../../src/base/assert.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import type { NetMessage, PeerRole } from "../../src/ports/network.ts";

export const IDLE = { idleTimeoutMs: 20_000 };

export function message(head = "", body: Uint8Array = new Uint8Array(0)): NetMessage {
  return { head: new TextEncoder().encode(head), body };
}

export interface TestNodeInit {
  readonly seed?: Uint8Array;
  readonly directory?: string;
  readonly listen?: string;
  readonly limits?: Partial<Libp2pLimits>;
  readonly framings?: readonly number[];
  /** Whom its redial loop keeps connected. @default every member */
  readonly members?: () => readonly PeerId[];
  /** @default member */
  readonly role?: PeerRole;
}

/** Nodes in this process that share one roster. */
export class TestSwarm {
  readonly #roles = new Map<PeerId, PeerRole>();
  readonly #stops = new Set<() => Promise<void>>();
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async create(): Promise<TestSwarm> {
    return new TestSwarm(await mkdtemp(join(tmpdir(), "cairn-libp2p-")));
  }

  readonly roleOf = (peer: PeerId): PeerRole => this.#roles.get(peer) ?? "stranger";
  readonly members = (): PeerId[] =>
    [...this.#roles].filter(([, role]) => role === "member").map(([peer]) => peer);

  setRole(peer: PeerId, role: PeerRole): void {
    this.#roles.set(peer, role);
  }

  freshDirectory(): string {
    return join(this.#root, randomBytes(6).toString("hex"));
  }

  async node(init: TestNodeInit = {}): Promise<Libp2pNode> {
    const node = await createLibp2pNode({
      seed: init.seed ?? randomBytes(32),
      datastoreDirectory: init.directory ?? this.freshDirectory(),
      listen: [init.listen ?? "/ip4/127.0.0.1/tcp/0"],
      roleOf: this.roleOf,
      members: init.members ?? this.members,
      log: SILENT_LOG,
      ...(init.limits === undefined ? {} : { limits: init.limits }),
      ...(init.framings === undefined ? {} : { framings: init.framings }),
    });
    try {
      await node.start();
    } catch (error) {
      await node.stop();
      throw error;
    }
    this.setRole(node.network.self, init.role ?? "member");
    this.onStop(node.stop);
    return node;
  }

  async guest(role: PeerRole): Promise<Guest> {
    const guest = await createGuest({ seed: randomBytes(32), log: SILENT_LOG });
    this.setRole(guest.self, role);
    this.onStop(guest.stop);
    return guest;
  }

  /** Ends one node before the end of the test. */
  async stopNode(node: Libp2pNode): Promise<void> {
    this.#stops.delete(node.stop);
    await node.stop();
  }

  onStop(stop: () => Promise<void>): void {
    this.#stops.add(stop);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#stops].map((stop) => stop()));
    await rm(this.#root, { recursive: true, force: true });
  }
}

export async function introduce(to: Libp2pNode, ...others: readonly Libp2pNode[]): Promise<void> {
  for (const other of others) await to.directory.learn(other.network.self, other.directory.ownAddresses());
}

export function isConnected(from: Libp2pNode, to: Libp2pNode): boolean {
  return from.network.connected().includes(to.network.self);
}

export function addressOf(node: Libp2pNode): string {
  return must(node.listenAddresses()[0], "listen address");
}

export function portOf(node: Libp2pNode): number {
  return Number(must(/\/tcp\/(\d+)$/.exec(addressOf(node))?.[1], "port"));
}
