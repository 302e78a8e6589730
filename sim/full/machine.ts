import { AssertionFailure, must } from "../../src/base/assert.ts";
import { Fault } from "../../src/base/fault.ts";
import { type PeerId, peerIdOf } from "../../src/base/ids.ts";
import type { Log } from "../../src/base/log.ts";
import { GIB, HOUR_MS, KIB } from "../../src/base/units.ts";
import { type Signer, signerFromSeed } from "../../src/crypto/sign.ts";
import type { ErasureCodec } from "../../src/erasure/index.ts";
import {
  FORMAT_VERSIONS,
  guestSigner,
  parseToken,
  Roster,
  type RosterEntry,
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
} from "../../src/node/index.ts";
import {
  type NetMessage,
  type Network,
  type PeerRole,
  type Protocol,
  prefixed,
  type RequestHandler,
} from "../../src/ports/index.ts";
import { SURPLUS_RULES, UPKEEP_SETTINGS, type UpkeepSettings } from "../../src/upkeep/index.ts";
import { SimDisk } from "../disk.ts";
import { SimFiles } from "../files.ts";
import { createInlineCompute } from "../inline-compute.ts";
import { SimMetaDisk } from "../meta-store.ts";
import type { SimNetworks, SimNode } from "../network.ts";
import { type ClockError, NodeClock } from "../node-clock.ts";
import { SimProcess } from "../process.ts";
import type { SeededRng } from "../rng.ts";
import type { Scheduler } from "../scheduler.ts";
import { SimShardDisk } from "../shard-store.ts";
import { SimSpoolDisk } from "../spool.ts";
import type { Cheat, NodePlan, RecoveryLie, WorldPlan } from "./plan.ts";

/** Sizes of the format at 1/256: kilobytes of files make as many chunks and segments as megabytes would. */
export const SMALL_SIZES: RepositorySizes = {
  chunks: { minBytes: KIB, averageBytes: 4 * KIB, maxBytes: 16 * KIB },
  segments: { fullBytes: 64 * KIB, chunkMaxBytes: 16 * KIB, tailMaxBytes: 4 * KIB, leafBytes: 64 },
};

/** What others of the world hear of a machine. */
export interface MachineEvents {
  readonly onLog: (machine: SimMachine, level: keyof Log, event: string, fields: LogFields) => void;
  /** A rule of the core's own is broken, or it threw what is no fault of the world. */
  readonly onBroken: (machine: SimMachine, error: unknown) => void;
  /** A request was answered by the node's own handler; what is returned is sent. */
  readonly onAnswered: (answered: Answered) => NetMessage;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface Answered {
  readonly machine: SimMachine;
  readonly from: PeerId;
  readonly protocol: Protocol;
  readonly request: NetMessage;
  readonly answer: NetMessage;
}

export interface MachineInit {
  readonly index: number;
  readonly plan: NodePlan;
  readonly scheduler: Scheduler;
  readonly networks: SimNetworks;
  readonly codec: ErasureCodec;
  readonly rng: SeededRng;
  readonly events: MachineEvents;
  readonly scrubPeriodMs: number;
  readonly syncEveryMs: number;
  readonly auditEveryMs?: number | undefined;
  readonly spoolMaxBytes?: number | undefined;
  readonly collection?: WorldPlan["collection"];
  readonly wishes?: MachineWishes | undefined;
}

/** What other tiers have otherwise than the full one, on all machines. */
export interface MachineWishes {
  /** How the entries of a roster on disk are read: where thousands of machines have the same. */
  readonly decodeEntry?: (bytes: Uint8Array) => RosterEntry;
  /** Clocks and bounds of policy. */
  readonly upkeep?: UpkeepSettings;
  /** Ticks are exchanged over each link no more rarely. */
  readonly tickExchangeMs?: number;
}

/** Beside what it keeps for others, a machine has room for its own. */
const DISK_BYTES = 64 * GIB;
const PROGRAM = "sim";
/** As in the field, but for copies too many: so that some are swept within the hours of a run. */
export const UPKEEP: UpkeepSettings = {
  ...UPKEEP_SETTINGS,
  sweep: { everyMs: HOUR_MS / 4, rules: { ...SURPLUS_RULES, settledMs: HOUR_MS }, copiesADay: 8192 },
};

/** One machine of a simulated world: its disks, clock and files outlive the node that runs there. */
export class SimMachine {
  readonly init: MachineInit;
  readonly name: string;
  readonly rng: SeededRng;
  readonly disk: SimDisk;
  readonly metaDisk: SimMetaDisk;
  readonly shardDisk: SimShardDisk;
  readonly spoolDisk: SimSpoolDisk;
  readonly files: SimFiles;
  readonly clockError: ClockError;
  identity: Identity;
  /** Gone for good, with everything on it. */
  isDead = false;
  /** How it cheats those whose data it keeps, and those who recover; one that does neither is honest. */
  cheat: Cheat | undefined;
  /** Its disk was put back to an earlier time: it may rightly say less than it once promised. */
  wasRolledBack = false;
  recoveryLie: RecoveryLie | undefined;
  isStarting = false;
  /** Whether its program should be running, as whoever is in charge of the machine sees it. */
  isWanted = true;
  /** When its program started, and when its disk was last in trouble. */
  onSinceMs = 0;
  troubledUntilMs = 0;
  /** Its owner began here, and was not recovered onto it. */
  isFirstHome = true;
  /** Somebody set its clock while it ran. */
  clockWasSet = false;
  /** Its owner lives on another machine now. */
  isReplaced = false;
  #process = new SimProcess();
  #clock: NodeClock;
  #founded: Pick<Founded, "slot" | "administratorSeed"> | undefined;
  #end: SimNode | undefined;
  #roster: Roster | undefined;
  #node: Node | undefined;
  #starts = 0;
  #ranBeforeMs = 0;
  #countedFromMs: number | undefined;

