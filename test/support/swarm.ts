import { SimDisk } from "../../sim/disk.ts";
import { createInlineCompute } from "../../sim/inline-compute.ts";
import { SimMetaDisk } from "../../sim/meta-store.ts";
import { createSimNetworks, type SimNetworks, type SimNode } from "../../sim/network.ts";
import { SeededRng } from "../../sim/rng.ts";
import { SimShardDisk } from "../../sim/shard-store.ts";
import { SimSpoolDisk } from "../../sim/spool.ts";
import { createFileOpener, createFileTarget, createFileTree } from "../../src/adapters/files/index.ts";
import { readReedSolomonWasm } from "../../src/adapters/workers/reed-solomon-wasm.ts";
import { must } from "../../src/base/assert.ts";
import { type PeerId, peerIdOf } from "../../src/base/ids.ts";
import type { Log } from "../../src/base/log.ts";
import { type BytePath, bytePathOf } from "../../src/base/paths.ts";
import { GIB, KIB } from "../../src/base/units.ts";
import { type Signer, signerFromSeed } from "../../src/crypto/sign.ts";
import { createWasmCodec } from "../../src/erasure/index.ts";
import {
  FORMAT_VERSIONS,
  type FormatVersions,
  guestSigner,
  parseToken,
  Roster,
} from "../../src/membership/index.ts";
import {
  type Founded,
  foundSwarm,
  type Identity,
  joinExisting,
  NAMESPACE,
  Node,
  newIdentity,
  type RepositorySizes,
  type RestoreRequest,
  type SnapshotRequest,
  type SnapshotResult,
} from "../../src/node/index.ts";
import {
  type Clock,
  type FileOpener,
  type FileTree,
  type NetMessage,
  type Network,
  type PeerRole,
  type Protocol,
  prefixed,
} from "../../src/ports/index.ts";
import type { UpkeepSettings } from "../../src/upkeep/index.ts";
import { type Life, mortal } from "./mortal.ts";
import { quiet, SteeredClock } from "./steered-clock.ts";

/** Sizes of the format at 1/256, so that kilobytes of files make as many segments as gigabytes would. */
export const SMALL_SIZES: RepositorySizes = {
  chunks: { minBytes: KIB, averageBytes: 4 * KIB, maxBytes: 16 * KIB },
  segments: { fullBytes: 64 * KIB, chunkMaxBytes: 16 * KIB, tailMaxBytes: 4 * KIB, leafBytes: 64 },
};

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type Lie = (asked: {
  readonly protocol: Protocol;
  readonly from: PeerId;
  readonly message: NetMessage;
  readonly honest: () => Promise<NetMessage>;
}) => Promise<NetMessage>;

export interface SwarmInit {
  /** Site of each node; the first one founds the swarm. */
  readonly sites: readonly string[];
  /** @default a host for each node */
  readonly hosts?: readonly string[];
  readonly sizes?: RepositorySizes;
  readonly seed?: string;
  /** @default 1 GiB for each */
  readonly capacityBytes?: (index: number) => number;
  /** What the owner of each node but the first may store. @default no bound */
  readonly quotaBytes?: number;
  readonly spoolMaxBytes?: number;
  readonly checkpoint?: { readonly everyMs: number; readonly everyBytes: number };
  readonly upkeep?: UpkeepSettings;
}

/** Sites of nine nodes, three at each of three: the shape that most tests want. */
export const NINE_AT_THREE = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];

const CODEC = createWasmCodec(readReedSolomonWasm());
const DISK_BYTES = 64 * GIB;

/** Real nodes in one process, on simulated network and disks; files are real. */
export class Swarm {
  readonly clock = new SteeredClock();
  readonly networks: SimNetworks = createSimNetworks({ clock: this.clock });
  readonly members: Machine[] = [];
  readonly init: SwarmInit;
  readonly rng: SeededRng;

  private constructor(init: SwarmInit) {
    this.init = init;
    this.rng = new SeededRng(init.seed ?? "swarm");
  }

  static async create(init: SwarmInit): Promise<Swarm> {
    const swarm = new Swarm(init);
    for (const index of init.sites.keys()) {
      const machine = swarm.newMachine(`node${index}`, must(init.sites[index], "site"), init.hosts?.[index]);
      if (index === 0) await machine.found();
      else await machine.join(must(swarm.members[0], "founder"));
      swarm.members.push(machine);
      await machine.start();
    }
    await swarm.settle();
    return swarm;
  }

  newMachine(name: string, site: string, host = name): Machine {
    const capacityBytes = this.init.capacityBytes?.(this.members.length) ?? GIB;
    return new Machine(this, { name, site, host, capacityBytes });
  }

