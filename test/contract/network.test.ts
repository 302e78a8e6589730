import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSimNetworks } from "../../sim/network.ts";
import {
  createGuest,
  createLibp2pNode,
  type Guest,
  type Libp2pNode,
} from "../../src/adapters/libp2p/index.ts";
import { must } from "../../src/base/assert.ts";
import { type PeerId, peerIdOf } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { PeerRole } from "../../src/ports/network.ts";
import { CONTRACT_INBOUND_PER_PEER, type ContractSwarm, networkContract } from "./network.ts";

class Roster {
  readonly #roles = new Map<PeerId, PeerRole>();
  set(peer: PeerId, role: PeerRole): void {
    this.#roles.set(peer, role);
  }
  readonly roleOf = (peer: PeerId): PeerRole => this.#roles.get(peer) ?? "stranger";
  readonly members = (): PeerId[] =>
    [...this.#roles].filter(([, role]) => role === "member").map(([peer]) => peer);
}

async function libp2pSwarm(): Promise<ContractSwarm> {
  const roster = new Roster();
  const directory = await mkdtemp(join(tmpdir(), "cairn-net-"));
  const running = new Set<Libp2pNode>();
  const guests: Guest[] = [];
  return {
    node: async () => {
      const node = await createLibp2pNode({
        seed: randomBytes(32),
        datastoreDirectory: join(directory, `${running.size}-${randomBytes(4).toString("hex")}`),
        listen: ["/ip4/127.0.0.1/tcp/0"],
        roleOf: roster.roleOf,
        members: roster.members,
        log: SILENT_LOG,
        // Nothing but the number that the contract speaks of; the caller's own limit must not hide it.
        limits: {
          inboundPerPeer: CONTRACT_INBOUND_PER_PEER,
          outboundPerPeer: 64,
          refusalRatePerPeer: { perSecond: 1e6, burst: 1e6 },
        },
      });
      await node.start();
      roster.set(node.network.self, "member");
      for (const other of running) {
        await node.directory.learn(other.network.self, other.directory.ownAddresses());
        await other.directory.learn(node.network.self, node.directory.ownAddresses());
      }
      running.add(node);
      const kill = async (): Promise<void> => {
        running.delete(node);
        await node.stop();
      };
      return { network: node.network, directory: node.directory, kill };
    },
    guest: async () => {
      const guest = await createGuest({ seed: randomBytes(32), log: SILENT_LOG });
      guests.push(guest);
      return {
        network: guest.network,
        dial: (node) => guest.dial(must(node.directory.ownAddresses()[0], "own address")),
      };
    },
    setRole: (peer, role) => roster.set(peer, role),
    stop: async () => {
      await Promise.all([...running, ...guests].map((each) => each.stop()));
      await rm(directory, { recursive: true });
    },
  };
}

const REAL_CLOCK: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    }),
};

async function simSwarm(): Promise<ContractSwarm> {
  const roster = new Roster();
  const swarm = createSimNetworks({ clock: REAL_CLOCK });
  return {
    node: async () => {
      const self = peerIdOf(randomBytes(32));
      roster.set(self, "member");
      const node = swarm.add({ self, roleOf: roster.roleOf, inboundPerPeer: CONTRACT_INBOUND_PER_PEER });
      return { network: node.network, directory: node.directory, kill: async () => swarm.crash(self) };
    },
    guest: async () => {
      const node = swarm.add({ self: peerIdOf(randomBytes(32)), roleOf: () => "member" });
      return {
        network: node.network,
        dial: (to) => node.dial(must(to.directory.ownAddresses()[0], "own address")),
      };
    },
    setRole: (peer, role) => {
      roster.set(peer, role);
      swarm.refresh();
    },
    stop: async () => {},
  };
}

networkContract("libp2p over TCP", libp2pSwarm);
networkContract("simulated", simSwarm);