  constructor(init: MachineInit) {
    const { scheduler, plan, rng, index } = init;
    this.init = init;
    this.name = `n${index}`;
    this.rng = rng;
    this.clockError = { skewMs: plan.skewMs, rate: plan.rate };
    this.#clock = new NodeClock(scheduler, this.clockError);
    this.disk = new SimDisk({
      clock: new NodeClock(scheduler),
      rng: rng.fork("disk"),
      totalBytes: DISK_BYTES,
      readMs: plan.syncMs / 4,
      syncMs: plan.syncMs,
      bytesPerSecond: 50e6,
    });
    this.metaDisk = new SimMetaDisk(this.disk);
    this.shardDisk = new SimShardDisk(this.disk, { capacityBytes: plan.capacityBytes });
    this.spoolDisk = new SimSpoolDisk(this.disk);
    this.files = new SimFiles(() => this.#clock.wallMs());
    this.identity = newIdentity(rng.fork("identity"));
  }

  get peer(): PeerId {
    return peerIdOf(this.identity.node.publicKey);
  }

  get site(): string {
    return this.init.plan.site;
  }

  get host(): string {
    return this.init.plan.host ?? this.name;
  }

  get isHonest(): boolean {
    return this.cheat === undefined && this.recoveryLie === undefined;
  }

  get process(): SimProcess {
    return this.#process;
  }

  get isOn(): boolean {
    return this.#node !== undefined;
  }

  get node(): Node {
    return must(this.#node, "running node");
  }

  /** The node, where one runs. */
  get running(): Node | undefined {
    return this.#node;
  }

  /** Sleeps of the program that runs, or ran last. */
  get sleeping(): number {
    return this.#clock.sleeping;
  }

  get wallMs(): number {
    return this.#clock.wallMs();
  }

  /** How long its programs have run, all together and in true time. */
  get ranMs(): number {
    const { nowMs } = this.init.scheduler;
    return this.#ranBeforeMs + (this.#countedFromMs === undefined ? 0 : nowMs - this.#countedFromMs);
  }

  #stopCounting(): void {
    this.#ranBeforeMs = this.ranMs;
    this.#countedFromMs = undefined;
  }

  async found(): Promise<Founded> {
    const { site, name, host } = this;
    const { capacityBytes } = this.init.plan;
    const components = { meta: this.metaDisk.open(), clock: this.#clock, rng: this.rng.fork("founding") };
    const founded = await foundSwarm(components, this.identity, { site, name, host, capacityBytes });
    this.#founded = founded;
    return founded;
  }

  async join(through: SimMachine, quotaBytes: number | undefined): Promise<void> {
    const { site, name, host } = this;
    const quota = quotaBytes === undefined ? {} : { quotaBytes };
    const { token } = await through.node.invite({ site, expiresMs: 3_600_000, uses: 1, ...quota });
    const content = parseToken(token);
    const components = {
      meta: this.metaDisk.open(),
      clock: this.#clock,
      rng: this.rng.fork("founding"),
      network: this.guest(guestSigner(content, 0)).network,
      via: through.peer,
    };
    const { capacityBytes } = this.init.plan;
    const init = { token: content, name, host, capacityBytes, signal: new AbortController().signal };
    this.#founded = await joinExisting(components, this.identity, init);
  }

  /** A network end of another identity on this machine. */
  guest(signer: Signer): SimNode {
    const roleOf = (): PeerRole => "member";
    return this.init.networks.add({ self: peerIdOf(signer.publicKey), roleOf });
  }

  /** A home that was made elsewhere, of a recovered owner or of one of many members at once: what `start` begins from. */
  adopt(identity: Identity, slot: Uint8Array): void {
    this.isFirstHome = false;
    this.identity = identity;
    this.#founded = { slot };
  }

  /** Starts the program on what the disks have. */
  async start(): Promise<void> {
    const { scheduler, networks, codec, scrubPeriodMs, syncEveryMs, spoolMaxBytes } = this.init;
    const { decodeEntry, upkeep = UPKEEP, tickExchangeMs } = this.init.wishes ?? {};
    const { auditEveryMs = upkeep.auditEveryMs, collection } = this.init;
    const process = new SimProcess();
    this.#process = process;
    this.#clock = new NodeClock(scheduler, this.clockError);
    this.#stopCounting();
    this.#countedFromMs = scheduler.nowMs;
    const clock = process.port(this.#clock);
    const meta = process.port(this.metaDisk.open());
    const store = prefixed(meta, NAMESPACE.membership);
    const opening = Roster.open({
      store,
      clock,
      ...(decodeEntry === undefined ? {} : { decode: decodeEntry }),
    });
    const roster = must(await opening, "roster of a home");
    this.#roster = roster;
    const end = this.#plugIn();
    roster.onChange(() => networks.refresh());
    const { slot, administratorSeed } = must(this.#founded, "founded home");
    const node = await Node.open(
      {
        clock,
        rng: this.rng.fork(`life ${++this.#starts}`),
        network: this.#networkOf(end.network, process),
        directory: process.port(end.directory),
        meta,
        shards: process.port(this.shardDisk.open()),
        spool: process.port(this.spoolDisk.open()),
        compute: process.port(createInlineCompute(this.files.opener(), codec)),
        tree: process.port(this.files.tree()),
        openTarget: async (directory) => process.port(this.files.target(directory)),
        log: this.#log(),
      },
      roster,
      {
        keys: this.identity.keys,
        signer: this.identity.node,
        slot,
        formats: FORMAT_VERSIONS,
        sizes: SMALL_SIZES,
        host: this.host,
        program: PROGRAM,
        privileged: false,
        scrub: { periodMs: scrubPeriodMs },
        sync: { intervalMs: syncEveryMs },
        upkeep: {
          ...{ ...upkeep, auditEveryMs },
          ...(collection === undefined
            ? {}
            : { collection: { ...upkeep.collection, everyMs: collection.everyMs, rules: collection } }),
        },
        ...(tickExchangeMs === undefined ? {} : { tickExchangeMs }),
        ...(administratorSeed === undefined ? {} : { administrator: signerFromSeed(administratorSeed) }),
        ...(spoolMaxBytes === undefined ? {} : { spoolMaxBytes }),
      },
    );
    this.#node = node;
    this.onSinceMs = scheduler.nowMs;
    await node.start();
    networks.refresh(this.peer);
  }

  /** Ends the program in good order. */
  async stop(): Promise<void> {
    const node = this.#node;
    if (node === undefined) return;
    await node.stop();
    if (this.#node !== node) return;
    this.#stopCounting();
    this.#node = undefined;
    this.#process.end();
    this.init.networks.crash(this.peer);
  }

  /** The power goes: the program is gone, and of its disks what was not synced may be. */
  crash(): void {
    this.#goOff();
    this.disk.losePower();
  }

  /** Gone for good. */
  die(): void {
    this.#goOff();
    this.disk.wipe();
    this.isDead = true;
  }

  /** Off, its disks as `put back` leaves them. */
  replaceDisk(putBack: () => void): void {
    this.#goOff();
    putBack();
  }

  #goOff(): void {
    this.#stopCounting();
    this.#node = undefined;
    this.#process.end();
    if (this.#end !== undefined) this.init.networks.crash(this.peer);
  }

  #plugIn(): SimNode {
    const { networks } = this.init;
    if (this.#end !== undefined && this.#end.network.self === this.peer) {
      networks.restart(this.peer);
      return this.#end;
    }
    const roleOf = (peer: PeerId): PeerRole => this.#roster?.roleOf(peer) ?? "stranger";
    this.#end = networks.add({ self: this.peer, roleOf });
    return this.#end;
  }

  #networkOf(network: Network, process: SimProcess): Network {
    return {
      ...process.port(network),
      self: network.self,
      connected: () => network.connected(),
      handle: (protocol, handler, answerBytesMax) => {
        const served: RequestHandler = (from, request) => {
          return new Promise((resolve, reject) => {
            process.arrive(() => {
              // A handler may throw before it returns its promise.
              const answer = Promise.resolve().then(() => handler(from, request));
              process.seen(answer).then(
                (honest) =>
                  resolve(
                    this.init.events.onAnswered({ machine: this, from, protocol, request, answer: honest }),
                  ),
                (error: unknown) => {
                  if (isBroken(error)) this.init.events.onBroken(this, error);
                  reject(error);
                },
              );
            });
          });
        };
        network.handle(protocol, served, answerBytesMax);
      },
      onConnection: (listener) =>
        network.onConnection((peer, isConnected) => process.arrive(() => listener(peer, isConnected))),
      onRefused: (listener) => network.onRefused((peer) => process.arrive(() => listener(peer))),
    };
  }

  #log(): Log {
    const { onLog } = this.init.events;
    const at =
      (level: keyof Log) =>
      (event: string, fields: LogFields = {}): void =>
        onLog(this, level, event, fields);
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  }
}

/** Neither the world's doing nor an orderly end. */
export function isBroken(error: unknown): boolean {
  if (error instanceof AssertionFailure) return true;
  if (error instanceof Fault) return false;
  return !(error instanceof Error && error.name === "AbortError");
}