  /** Lets gossip and everything else that waits for nothing but promises come to rest. */
  async settle(): Promise<void> {
    for (let round = 0; round < 4; round++) await quiet();
    this.networks.refresh();
    for (let round = 0; round < 4; round++) await quiet();
  }

  member(index: number): Machine {
    return must(this.members[index], "member of the swarm");
  }

  byPeer(peer: PeerId): Machine {
    return must(
      this.members.find((machine) => machine.peer === peer),
      "member of the swarm",
    );
  }

  async stop(): Promise<void> {
    for (const machine of this.members) await machine.stop();
  }
}

interface MachineInit {
  readonly name: string;
  readonly site: string;
  readonly host: string;
  readonly capacityBytes: number;
}

/** One machine: its disks outlive the node that runs on it. */
export class Machine {
  readonly swarm: Swarm;
  readonly init: MachineInit;
  readonly rng: SeededRng;
  readonly disk: SimDisk;
  readonly metaDisk: SimMetaDisk;
  readonly shardDisk: SimShardDisk;
  readonly spoolDisk: SimSpoolDisk;
  readonly log: LogLine[] = [];
  /** Paths of files that were opened for reading, in order. */
  readonly opened: BytePath[] = [];
  /** Wraps what reads files, for files that fail or change. */
  wrapOpener: (opener: FileOpener) => FileOpener = (opener) => opener;
  wrapTree: (tree: FileTree) => FileTree = (tree) => tree;
  /** Answers in place of the node, which says what it would have said when `honest` is called; `undefined` ends it. */
  lie: Lie | undefined;
  /** What the node answers, for tests that ask it without a network in between. */
  readonly handlers = new Map<Protocol, Parameters<Network["handle"]>[1]>();
  identity: Identity;
  /** By how much its clock is wrong, from its next start on. */
  clockOffsetMs = 0;
  /** Of the program that runs from its next start on. */
  formats: FormatVersions = FORMAT_VERSIONS;
  #founded: Pick<Founded, "slot" | "administratorSeed"> | undefined;
  #sim: SimNode | undefined;
  #roster: Roster | undefined;
  #life: Life = { isOver: false };
  #node: Node | undefined;
  #starts = 0;

  constructor(swarm: Swarm, init: MachineInit) {
    this.swarm = swarm;
    this.init = init;
    this.rng = swarm.rng.fork(init.name);
    const { clock } = swarm;
    this.disk = new SimDisk({ clock, rng: this.rng.fork("disk"), totalBytes: DISK_BYTES });
    this.metaDisk = new SimMetaDisk(this.disk);
    this.shardDisk = new SimShardDisk(this.disk, { capacityBytes: init.capacityBytes });
    this.spoolDisk = new SimSpoolDisk(this.disk);
    this.identity = newIdentity(this.rng.fork("identity"));
  }

  get peer(): PeerId {
    return peerIdOf(this.identity.node.publicKey);
  }

