import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLibp2pNode, type Libp2pLimits, type Libp2pNode } from "../../src/adapters/libp2p/index.ts";
import { systemClock, systemRng } from "../../src/adapters/system.ts";
import { must } from "../../src/base/assert.ts";
import { utf8 } from "../../src/base/bytes.ts";
import type { PeerId } from "../../src/base/ids.ts";
import type { Log } from "../../src/base/log.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { type Invitation, invite } from "../../src/membership/administer.ts";
import { FORMAT_VERSIONS, RecordStore, Roster, SyncService } from "../../src/membership/index.ts";
import { StatusBeat } from "../../src/node/status-beat.ts";
import type { Clock, Network } from "../../src/ports/index.ts";
import { delegated } from "../unit/membership/entries.ts";
import { type Keys, keysOf, MemoryStore, newSwarm, START_MS } from "../unit/membership/world.ts";

export interface RosterNode {
  readonly name: string;
  readonly keys: Keys;
  readonly libp2p: Libp2pNode;
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly sync: SyncService;
  readonly events: string[];
  stop(): Promise<void>;
}

export interface RosterNodeInit {
  /** @default all that the swarm's other nodes know */
  readonly entries?: readonly Uint8Array[];
  readonly listen?: string;
  readonly announce?: readonly string[];
  readonly limits?: Partial<Libp2pLimits>;
  readonly wrap?: (network: Network) => Network;
}

/** Members on real libp2p, each with a roster of its own, that gossip as the daemon's do; nothing of the rest of a node. */
export class RosterSwarm {
  readonly nodes: RosterNode[] = [];
  readonly #founded: Awaited<ReturnType<typeof newSwarm>>;
  readonly #invitation: Invitation;
  readonly #root: string;
  readonly #cuts = new Set<string>();
  readonly #uses = new Map<string, number>();
  readonly #entries: Uint8Array[];
  /** A node that is started again has its home still. */
  readonly #stores = new Map<string, MemoryStore>();

  private constructor(founded: Awaited<ReturnType<typeof newSwarm>>, root: string) {
    this.#founded = founded;
    this.#root = root;
    this.#entries = [founded.certificate.bytes];
    this.#invitation = invite(founded, {
      administrators: founded.administrators,
      site: "beta",
      expiresInMs: HOUR_MS,
      uses: 16,
      addresses: [],
    });
  }

  static async create(): Promise<RosterSwarm> {
    return new RosterSwarm(await newSwarm(), await mkdtemp(join(tmpdir(), "cairn-rosters-")));
  }

  /** What makes a node of this name a member: nobody knows it before it is applied somewhere. */
  admission(name: string, use = this.#uses.size): Uint8Array[] {
    this.#uses.set(name, use);
    return delegated(this.#founded, this.#invitation, use, keysOf(name)).map((entry) => entry.bytes);
  }

  /** Listed in the roster that nodes start with from now on. */
  listed(name: string): void {
    this.#entries.push(...this.admission(name));
  }

  get entries(): readonly Uint8Array[] {
    return this.#entries;
  }

  /** No connection between two nodes, as if packets were dropped. */
  async cut(a: RosterNode, b: RosterNode): Promise<void> {
    this.#cuts.add(link(a.keys.peer, b.keys.peer));
    await a.libp2p.network.disconnect(b.keys.peer);
    await b.libp2p.network.disconnect(a.keys.peer);
  }

  heal(a: RosterNode, b: RosterNode): void {
    this.#cuts.delete(link(a.keys.peer, b.keys.peer));
  }

  async node(name: string, init: RosterNodeInit = {}): Promise<RosterNode> {
    const keys = keysOf(name);
    const store = this.#stores.get(name) ?? new MemoryStore();
    this.#stores.set(name, store);
    const roster = await Roster.create(
      { store, clock: CLOCK },
      { genesis: this.#founded.genesis.bytes, entries: init.entries ?? this.#entries },
    );
    const events: string[] = [];
    const say = (event: string): void => void events.push(event);
    const log: Log = { debug: say, info: say, warn: say, error: say };
    const records = await RecordStore.open({ store, roster, log });
    const isCut = (peer: PeerId): boolean => this.#cuts.has(link(keys.peer, peer));
    const libp2p = await createLibp2pNode({
      seed: sha256(utf8(`test signer ${name} node`)),
      datastoreDirectory: join(this.#root, name),
      listen: [init.listen ?? "/ip4/127.0.0.1/tcp/0"],
      ...(init.announce === undefined ? {} : { announce: init.announce }),
      roleOf: (peer) => (isCut(peer) ? "stranger" : roster.roleOf(peer)),
      members: () => roster.members().flatMap(({ peer }) => (isCut(peer) ? [] : [peer])),
      log,
      ...(init.limits === undefined ? {} : { limits: init.limits }),
    });
    const network = init.wrap === undefined ? libp2p.network : init.wrap(libp2p.network);
    const { directory } = libp2p;
    const common = { network, directory, roster, records, clock: CLOCK, rng: systemRng, log };
    const sync = new SyncService(common);
    const space = async () => ({ capacityBytes: 1e9, usedBytes: 0, freeBytes: 1e9 });
    const beat = new StatusBeat(
      {
        ...common,
        shards: { space },
        unmet: { review: async () => {}, list: () => [] },
        signer: keys.node,
        administrator: () => keys.owner.publicKey,
        ticks: { tell: () => {} },
        own: { draining: false, outageUntilMs: undefined, onChange: () => () => {} },
      },
      { programVersion: "test", formats: FORMAT_VERSIONS, everyMs: 5 * MINUTE_MS },
    );
    await libp2p.start();
    sync.start();
    await beat.start();
    const node = {
      ...{ name, keys, libp2p, roster, records, sync, events },
      stop: async () => {
        this.nodes.splice(this.nodes.indexOf(node), 1);
        await beat.stop();
        await sync.stop();
        await libp2p.stop();
      },
    };
    this.nodes.push(node);
    return node;
  }

  /** The first node of the swarm, whose key founded it. */
  founder(init: RosterNodeInit = {}): Promise<RosterNode> {
    return this.node("first", init);
  }

  async stop(): Promise<void> {
    for (const node of [...this.nodes]) await node.stop();
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** The machine's, but for the date, which is that of the swarm's certificates. */
const CLOCK: Clock = {
  wallMs: () => START_MS + Math.floor(systemClock.monotonicMs()),
  monotonicMs: () => systemClock.monotonicMs(),
  sleep: (ms, signal) => systemClock.sleep(ms, signal),
};

function link(a: PeerId, b: PeerId): string {
  return [a, b].sort().join(" ");
}

export async function tellAddresses(to: RosterNode, ...others: readonly RosterNode[]): Promise<void> {
  for (const other of others) {
    await to.libp2p.directory.learn(other.keys.peer, other.libp2p.directory.ownAddresses());
  }
}

export function areConnected(a: RosterNode, b: RosterNode): boolean {
  const sees = (one: RosterNode, other: RosterNode): boolean =>
    one.libp2p.network.connected().includes(other.keys.peer);
  return sees(a, b) && sees(b, a);
}

export function allConnected(nodes: readonly RosterNode[]): boolean {
  return nodes.every((a, index) => nodes.slice(index + 1).every((b) => areConnected(a, b)));
}

export function nodeAt(nodes: readonly RosterNode[], index: number): RosterNode {
  return must(nodes[index], "node");
}
