import { AuditBook } from "../audit/index.ts";
import { toHex } from "../base/bytes.ts";
import { calmLog } from "../base/calm-log.ts";
import { Fault } from "../base/fault.ts";
import type { Incarnation, OwnerId, PeerId, ShardId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { Catalog } from "../catalog/index.ts";
import type { OwnerKeys, Signed, Signer } from "../crypto/index.ts";
import { Fence, Holder, KeptRecords, type OwnerRegistry, PeerClient } from "../exchange/index.ts";
import { type Collector, LiveSets, wantedShards } from "../gc/index.ts";
import { HolderLocks, LockBearer } from "../locks/index.ts";
import { KnownLost } from "../losses/index.ts";
import {
  admitNewcomer,
  FORMAT_VERSIONS,
  type FormatVersions,
  invite,
  JOIN_ANSWER_BYTES_MAX,
  RecordStore,
  type RecordType,
  type Roster,
  type RotationEntry,
  type SyncInit,
  SyncService,
} from "../membership/index.ts";
import { prefixed } from "../ports/index.ts";
import { listening, Presence } from "../presence/index.ts";
import { Scrubber, type ScrubInit, StoreWatch } from "../scrub/index.ts";
import { TickBook, TickGossip } from "../ticks/index.ts";
import { TRUST_RECORD_RULES, TrustBook } from "../trust/index.ts";
import { UPKEEP_SETTINGS, type UpkeepSettings } from "../upkeep/index.ts";
import { incarnationBody } from "../wire/data.ts";
import { decodeSigned } from "../wire/signed.ts";
import { Administration } from "./administration.ts";
import { Administrators } from "./administrators.ts";
import { Audits } from "./audits.ts";
import { Collection } from "./collection.ts";
import { compactionRules } from "./compaction-budget.ts";
import { DataDoor } from "./data-door.ts";
import { DecisionWatch } from "./decision-watch.ts";
import { FallenDecisions } from "./fallen-decisions.ts";
import { Heirship } from "./heirship.ts";
import { Losses } from "./losses.ts";
import type { NodeStanding } from "./node-standing.ts";
import { healthOf, ownerRepairInit } from "./owner-repair.ts";
import { NAMESPACE, type NodePorts, type RepositorySizes } from "./ports.ts";
import { type Deciding, Proposals } from "./proposals.ts";
import { recoverAnswerBytesMax, recoverDoor } from "./recover-door.ts";
import { RecoveryUses } from "./recovery-uses.ts";
import { RecoveryWatch } from "./recovery-watch.ts";
import { Repository } from "./repository.ts";
import { applyRotation, type RotationBasis, RotationWatch, rotationBasis } from "./rotation.ts";
import { publishSlot } from "./slot.ts";
import { StandingKeeper } from "./standing-keeper.ts";
import { StatusBeat } from "./status-beat.ts";
import { RosterView } from "./swarm-view.ts";
import { Sweep } from "./sweep.ts";
import { UnmetPeers } from "./unmet.ts";

export interface NodeInit {
  readonly keys: OwnerKeys;
  /** The node's own key: its public half is the peer id. */
  readonly signer: Signer;
  /** A key of its own that this home has besides the one that follows from the root: the founder's, or an imported one. */
  readonly administrator?: Signer;
  /** The slot record that the recovery key opens, as it was made with the key; in its envelope. */
  readonly slot: Uint8Array | undefined;
  readonly sizes: RepositorySizes;
  readonly host: string;
  readonly program: string;
  /** What this program reads and writes. @default FORMAT_VERSIONS */
  readonly formats?: FormatVersions;
  readonly sync?: SyncInit;
  /** Whether this process may set owners of files. */
  readonly privileged: boolean;
  /** No member: the network's end is the recovery identity's, which may read this owner's data and no more. @default false */
  readonly guest?: boolean;
  readonly spoolMaxBytes?: number;
  readonly scrub?: ScrubInit;
  /** Clocks and bounds of policy. @default UPKEEP_SETTINGS */
  readonly upkeep?: UpkeepSettings;
  /** Ticks are exchanged over each link no more rarely. @default 30 s */
  readonly tickExchangeMs?: number;
  /** What local time is ahead of UTC: a schedule has days and nights. @default UTC */
  readonly localOffsetMs?: () => number;
  /** How much a long snapshot does between checkpoints. @default 30 min or 10 GiB */
  readonly checkpoint?: { readonly everyMs: number; readonly everyBytes: number };
}

/** Shown at most, of each kind. */
const DISPUTES_MAX = 100;

export interface Disputes {
  /** Since the start. */
  readonly conflicts: number;
  readonly forks: readonly {
    readonly type: RecordType;
    /** Public key, hex. */
    readonly signer: string;
    readonly incarnation: Incarnation;
    readonly epoch: number;
  }[];
}

/**
 * A member of a swarm: keeps what others hand it, spreads the roster and records, and backs up its own owner. Built
 * from ports alone; the daemon and the simulator give it theirs.
 */
export class Node {
  readonly roster: Roster;
  readonly records: RecordStore;
  readonly repository: Repository;
  readonly view: RosterView;
  readonly audits: Audits;
  readonly losses: Losses;
  readonly ports: NodePorts;
  readonly administrators: Administrators;
  readonly administration: Administration;
  /** Where several administrators must sign. */
  readonly proposals: Proposals;
  readonly startedMs: number;
  /** Whether the disk with others' shards is there. */
  readonly watch: StoreWatch;
  readonly scrub: Scrubber;
  /** Who is up. Of a guest nothing is known. */
  readonly presence: Presence;
  /** What this node does for the data of others. */
  readonly heirship: Heirship;
  readonly sweep: Sweep;
  /** What owners do not want any more. */
  readonly collection: Collection;
  /** What others have had locked here. */
  readonly locks: HolderLocks;
  readonly #lockBearer: LockBearer;
  readonly #init: NodeInit;
  readonly #holder: Holder;
  readonly #kept: KeptRecords;
  readonly #sync: SyncService;
  readonly #ticks: TickBook;
  readonly #gossip: TickGossip;
  readonly #beat: StatusBeat;
  readonly #unmet: UnmetPeers;
  readonly #recoveryUses: RecoveryUses;
  readonly recoveryWatch: RecoveryWatch;
  readonly #rotations: RotationWatch;
  readonly #standing: StandingKeeper | undefined;
  readonly #fence: Fence;
  /** Role of everybody who has one for good, as it was when the roster last changed. */
  #roles = new Map<PeerId, "member" | "former">();
  readonly #lastSeenMs = new Map<PeerId, number>();
  readonly #unsubscribe: (() => void)[] = [];

  private constructor(
    ports: NodePorts,
    init: NodeInit,
    parts: {
      roster: Roster;
      records: RecordStore;
      repository: Repository;
      view: RosterView;
      holder: Holder;
      kept: KeptRecords;
      fence: Fence;
      watch: StoreWatch;
      audits: Audits;
      losses: Losses;
      onBad: { call: (shard: ShardId) => void };
      presence: Presence;
      ticks: TickBook;
      client: PeerClient;
      liveSets: LiveSets;
      collection: { now: Collection | undefined };
    },
  ) {
    this.ports = ports;
    this.#init = init;
    this.roster = parts.roster;
    this.records = parts.records;
    this.repository = parts.repository;
    this.view = parts.view;
    this.audits = parts.audits;
    this.losses = parts.losses;
    this.presence = parts.presence;
    this.locks = new HolderLocks(
      {
        ...{ ...ports, ...parts, ...parts.losses, disk: parts.watch, records: parts.kept },
        ...{ registry: ownerRegistry(parts.roster, parts.records), signer: init.signer },
        store: prefixed(ports.meta, NAMESPACE.locks),
      },
      { swarm: parts.roster.swarm },
    );
    parts.kept.withLocks((owner, hash) => this.locks.isHeadLocked(owner, hash));
    const { client } = parts;
    this.#lockBearer = new LockBearer({ ...ports, client, locks: this.locks });
    // Who keeps others' data alive does not see what its owner has given up. Until it is in the trash, and as long as it is
    // locked or the brake holds it, it is kept alive all the same: it may be a thief of the owner's key who gave it up.
    const isGivenUp = (id: ShardId): boolean =>
      this.collection.collector.isLeaving(id) && this.locks.lockedForMs(id) === 0;
    const shards = wantedShards(ports.shards, { omits: isGivenUp });
    this.heirship = new Heirship(
      {
        ...{ ...ports, ...parts, shards, registry: ownerRegistry(parts.roster, parts.records) },
        ...{ lost: parts.losses.lost, locks: this.#lockBearer, signer: init.signer, isGivenUp },
      },
      { swarm: parts.roster.swarm, settings: init.upkeep ?? UPKEEP_SETTINGS },
    );
    this.sweep = new Sweep(
      {
        ...ports,
        ...parts,
        ...parts.losses,
        shards,
        locks: this.#lockBearer,
        disk: parts.watch,
        signer: init.signer,
      },
      { swarm: parts.roster.swarm, settings: init.upkeep ?? UPKEEP_SETTINGS },
    );
    this.collection = new Collection(
      { ...ports, ...parts, promises: this.sweep.promises, locks: this.locks, disk: parts.watch },
      { swarm: parts.roster.swarm, settings: init.upkeep ?? UPKEEP_SETTINGS },
    );
    parts.collection.now = this.collection;
    parts.losses.kept.withRepairs(async (owner, life) => {
      const maps = await this.heirship.book.maps(owner);
      return maps.find(({ incarnation }) => incarnation === life)?.now;
    });
    this.heirship.book.onChange(() => parts.losses.kept.repairsChanged());
    this.#holder = parts.holder;
    this.#kept = parts.kept;
    const own = init.administrator === undefined ? [] : [init.administrator];
    const proposals = new Proposals({ ...ports, ...parts });
    this.proposals = proposals;
    this.administrators = new Administrators(
      { ...ports, ...parts, proposals, isGuest: this.isGuest },
      this.isGuest ? [] : [...own, init.keys.administrator],
    );
    const { administrators } = this;
    this.administration = new Administration({
      ...ports,
      ...parts,
      administrators,
      proposals,
      self: ports.network.self,
    });
    this.startedMs = ports.clock.wallMs();
    const { beatEveryMs } = init.upkeep ?? UPKEEP_SETTINGS;
    this.#ticks = parts.ticks;
    const exchangeMaxMs = init.tickExchangeMs;
    this.#gossip = new TickGossip(
      { ...ports, book: parts.ticks },
      { beatEveryMs, ...(exchangeMaxMs === undefined ? {} : { exchangeMaxMs }) },
    );
    this.#sync = new SyncService(
      {
        ...ports,
        ...parts,
        ticks: (from, fresh, packed) => this.#gossip.answer(from, fresh, packed),
      },
      init.sync,
    );
    this.#unmet = new UnmetPeers(
      { ...ports, ...parts, reach: (peer) => this.#sync.syncWith(peer) },
      parts.view.statusOf(ports.network.self)?.unmet ?? [],
    );
    this.watch = parts.watch;
    const scrubStore = prefixed(ports.meta, NAMESPACE.scrub);
    this.scrub = new Scrubber(
      { ...ports, store: scrubStore, watch: parts.watch, onSetAside: () => parts.losses.teller.wake() },
      init.scrub,
    );
    parts.onBad.call = (shard) => this.scrub.suspect(shard);
    this.#beat = new StatusBeat(
      {
        ...ports,
        ...parts,
        shards: parts.watch,
        unmet: this.#unmet,
        signer: init.signer,
        administrator: () => administrators.publicKey(init.keys.administrator),
        own: parts.presence.own,
      },
      {
        programVersion: init.program,
        formats: init.formats ?? FORMAT_VERSIONS,
        everyMs: beatEveryMs,
      },
    );
    this.#recoveryUses = new RecoveryUses({ ...ports, ...parts, signer: init.signer });
    this.recoveryWatch = new RecoveryWatch(
      { ...ports, ...parts, store: prefixed(ports.meta, NAMESPACE.told) },
      { owner: this.repository.catalog.owner },
    );
    this.#rotations = new RotationWatch({ ...ports, ...parts });
    this.#fence = parts.fence;
    this.#standing = this.isGuest ? undefined : this.#standingKeeper();
  }

  #standingKeeper(): StandingKeeper {
    const { network, log } = this.ports;
    const { catalog } = this.repository;
    return new StandingKeeper({
      store: prefixed(this.ports.meta, NAMESPACE.told),
      evidence: () => ({
        roster: this.roster,
        certified: certifiedLife(this.roster, this.records, catalog.owner),
        answeredAs: this.#sync.answeredAs.count(network.connected()),
      }),
      self: () => ({ peer: network.self, owner: catalog.owner, incarnation: catalog.incarnation }),
      fence: this.#fence,
      repository: this.repository,
      log,
    });
  }

  /** What this node is in its swarm right now. */
  get standing(): NodeStanding {
    return this.#standing?.standing ?? { state: "guest" };
  }

  /** `roster` was opened before the network was: it decides whom the network lets in. */
  static async open(given: NodePorts, roster: Roster, init: NodeInit): Promise<Node> {
    const ports = {
      ...given,
      network: listening(given.network, (peer) => presence.heard(peer)),
    };
    const { log, clock, meta, network } = ports;
    const records = await RecordStore.open(
      {
        store: prefixed(meta, NAMESPACE.membership),
        roster,
        clock,
        log,
      },
      { rules: TRUST_RECORD_RULES },
    );
    const swarm = roster.swarm;
    const kept = new KeptRecords({ store: prefixed(meta, NAMESPACE.kept), log, clock }, { swarm });
    const registry = ownerRegistry(roster, records);
    const watch = new StoreWatch(ports);
    // The scrub that looks into it is made later.
    const onBad: { call: (shard: ShardId) => void } = { call: () => {} };
    const liveSets = new LiveSets({ store: prefixed(meta, NAMESPACE.collection), registry, log }, { swarm });
    // What needs most of the others is made last.
    const collection: { now: Collection | undefined } = { now: undefined };
    const collector = (): Collector | undefined => collection.now?.collector;
    const holder = new Holder(
      {
        ...ports,
        ...{ disk: watch, records: kept, registry, clock, signer: init.signer },
        isLeaving: () => presence.own.draining,
        isElsewhere: (shard) => losses.kept.isElsewhere(shard, network.self),
        onBad: (shard) => onBad.call(shard),
        unwanted: {
          isTrash: (shard) => collector()?.isTrash(shard) === true,
          isGivenUp: (shard) => collector()?.isGivenUp(shard) === true,
          putAgain: async (shard) => collector()?.putAgain(shard),
        },
      },
      { swarm },
    );
    const book = await AuditBook.open(prefixed(meta, NAMESPACE.audit), clock.wallMs());
    const trust = new TrustBook({ records, roster, audits: book, clock, log });
    // Neither those who were caught nor those who are doubted are given anything new.
    const isSuspected = (peer: PeerId): boolean => trust.of(peer).kind !== "trusted";
    const ticks = new TickBook({ records, roster });
    const presence = await Presence.open(
      {
        ...ports,
        ticks,
        ...{ roster, records, signer: init.signer, store: prefixed(meta, NAMESPACE.presence) },
        trust: (peer) => trust.of(peer),
      },
      init.upkeep ?? UPKEEP_SETTINGS,
    );
    const isBelieved = (peer: PeerId): boolean => trust.of(peer).kind !== "suspect";
    const view = new RosterView({
      ...{ roster, records, network, clock, isSuspected, isBelieved, presence },
      ...(init.formats === undefined ? {} : { formats: init.formats }),
    });
    const catalog = Catalog.open(prefixed(meta, NAMESPACE.catalog));
    if (catalog === undefined) throw new Fault({ code: "HOME_MISSING", home: "the repository" });
    const protocol = init.guest === true ? "recover" : "data";
    const fence = new Fence();
    const client = new PeerClient({ network, clock, fence }, { swarm, protocol });
    const proven = book.proven;
    const lostStore = prefixed(meta, NAMESPACE.lost);
    const lost = await KnownLost.open({ store: lostStore, log }, clock.wallMs());
    const health = healthOf(presence, trust, lost);
    const parts = { ...ports, catalog, client, view, fence, proven, health, isBelieved, lost };
    const repair = ownerRepairInit(init.upkeep ?? UPKEEP_SETTINGS, init.localOffsetMs);
    const compaction = compactionRules(init.upkeep ?? UPKEEP_SETTINGS);
    const repository = await Repository.open(parts, { ...init, swarm, repair, compaction });
    const { signer } = init;
    const shards = wantedShards(ports.shards, liveSets);
    const losses = new Losses({ ...parts, shards, kept, maps: repository.maps, roster, signer }, { swarm });
    const audits = new Audits(
      { ...parts, ...losses, shards, book, trust, records, roster, repository, signer },
      { swarm, everyMs: (init.upkeep ?? UPKEEP_SETTINGS).auditEveryMs },
    );
    const watched = {
      holder,
      onBad,
      kept,
      fence,
      watch,
      audits,
      losses,
      presence,
      ticks,
      client,
      liveSets,
      collection,
    };
    return new Node(ports, init, { roster, records, repository, view, ...watched });
  }

  async start(): Promise<void> {
    const { network } = this.ports;
    this.#unsubscribe.push(
      network.onConnection((peer, connected) => this.#connectionChanged(peer, connected)),
    );
    if (!this.isGuest) await this.#startMember();
    await this.repository.start();
    if (!this.isGuest) this.audits.start();
    if (!this.isGuest) this.losses.teller.start();
  }

  async #startMember(): Promise<void> {
    const { network, clock, log } = this.ports;
    await this.watch.look();
    // How often somebody knocks is its own choice.
    const doorLog = calmLog(log, () => clock.monotonicMs());
    const door = new DataDoor({
      ...{ swarm: this.roster.swarm, holder: this.#holder, ...this.losses, repairs: this.heirship.door },
      promises: this.sweep.promises,
      copiesADay: (this.#init.upkeep ?? UPKEEP_SETTINGS).sweep.copiesADay,
      collection: this.collection,
      locks: this.locks,
      ...{ clock, log: doorLog },
    });
    const ownerOf = (from: PeerId): OwnerId => {
      const owner = this.roster.member(from)?.owner;
      if (owner === undefined) throw new Fault({ code: "NOT_A_MEMBER", peer: from });
      return owner;
    };
    network.handle(
      "data",
      (from, message) => door.answer(from, ownerOf(from), message, this.standing.state === "member"),
      (from, message) => door.answerBytesMax(ownerOf(from), message),
    );
    const newcomers = admitNewcomer({ roster: this.roster, clock, log: doorLog });
    network.handle("join", newcomers, () => JOIN_ANSWER_BYTES_MAX);
    network.handle(
      "recover",
      recoverDoor({
        roster: this.roster,
        records: this.records,
        directory: this.ports.directory,
        holder: this.#holder,
        collection: this.collection,
        repairs: (_, owner, request) => this.heirship.door.answerRecovery(owner, request),
        self: network.self,
        ownAddresses: () => this.ports.directory.ownAddresses(),
        uses: this.#recoveryUses,
        clock,
        log: doorLog,
      }),
      (from, message) => recoverAnswerBytesMax({ roster: this.roster, holder: this.#holder }, from, message),
    );
    this.#unsubscribe.push(await this.#rotations.start());
    const review = (): void => this.#standing?.review();
    this.#roles = this.#rolesNow();
    this.#unsubscribe.push(
      this.roster.onChange(() => this.#dropChanged()),
      this.roster.onChange(review),
      this.records.onChange(({ record }) => (record.type === "incarnation" ? review() : undefined)),
      this.#sync.answeredAs.onChange(review),
      new DecisionWatch({ roster: this.roster, log }).start(),
      this.proposals.start(),
      new FallenDecisions({ ...this, isFenced: () => this.isFenced, clock, log }).start(),
    );
    this.#standing?.begin();
    this.#unsubscribe.push(this.recoveryWatch.start());
    this.presence.start();
    this.heirship.start();
    this.sweep.sweeper.start();
    this.collection.collector.start();
    this.locks.start();
    this.#lockBearer.start();
    this.#sync.start();
    await this.#beat.start();
    this.#gossip.start();
    this.scrub.start();
    if (this.standing.state === "member") {
      await this.#holder.announceKept();
      if (this.#init.slot !== undefined) await publishSlot(this.records, this.#init.slot);
    }
    if (this.administrators.set.keys.length === 1 && this.administrators.includesThisNode) {
      log.warn("single-administrator", { hint: "its key comes back with this node's recovery key only" });
    }
  }

  async stop(): Promise<void> {
    for (const end of this.#unsubscribe.splice(0)) end();
    await this.#standing?.idle();
    await this.proposals.idle();
    await this.audits.stop();
    await this.losses.teller.stop();
    await this.repository.stop();
    await this.scrub.stop();
    await this.#beat.stop();
    this.#unmet.stop();
    await this.#recoveryUses.stop();
    await this.recoveryWatch.idle();
    await this.#rotations.idle();
    await this.#gossip.stop();
    await this.#sync.stop();
    await this.sweep.sweeper.stop();
    await this.collection.collector.stop();
    await this.locks.stop();
    await this.#lockBearer.stop();
    await this.heirship.stop();
    await this.presence.stop();
    this.#ticks.stop();
  }

  /** What somebody should look into: a key that said two things at once, and shards that were to be replaced. */
  async disputes(): Promise<Disputes> {
    const records = this.records.forks().slice(0, DISPUTES_MAX);
    return {
      conflicts: this.#holder.conflicts,
      forks: [
        ...records.map(({ type, signer, incarnation, epoch }) => ({
          type,
          signer: toHex(signer),
          incarnation,
          epoch,
        })),
        ...(await this.#kept.forks(DISPUTES_MAX)).map(({ owner, incarnation, epoch }) => ({
          type: "head" as const,
          signer: owner,
          incarnation,
          epoch,
        })),
      ],
    };
  }

  /** Nothing is written from here any more. */
  get isFenced(): boolean {
    return this.#fence.why !== undefined;
  }

  /** Throws what says why this node is read-only; returns where it is not. */
  requireUnfenced(): void {
    this.#fence.check();
  }

  get isGuest(): boolean {
    return this.#init.guest === true;
  }

  /** What a replacement of the recovery key has to say. Throws where this node may not replace it. */
  rotationBasis(): RotationBasis {
    this.requireUnfenced();
    if (this.isGuest) throw new Fault({ code: "NOT_A_MEMBER" });
    const { owner, incarnation } = this.repository.catalog;
    return rotationBasis(this.roster, { peer: this.ports.network.self, owner, incarnation });
  }

  /** Replaces the recovery key: in force here, and on disk, when it resolves; others hear of it as of any roster entry. */
  async rotate(entry: Uint8Array): Promise<RotationEntry> {
    const rotated = await applyRotation(this.roster, this.rotationBasis(), entry);
    const { retires, recovery } = rotated.body;
    await this.repository.enter("rotate-key", { old: toHex(retires), recovery: toHex(recovery) });
    await this.#rotations.idle();
    return rotated;
  }

  /** This node will be off for so long; `undefined`: that is over. Said at once, on disk before. */
  async announceOutage(forMs: number | undefined): Promise<void> {
    await this.presence.own.announceOutage(forMs);
    await this.#beat.said();
  }

  /** When a peer was last connected to this node; `undefined` if it never was since the start. */
  lastSeenMs(peer: PeerId): number | undefined {
    return this.ports.network.connected().includes(peer)
      ? this.ports.clock.wallMs()
      : this.#lastSeenMs.get(peer);
  }

  /** A line of text that lets `uses` new nodes in at one site. `NOT_ALLOWED` where there is no administrator's key. */
  async invite(request: {
    site: string;
    expiresMs: number;
    uses: number;
    quotaBytes?: number;
  }): Promise<{ token: string; expiresAtMs: number; deciding: Deciding }> {
    const administrator = this.administrators.key();
    const { clock, rng, directory, network } = this.ports;
    const own = directory.ownAddresses().slice(0, 2);
    const others = this.#otherAddresses(4 - own.length);
    const expiresAtMs = clock.wallMs() + request.expiresMs;
    const { token, delegations } = invite(
      { roster: this.roster, rng, clock },
      {
        administrators: [administrator],
        site: request.site,
        expiresInMs: request.expiresMs,
        uses: request.uses,
        ...(request.quotaBytes === undefined ? {} : { quotaBytes: request.quotaBytes }),
        addresses: [...own.map((address) => ({ peer: network.self, address })), ...others],
      },
    );
    const decided = await this.proposals.decide(delegations, administrator, { expiresMs: expiresAtMs });
    return { token, expiresAtMs, deciding: decided };
  }

  #otherAddresses(most: number): { peer: PeerId; address: string }[] {
    return this.ports.network
      .connected()
      .flatMap((peer) => {
        const [address] = this.view.statusOf(peer)?.addresses ?? [];
        return address === undefined ? [] : [{ peer, address }];
      })
      .slice(0, most);
  }

  #connectionChanged(peer: PeerId, connected: boolean): void {
    this.#lastSeenMs.set(peer, this.ports.clock.wallMs());
    this.ports.log.info(connected ? "peer-connected" : "peer-disconnected", { peer });
    if (connected) this.repository.wake();
  }

  /** Whoever becomes a member again, or is none any more, begins anew as what it is now. */
  #dropChanged(): void {
    const before = this.#roles;
    this.#roles = this.#rolesNow();
    for (const [peer, role] of before) {
      if (this.#roles.get(peer) === role || peer === this.ports.network.self) continue;
      this.ports.network.disconnect(peer).catch((error: unknown) => {
        this.ports.log.warn("disconnect-failed", { peer, why: String(error) });
      });
    }
  }

  #rolesNow(): Map<PeerId, "member" | "former"> {
    const roles = new Map<PeerId, "member" | "former">();
    for (const { peer } of this.roster.former()) roles.set(peer, "former");
    for (const { peer } of this.roster.members()) roles.set(peer, "member");
    return roles;
  }

  get log(): Log {
    return this.ports.log;
  }
}

function ownerRegistry(roster: Roster, records: RecordStore): OwnerRegistry {
  return {
    certifiedIncarnation: (owner) => certifiedLife(roster, records, owner)?.incarnation,
    quotaOf: (owner) => roster.memberOfOwner(owner)?.quotaBytes,
  };
}

/** What the owner's recovery identity certified last. */
function certifiedLife(
  roster: Roster,
  records: RecordStore,
  owner: OwnerId,
): { readonly incarnation: Incarnation; readonly timeMs: number } | undefined {
  const member = roster.memberOfOwner(owner);
  if (member === undefined) return undefined;
  const signed =
    records.get({ type: "incarnation", signer: member.recovery }) ??
    broughtLife(roster, owner, member.recovery);
  if (signed === undefined) return undefined;
  const body = incarnationBody.decode(signed.body);
  return body.owner === owner ? body : undefined;
}

/** Between hearing that a recovery key was replaced and keeping what came with it, an older life is fenced as before. */
function broughtLife(roster: Roster, owner: OwnerId, recovery: Uint8Array): Signed | undefined {
  const rotation = roster.rotations.bringing(owner, recovery);
  return rotation === undefined ? undefined : decodeSigned(rotation.body.life);
}