  get node(): Node {
    return must(this.#node, "running node");
  }

  get isRunning(): boolean {
    return this.#node !== undefined;
  }

  async found(): Promise<void> {
    const { clock } = this.swarm;
    const { site, name, host, capacityBytes } = this.init;
    const components = { meta: this.metaDisk.open(), clock, rng: this.rng.fork("founding") };
    this.#founded = await foundSwarm(components, this.identity, { site, name, host, capacityBytes });
  }

  async join(through: Machine): Promise<void> {
    const { site } = this.init;
    const { quotaBytes } = this.swarm.init;
    const quota = quotaBytes === undefined ? {} : { quotaBytes };
    const { token } = await through.node.invite({ site, expiresMs: 3_600_000, uses: 1, ...quota });
    await this.joinWith(token, through);
  }

  /** With a token that another machine may have as well. */
  async joinWith(token: string, through: Machine): Promise<void> {
    const { name, host, capacityBytes } = this.init;
    const content = parseToken(token);
    const guest = this.guest(guestSigner(content, 0));
    const components = {
      meta: this.metaDisk.open(),
      clock: this.swarm.clock,
      rng: this.rng.fork("founding"),
      network: guest.network,
      via: through.peer,
    };
    const init = { token: content, name, host, capacityBytes, signal: new AbortController().signal };
    this.#founded = await joinExisting(components, this.identity, init);
  }

  /** A network end of another identity on this machine. */
  guest(signer: Signer): SimNode {
    const roleOf = (): PeerRole => "member";
    return this.swarm.networks.add({ self: peerIdOf(signer.publicKey), roleOf });
  }

  /** The home of a recovered owner: what `start` begins from. */
  adopt(identity: Identity, slot: Uint8Array): void {
    this.identity = identity;
    this.#founded = { slot };
  }

  async start(): Promise<Node> {
    const { networks, init } = this.swarm;
    const clock = this.#ownClock();
    const life = { isOver: false };
    this.#life = life;
    const meta = mortal(this.metaDisk.open(), life);
    const roster = must(
      await Roster.open({ store: prefixed(meta, NAMESPACE.membership), clock }),
      "roster of a home",
    );
    this.#roster = roster;
    if (this.#sim === undefined) {
      const roleOf = (peer: PeerId): PeerRole => this.#roster?.roleOf(peer) ?? "stranger";
      this.#sim = networks.add({ self: this.peer, roleOf });
    } else networks.restart(this.peer);
    roster.onChange(() => networks.refresh());
    const founded = must(this.#founded, "founded home");
    const { administratorSeed } = founded;
    const opener = this.wrapOpener(this.#countingOpener());
    const node = await Node.open(
      {
        clock: mortal(clock, life),
        rng: this.rng.fork(`life ${++this.#starts}`),
        network: mortal(this.#lying(this.#sim.network), life),
        directory: this.#sim.directory,
        meta,
        shards: mortal(this.shardDisk.open(), life),
        spool: mortal(this.spoolDisk.open(), life),
        compute: mortal(createInlineCompute(opener, CODEC), life),
        tree: mortal(this.wrapTree(createFileTree()), life),
        openTarget: async (directory) => createFileTarget(directory),
        log: this.#logger(),
      },
      roster,
      {
        keys: this.identity.keys,
        signer: this.identity.node,
        slot: founded.slot,
        formats: this.formats,
        sizes: init.sizes ?? SMALL_SIZES,
        host: this.init.host,
        program: "test",
        privileged: process.getuid?.() === 0,
        ...(administratorSeed === undefined ? {} : { administrator: signerFromSeed(administratorSeed) }),
        ...(init.spoolMaxBytes === undefined ? {} : { spoolMaxBytes: init.spoolMaxBytes }),
        ...(init.checkpoint === undefined ? {} : { checkpoint: init.checkpoint }),
        ...(init.upkeep === undefined ? {} : { upkeep: init.upkeep }),
      },
    );
    this.#node = node;
    await node.start();
    networks.refresh();
    return node;
  }

  /** Ends the node in an orderly way. */
  async stop(): Promise<void> {
    if (this.#node === undefined) return;
    const node = this.#node;
    this.#node = undefined;
    await node.stop();
    this.#life.isOver = true;
    this.swarm.networks.crash(this.peer);
  }

  /** The power goes: the node is gone, and of its disks what was not synced may be. */
  crash(): void {
    if (this.#node === undefined) return;
    this.#node = undefined;
    this.#life.isOver = true;
    this.swarm.networks.crash(this.peer);
    this.disk.losePower();
  }

  logged(event: string): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  snapshot(paths: readonly string[], changes: Partial<SnapshotRequest> = {}): Promise<SnapshotResult> {
    const source = {
      kind: "paths" as const,
      paths: paths.map(bytePathOf),
      excludes: [],
      oneFileSystem: false,
    };
    const request = { source, tags: [], wait: "safe" as const, onProgress: () => {}, ...changes };
    return this.node.repository.snapshot({ signal: new AbortController().signal, ...request });
  }

  async restore(
    target: string,
    changes: Partial<RestoreRequest> = {},
  ): ReturnType<Node["repository"]["restore"]> {
    const snapshot = changes.snapshot ?? (await this.node.repository.find("latest"));
    return this.node.repository.restore({
      selection: { includes: [], excludes: [] },
      target: bytePathOf(target),
      overwrite: "if-changed",
      delete: false,
      dryRun: false,
      partial: false,
      signal: new AbortController().signal,
      onProgress: () => {},
      ...changes,
      snapshot,
    });
  }

  #ownClock(): Clock {
    const { clock } = this.swarm;
    const offsetMs = this.clockOffsetMs;
    return {
      wallMs: () => clock.wallMs() + offsetMs,
      monotonicMs: () => clock.monotonicMs(),
      sleep: (ms, signal) => clock.sleep(ms, signal),
    };
  }

  #lying(network: Network): Network {
    const handle: Network["handle"] = (protocol, handler, answerBytesMax) => {
      this.handlers.set(protocol, handler);
      const lying: typeof handler = async (from, message) => {
        const honest = async (): Promise<NetMessage> => handler(from, message);
        return this.lie === undefined ? honest() : this.lie({ protocol, from, message, honest });
      };
      return network.handle(protocol, lying, answerBytesMax);
    };
    return { ...network, handle };
  }

  #countingOpener(): FileOpener {
    const opener = createFileOpener();
    return {
      open: (path) => {
        this.opened.push(path);
        return opener.open(path);
      },
    };
  }

  #logger(): Log {
    const at =
      (level: LogLine["level"]) =>
      (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
        this.log.push({ level, event, fields });
      };
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  }
}
