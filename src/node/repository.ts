import type { ProvenShards } from "../audit/index.ts";
import { toHex } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { PeerId, SwarmId } from "../base/ids.ts";
import { type BytePath, displayPath } from "../base/paths.ts";
import { MINUTE_MS } from "../base/units.ts";
import {
  type Catalog,
  countUnread,
  listingOf,
  Moves,
  SegmentRangeSet,
  SegmentSet,
  type SnapshotEntry,
  Trail,
  type UnreadParts,
} from "../catalog/index.ts";
import type { OwnerKeys, Signer } from "../crypto/index.ts";
import {
  type ChosenClasses,
  chooseClasses,
  type Fence,
  HeadKeeper,
  OwnerMaps,
  type PeerClient,
  Placer,
  ProtectionCensus,
  type ProtectionReport,
  SegmentReader,
  type SpoolComponents,
  SpoolKeeper,
  Strays,
  type SwarmView,
  UplinkLimit,
} from "../exchange/index.ts";
import { lockTag, OwnerLocks } from "../locks/index.ts";
import type { KnownLost } from "../losses/index.ts";
import type { Profile } from "../placement/index.ts";
import { type FileTarget, prefixed } from "../ports/index.ts";
import {
  OwnerRepair,
  type OwnerRepairInit,
  Rebuilder,
  SpooledShards,
  type SwarmHealth,
} from "../repair/index.ts";
import {
  ChunkReader,
  type RestoreProgress,
  type RestoreReport,
  RestoreRun,
  type Selection,
  TreeReader,
  type VerifyOutcome,
  verifySegments,
} from "../restore/index.ts";
import { type SnapshotOutcome, type SnapshotProgress, SnapshotRun } from "../snapshot/index.ts";
import { UPKEEP_SETTINGS, type UpkeepSettings } from "../upkeep/index.ts";
import { marksOfNew } from "./anomalies.ts";
import { CaptureBook } from "./captures.ts";
import { chooseSnapshot, type SnapshotChoice } from "./choose-snapshot.ts";
import { Compaction } from "./compaction.ts";
import { CompactionBudget, type CompactionRules } from "./compaction-budget.ts";
import { type CopiedOutcome, compact, withCopied } from "./compaction-run.ts";
import { Completion } from "./completion.ts";
import { Leaving } from "./leaving.ts";
import { marksOf, withMarks } from "./marks.ts";
import { NeededSegments } from "./needed-segments.ts";
import { LateHolders } from "./note-holders.ts";
import { OwnLiveSet } from "./own-live-set.ts";
import { clockEvidence } from "./peers-clock.ts";
import { withPin } from "./pins.ts";
import { NAMESPACE, type NodePorts, type RepositorySizes } from "./ports.ts";
import { type PruneOutcome, prune } from "./prune.ts";
import { snapshotNeeds } from "./snapshot-needs.ts";
import type { TrailLogComponents } from "./trail-log.ts";

export interface RepositoryComponents extends NodePorts {
  readonly catalog: Catalog;
  readonly client: PeerClient;
  readonly view: SwarmView;
  /** Copies that their holders, or audits, say are gone. @default none */
  readonly lost?: Pick<KnownLost, "of" | "countOf" | "mended">;
  /** Whose word counts when receipts are not there. @default everybody's */
  readonly isBelieved?: (peer: PeerId) => boolean;
  readonly fence: Fence;
  /** What audits have proven lately. */
  readonly proven: Pick<ProvenShards, "lastMs" | "forget">;
  readonly health: SwarmHealth;
}

export interface RepositoryInit {
  readonly swarm: SwarmId;
  readonly keys: OwnerKeys;
  readonly sizes: RepositorySizes;
  readonly host: string;
  readonly program: string;
  readonly privileged: boolean;
  readonly spoolMaxBytes?: number;
  /** How much a long snapshot does between checkpoints. @default 30 min or 10 GiB */
  readonly checkpoint?: { readonly everyMs: number; readonly everyBytes: number };
  readonly repair: OwnerRepairInit;
  /** @default UPKEEP_SETTINGS */
  readonly upkeep?: UpkeepSettings;
  readonly compaction: CompactionRules;
  /** The node's key. */
  readonly signer: Signer;
}

export interface SnapshotRequest {
  readonly source:
    | {
        readonly kind: "paths";
        readonly paths: readonly BytePath[];
        readonly excludes: readonly BytePath[];
        readonly oneFileSystem: boolean;
      }
    | { readonly kind: "stream"; readonly filename: BytePath; readonly body: AsyncIterable<Uint8Array> };
  readonly tags: readonly string[];
  readonly profile?: Profile;
  /** For so long its holders are to keep what it needs, whoever asks. @default 0 */
  readonly lockMs?: number;
  readonly wait: "safe" | "queued";
  readonly signal: AbortSignal;
  readonly onProgress: (progress: SnapshotProgress) => void;
}

export interface SnapshotResult extends SnapshotOutcome {
  readonly classes: ChosenClasses;
  readonly protection: ProtectionReport;
}

export interface RestoreRequest {
  readonly snapshot: SnapshotEntry;
  readonly selection: Selection;
  readonly target: BytePath;
  readonly overwrite: "if-changed" | "always" | "never";
  readonly delete: boolean;
  readonly dryRun: boolean;
  readonly partial: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RestoreProgress) => void;
}

export interface RepositoryTotals {
  readonly segments: number;
  /** Shard bytes that holders have acknowledged. */
  readonly storedBytes: number;
  /** Shard bytes that count against the owner's quota. */
  readonly quotaUsedBytes: number;
  /** Plain bytes of all chunks, each once. */
  readonly uniqueBytes: number;
}

/** Signs a head without these snapshots; see `Finisher.relist`. */
export type Relist = (gone: readonly SnapshotEntry[], without?: SegmentSet) => Promise<SegmentSet>;

/** The head is handed again to those who had not got it, so often at least. */
const PUBLISH_MS = MINUTE_MS;

/** The owner's side of a node: its snapshots, and what it takes to make, keep and read them. */
export class Repository {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly heads: HeadKeeper;
  readonly spool: SpoolKeeper;
  readonly trees: TreeReader;
  readonly chunks: ChunkReader;
  readonly #c: RepositoryComponents & { readonly uplink: UplinkLimit };
  readonly #init: RepositoryInit;
  readonly #placer: Placer;
  readonly #snapshots = new Semaphore(1);
  readonly #lateHolders: LateHolders;
  readonly #strays: Strays;
  readonly #stopping = new AbortController();
  /** Of everything that writes: ended by a fence, and anew when that is lowered. */
  #writing = new AbortController();
  #publishing: Promise<void> | undefined;
  /** Keeps what snapshots need where it can be had. */
  readonly repair: OwnerRepair;
  readonly locks: OwnerLocks;
  readonly #needed: NeededSegments;
  /** What it may send, as the policy has it. */
  readonly uplink: UplinkLimit;
  /** Who did what with this repository. */
  readonly trail: Trail;
  readonly #completion: Completion;
  /** What this owner still wants, as it was last said. */
  readonly live: OwnLiveSet;
  /** What it does not want any more and still takes its quota. */
  readonly leaving: Leaving;
  #completing: Promise<void> | undefined;
  readonly #captures: CaptureBook;

  private constructor(
    c: RepositoryComponents & { readonly uplink: UplinkLimit },
    init: RepositoryInit,
    maps: OwnerMaps,
    placer: Placer,
    spool: SpoolKeeper,
    trail: Trail,
  ) {
    this.trail = trail;
    this.#captures = new CaptureBook(prefixed(c.meta, NAMESPACE.tidying));
    this.uplink = c.uplink;
    this.#c = c;
    this.#init = init;
    this.#placer = placer;
    this.catalog = c.catalog;
    this.maps = maps;
    this.spool = spool;
    this.heads = new HeadKeeper({ ...c, maps }, init);
    this.#lateHolders = new LateHolders({ ...c, maps });
    const preference = (peer: PeerId): number => (c.network.connected().includes(peer) ? 0 : 1);
    this.#strays = new Strays({ ...c, peers: () => c.network.connected() });
    const strays = this.#strays;
    const reader = new SegmentReader({ ...c, maps, preference, strays, swarm: init.swarm });
    this.chunks = new ChunkReader({ ...c, reader }, init);
    this.trees = new TreeReader({ catalog: c.catalog, chunks: this.chunks });
    const alone = <T>(task: () => Promise<T>): Promise<T> => this.#snapshots.run(task);
    this.#needed = new NeededSegments({ catalog: c.catalog, trees: this.trees });
    this.repair = this.#ownerRepair(reader);
    this.locks = new OwnerLocks(
      {
        ...{
          ...c,
          maps,
          self: c.network.self,
          store: prefixed(c.meta, NAMESPACE.locks),
          signer: init.keys.signer,
        },
        needs: async (entry, signal) => {
          const named = new SegmentRangeSet();
          named.addAll((await this.trees.manifest(entry, signal)).needs);
          return named.without(Moves.load(c.catalog.store).gone).toRanges();
        },
        connected: () => c.network.connected(),
        mayAct: () => this.#mayAct,
      },
      { swarm: init.swarm },
    );
    this.live = new OwnLiveSet({ ...c, heads: this.heads }, { swarm: init.swarm, signer: init.keys.signer });
    this.leaving = new Leaving({ ...c, live: this.live }, init.upkeep ?? UPKEEP_SETTINGS);
    this.#completion = new Completion({ ...c, maps, chunks: this.chunks, keys: init.keys, alone });
  }

  /** `undefined` where a manifest cannot be read just now. */
  neededSegments(): Promise<SegmentRangeSet | undefined> {
    return this.#needed.read(this.#stopping.signal);
  }

  #ownerRepair(reader: SegmentReader): OwnerRepair {
    const { maps, catalog } = this;
    const { proven, network } = this.#c;
    const { swarm } = this.#init;
    const spooled = new SpooledShards(this.#c);
    const rebuilder = new Rebuilder({ ...this.#c, self: network.self, readOwn: spooled.read });
    return new OwnerRepair(
      {
        ...{ ...this.#c, maps, swarm, reader, spooled, rebuilder, strays: this.#strays },
        self: network.self,
        placer: this.#placer,
        evidence: {
          provenMs: (peer, ref, index) => proven.lastMs(peer, { ref, index }, this.#c.clock.wallMs()),
          knownLostMs: (peer, { incarnation: position, number }, index) => {
            const incarnation = catalog.state.incarnations[position];
            // Mostly nothing is known of a holder, and it is asked for every copy of every segment.
            if (incarnation === undefined || (this.#c.lost?.countOf(peer) ?? 0) === 0) return undefined;
            return this.#c.lost?.of({ owner: catalog.owner, incarnation, number, index }, peer);
          },
        },
        needed: (signal) => this.#needed.read(signal),
        mayAct: () => this.#mayAct,
        compare: (signal) => this.#compare(signal),
        onLost: (peer, ref, index) => proven.forget(peer, { ref, index }),
        onPlaced: async (peer, shard, timeMs) => this.#c.lost?.mended(peer, [shard], timeMs),
        onMoved: () => this.#wakeMade(),
      },
      this.#init.repair,
    );
  }

  static async open(c: RepositoryComponents, init: RepositoryInit): Promise<Repository> {
    const maps = await OwnerMaps.load(c.catalog);
    const uplink = new UplinkLimit(c.clock);
    const placer = new Placer({ ...c, maps, uplink });
    const spoolInit = init.spoolMaxBytes === undefined ? {} : { maxBytes: init.spoolMaxBytes };
    let repository: Repository | undefined;
    const onPlaced = (): void => {
      if (repository !== undefined) repository.#wakeMade();
    };
    const mayPlace = (): boolean => repository?.isCurrent === true;
    const isEnough: SpoolComponents["isEnough"] = (ref, record) =>
      new ProtectionCensus({ ...c, maps }).isEnough(ref, record);
    const spool = await SpoolKeeper.open({ ...c, placer, onPlaced, mayPlace, isEnough }, spoolInit);
    const trail = await Trail.open({ ...c, signer: init.signer }, init);
    repository = new Repository({ ...c, uplink }, init, maps, placer, spool, trail);
    return repository;
  }

  /** Begins to place what is in the spool and to hand the head to those who lack it. */
  async start(): Promise<void> {
    this.#completing ??= this.#completion.run(this.#stopping.signal);
    if (this.catalog.state.readOnly || this.#c.fence.why !== undefined || this.#publishing !== undefined)
      return;
    await this.#enterRecovery();
    await this.heads.beginLife();
    this.spool.start();
    this.repair.start();
    this.locks.start();
    this.#publishing = this.#publishLoop(AbortSignal.any([this.#stopping.signal, this.#writing.signal]));
  }

  /** Once in a life that is not the first: the entry of its beginning. */
  async #enterRecovery(): Promise<void> {
    const { incarnations } = this.catalog.state;
    if (incarnations.length < 2 || (await this.trail.hasEntryOf(this.catalog.incarnation))) return;
    await this.enter("recover", { life: this.catalog.incarnation, lives: incarnations.length });
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Fault({ code: "INTERRUPTED" }));
    await this.repair.stop();
    await this.locks.stop();
    await this.spool.stop();
    await this.#publishing;
    await this.#completing;
  }

  /** What a recovery could not read yet. */
  get unread(): UnreadParts {
    return this.#completion.unread;
  }

  get unreadParts(): number {
    return countUnread(this.unread);
  }

  /** The fence was raised: ends what is under way with its reason. What was made stays, and can be looked at. */
  async suspend(why: Fault): Promise<void> {
    this.#writing.abort(why);
    await this.spool.stop();
    await this.#publishing;
    this.#publishing = undefined;
  }

  /** The fence was lowered. */
  async resume(): Promise<void> {
    if (this.#stopping.signal.aborted || !this.#writing.signal.aborted) return;
    this.#writing = new AbortController();
    await this.start();
  }

  /** How many peers have seen a newer state than this home has: it was rolled back, or runs twice. */
  get behind(): number {
    return this.#behind;
  }

  #behind = 0;

  /** Whether more than half of the pool said that it has seen no newer state: before that nothing is handed to anybody. */
  get isCurrent(): boolean {
    return this.#isCompared && this.#behind === 0;
  }
  #isCompared = false;

  /** Too few that answer are no reason to keep the newest head from those who do. */
  async #compareIfAnswered(signal: AbortSignal): Promise<void> {
    try {
      await this.#compare(signal);
    } catch (error) {
      if (!isFault(error, "NOT_ALLOWED")) throw error;
    }
  }

  async #compare(signal: AbortSignal): Promise<void> {
    try {
      const { asked } = await this.heads.compareWithPool(signal);
      const wasCurrent = this.isCurrent;
      this.#behind = 0;
      this.#isCompared = asked > 0;
      if (this.isCurrent && !wasCurrent) this.spool.wake();
    } catch (error) {
      if (isFault(error, "HOME_BEHIND")) {
        if (this.#behind === 0) this.#c.log.error("home-behind", { peers: error.detail.peers });
        this.#behind = error.detail.peers;
        // From now on it is asked every minute whether they still say so.
        this.#isCompared = false;
      }
      throw error;
    }
  }

  /** One after the other: a second one waits for the first. */
  async snapshot(request: SnapshotRequest): Promise<SnapshotResult> {
    if (this.catalog.state.readOnly) {
      const reason =
        "this home was recovered with --read-only: it looks and restores, and makes no snapshots";
      throw new Fault({ code: "NOT_ALLOWED", reason });
    }
    const signal = AbortSignal.any([request.signal, this.#stopping.signal, this.#writing.signal]);
    return this.#snapshots.run(async () => {
      this.#c.fence.check();
      signal.throwIfAborted();
      const quota = await this.leaving.quota(this.#c.view.ownQuotaBytes());
      // However little is new, a snapshot stores something: it is refused before anything is read.
      quota.take(1);
      await this.#compare(signal);
      const { catalog, maps } = this;
      const classes = await chooseClasses(
        { catalog, maps, view: this.#c.view, clock: this.#c.clock },
        request.profile,
      );
      const { wait, onProgress, lockMs = 0 } = request;
      const tags = lockMs > 0 ? [...request.tags, lockTag(lockMs)] : request.tags;
      const run = new SnapshotRun(
        {
          ...this.#c,
          maps,
          placer: this.#placer,
          spool: this.spool,
          heads: this.heads,
          quota,
          trail: this.trail,
        },
        { ...this.#init, classes, tags, wait, signal, onProgress },
      );
      const { source } = request;
      const outcome =
        source.kind === "paths"
          ? await run.ofPaths(source.paths, source)
          : await run.ofStream(source.filename, source.body);
      await this.locks.begin(outcome.entry);
      await this.trail.forgetOld();
      await this.heads.publish(signal);
      this.spool.wake();
      const entry = await this.#lookAt(outcome, signal);
      return { ...outcome, entry, classes, protection: await this.protectionOf(entry) };
    });
  }

  /** Marks what somebody should look at, in the swarm's list too: the machine may be gone before the next snapshot. */
  async #lookAt(outcome: SnapshotOutcome, signal: AbortSignal): Promise<SnapshotEntry> {
    const { anomalyBytes } = (this.#init.upkeep ?? UPKEEP_SETTINGS).tidying;
    const before = await this.snapshots();
    // By its own receipts alone: a clock that was set right marks nothing more.
    const clock = await clockEvidence(this.catalog, outcome.segments);
    const marks = await marksOfNew(this.#captures, outcome, { before, clock, anomalyBytes });
    if (marks.length === 0) return outcome.entry;
    const marked = withMarks(outcome.entry, marks);
    await this.catalog.store.write([this.catalog.snapshotOp(marked)], { sync: true });
    const snapshot = toHex(marked.id);
    for (const { kind, text } of marks) {
      this.#c.log.warn("snapshot-marked", { snapshot, kind, why: text });
      await this.enter("mark", { snapshot, number: marked.sequence, kind, why: text.slice(0, 160) });
    }
    try {
      await this.#relist([], undefined, signal);
    } catch (error) {
      if (signal.aborted || !isFault(error)) throw error;
      this.#c.log.warn("mark-not-spread", { snapshot, why: messageOf(error) });
    }
    return marked;
  }

  /** Somebody has looked at a snapshot: it counts like any other again, and so do those before it. */
  async unmark(choice: SnapshotChoice): Promise<SnapshotEntry> {
    return await this.#snapshots.run(async () => {
      this.#c.fence.check();
      const entry = await this.find(choice);
      if (marksOf(entry).length === 0) return entry;
      const changed = withMarks(entry, []);
      await this.catalog.store.write([this.catalog.snapshotOp(changed)], { sync: true });
      await this.enter("unmark", { snapshot: toHex(changed.id), number: changed.sequence });
      return changed;
    });
  }

  /**
   * Changes the list of snapshots in its turn among those who write it; restores and whoever looks go on. Refused where this home may not
   * know all there is: whoever takes things off a list has to.
   */
  async change<T>(asked: AbortSignal, task: (relist: Relist, signal: AbortSignal) => Promise<T>): Promise<T> {
    const refuse = (reason: string): never => {
      throw new Fault({ code: "NOT_ALLOWED", reason });
    };
    if (this.catalog.state.readOnly) refuse("this home was recovered with --read-only: it changes nothing");
    const signal = AbortSignal.any([asked, this.#stopping.signal, this.#writing.signal]);
    return this.#snapshots.run(async () => {
      this.#c.fence.check();
      signal.throwIfAborted();
      await this.#compare(signal);
      if (this.unreadParts > 0)
        refuse("what was recovered has not all been read yet: nothing is forgotten before");
      return task((gone, without) => this.#relist(gone, without, signal), signal);
    });
  }

  /** Gives up what nothing on the list needs, after what is hardly needed was copied elsewhere; holders delete it in time. */
  async prune(options: {
    readonly dryRun: boolean;
    readonly signal: AbortSignal;
  }): Promise<PruneOutcome & { readonly copied: CopiedOutcome }> {
    const turns = <T>(task: (signal: AbortSignal) => Promise<T>): Promise<T> =>
      this.change(options.signal, (_, signal) => task(signal));
    const copied = await compact(this.#compaction, turns, { ...options, log: this.#c.log });
    const { catalog, trees, live, trail, locks, leaving } = this;
    const components = {
      ...this.#c,
      catalog,
      trees,
      live,
      trail,
      locks,
      leaving,
      census: () => this.census(),
    };
    const outcome = await this.change(options.signal, (relist, signal) =>
      prune(components, relist, { dryRun: options.dryRun, signal }),
    );
    const { segments, freedBytes } = outcome;
    if (!options.dryRun && segments + copied.segments > 0)
      await this.enter("prune", { segments, bytes: freedBytes, copied: copied.segments });
    this.#wakePublisher?.();
    return options.dryRun ? withCopied(outcome, copied) : { ...outcome, copied };
  }

  get #compaction(): Compaction {
    const { catalog, trees, chunks, locks } = this;
    return new Compaction({
      ...{ ...this.#c, catalog, trees, chunks, locks },
      census: () => this.census(),
      budget: new CompactionBudget(catalog.store, this.#init.compaction),
      fullBytes: this.#init.sizes.segments.fullBytes,
      overhead: async () => {
        const { whole } = await this.#classes();
        const { k, m } = this.maps.class(catalog.currentIncarnation, whole);
        return (k + m) / k;
      },
      writer: async (onStored, signal) => {
        const quota = await this.leaving.quota(this.#c.view.ownQuotaBytes());
        const run = await this.#run(quota, signal);
        return {
          begin: (expectedBytes) => run.copier(onStored, expectedBytes),
          get storedBytes() {
            return run.storedBytes;
          },
        };
      },
    });
  }

  #classes(): Promise<ChosenClasses> {
    const { catalog, maps } = this;
    return chooseClasses({ ...this.#c, catalog, maps }, undefined);
  }

  /** For what is written besides snapshots. */
  async #run(quota: { take(bytes: number): void }, signal: AbortSignal): Promise<SnapshotRun> {
    const { maps, spool, heads, trail } = this;
    return new SnapshotRun(
      { ...this.#c, maps, placer: this.#placer, spool, heads, quota, trail },
      {
        ...this.#init,
        classes: await this.#classes(),
        tags: [],
        wait: "safe",
        signal,
        onProgress: () => {},
      },
    );
  }

  async #relist(
    gone: readonly SnapshotEntry[],
    without: SegmentSet | undefined,
    signal: AbortSignal,
  ): Promise<SegmentSet> {
    // What makes room must not be refused for want of it.
    const run = await this.#run({ take: () => {} }, signal);
    const listing = await run.relist(gone, without);
    await this.heads.publish(signal);
    this.spool.wake();
    return listing;
  }

  async snapshots(): Promise<SnapshotEntry[]> {
    return this.catalog.snapshots();
  }

  /**
   * Marks a snapshot in the list, on disk here at once; the pool has it with the next snapshot's head. Waits for a snapshot
   * that is under way: it writes the list.
   */
  async pin(choice: SnapshotChoice, pinned: boolean): Promise<SnapshotEntry> {
    return await this.#snapshots.run(async () => {
      this.#c.fence.check();
      const entry = await this.find(choice);
      if (pinned && entry.partial) {
        const reason =
          "that is a checkpoint, which the next whole snapshot of its paths replaces: pin that one";
        throw new Fault({ code: "NOT_ALLOWED", reason });
      }
      const changed = withPin(entry, pinned);
      await this.catalog.store.write([this.catalog.snapshotOp(changed)], { sync: true });
      await this.enter(pinned ? "pin" : "unpin", {
        snapshot: toHex(changed.id),
        number: changed.sequence,
      });
      return changed;
    });
  }

  async find(choice: string | SnapshotChoice): Promise<SnapshotEntry> {
    const asked = typeof choice === "string" ? { snapshot: choice } : choice;
    return chooseSnapshot(await this.snapshots(), asked);
  }

  /** What the holders' receipts are worth for everything that a snapshot needs. */
  async protectionOf(
    entry: SnapshotEntry,
    census: ProtectionCensus = this.census(),
  ): Promise<ProtectionReport> {
    const needed = await snapshotNeeds(this, entry);
    needed.addAll(SegmentSet.fromRanges(listingOf(this.catalog.store)));
    return census.report(needed, this.heads.keepers);
  }

  census(): ProtectionCensus {
    return new ProtectionCensus({ catalog: this.catalog, maps: this.maps, view: this.#c.view });
  }

  /** Of all segments and chunks; counted anew when a head was signed or something left the spool. */
  async totals(): Promise<RepositoryTotals> {
    const asOf = `${this.catalog.state.headEpoch}/${this.spool.segments}`;
    if (this.#totals?.asOf === asOf) return this.#totals;
    let segments = 0;
    let storedBytes = 0;
    const quotaUsedBytes = await this.leaving.quotaUsedBytes();
    for await (const [, record] of this.catalog.segments.all()) {
      segments++;
      storedBytes += record.shardBytes * record.slots.filter((slot) => slot !== null).length;
    }
    let uniqueBytes = 0;
    for await (const { place } of this.catalog.chunks.all()) uniqueBytes += place.rawBytes;
    this.#totals = { asOf, segments, storedBytes, quotaUsedBytes, uniqueBytes };
    return this.#totals;
  }

  #totals: (RepositoryTotals & { readonly asOf: string }) | undefined;

  async restore(request: RestoreRequest): Promise<{ report: RestoreReport; bytesFetched: number }> {
    const signal = AbortSignal.any([request.signal, this.#stopping.signal]);
    const before = this.chunks.bytesFetched;
    const named = await this.trees.manifest(request.snapshot, signal);
    const needs = (await snapshotNeeds(this, request.snapshot, signal)).toRanges();
    const manifest = { ...named, needs };
    const target = await this.#targetOf(request);
    try {
      const { catalog, maps, chunks, trees } = this;
      const { keys, privileged } = this.#init;
      const { client, clock, log } = this.#c;
      const run = new RestoreRun(
        { catalog, maps, chunks, trees, client, clock, log, target, strays: this.#strays },
        { ...request, keys, privileged, signal },
        manifest,
      );
      const report = await run.run();
      if (!request.dryRun) await this.#enterRestore(request, report);
      return { report, bytesFetched: this.chunks.bytesFetched - before };
    } catch (error) {
      // It is not for want of holders that a fenced life gets nothing.
      if (isFault(error, "TOO_FEW_SHARDS")) this.#c.fence.check();
      throw error;
    } finally {
      await target?.close();
    }
  }

  /** Into the trail, what has been done already: that there is no room for the entry does not undo it. */
  async enter(what: string, details: Readonly<Record<string, string | number>>): Promise<void> {
    try {
      await this.trail.append(what, details);
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#c.log.warn("trail-entry-lost", { what, ...details, why: messageOf(error) });
    }
  }

  /** What reading the trail takes. */
  trailParts(): Omit<TrailLogComponents, "roster"> {
    return { catalog: this.catalog, trail: this.trail, chunks: this.chunks };
  }

  #enterRestore({ snapshot, target }: RestoreRequest, { files, bytes }: RestoreReport): Promise<void> {
    const what = { snapshot: toHex(snapshot.id), number: snapshot.sequence };
    return this.enter("restore", { ...what, target: displayPath(target), files, bytes });
  }

  /** Opening a target makes it, which a dry run must not. */
  async #targetOf({ target, dryRun }: RestoreRequest): Promise<FileTarget | undefined> {
    if (!dryRun) return this.#c.openTarget(target);
    try {
      await this.#c.tree.lstat(target);
    } catch (error) {
      if (isFault(error, "SOURCE_MISSING")) return undefined;
      throw error;
    }
    return this.#c.openTarget(target);
  }

  async verify(
    entries: readonly SnapshotEntry[],
    options: { readData: boolean; signal: AbortSignal; onShard: (done: number, total: number) => void },
  ): Promise<VerifyOutcome> {
    this.#c.fence.check();
    const needed = new SegmentSet();
    for (const entry of entries) {
      needed.addAll(await snapshotNeeds(this, entry, options.signal));
    }
    const { catalog, maps } = this;
    const outcome = await verifySegments(
      { ...this.#c, catalog, maps, strays: this.#strays },
      { swarm: this.#init.swarm, ...options },
      [...needed],
    );
    for (const { shard, peer, reason } of outcome.corrupt) {
      this.#c.log.error("shard-corrupt", { peer, segment: shard.number, index: shard.index, why: reason });
      const incarnation = catalog.state.incarnations.indexOf(shard.incarnation);
      const ref = { incarnation, number: shard.number };
      await catalog.segments.forget(ref, shard.index, peer);
      this.#c.proven.forget(peer, { ref, index: shard.index });
    }
    return outcome;
  }

  /** Somebody came back: hand over what is waiting. */
  wake(): void {
    this.spool.wake();
    this.locks.wake();
    this.#completion.wake();
    this.#isWoken = true;
    this.#wakePublisher?.();
  }

  /** Something was placed, or is held by somebody else: maps are told, and its holders asked to lock it. */
  #wakeMade(): void {
    this.#wakePublisher?.();
    this.locks.wake();
  }

  /** Whether this home signs anything: it is the owner's newest, as far as the pool knows. */
  get #mayAct(): boolean {
    return this.#c.fence.why === undefined && !this.catalog.state.readOnly && this.isCurrent;
  }

  #wakePublisher: (() => void) | undefined;
  /** Also while the loop is busy: whoever connected in the middle of a turn gets one of its own. */
  #isWoken = false;

  async #publishLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        // A home that was rolled back should say so before somebody asks it for a snapshot.
        if (!this.#isCompared) await this.#compareIfAnswered(signal);
        const found = await this.#lateHolders.ask(this.#c.network.connected(), signal);
        if (found > 0) this.#c.log.info("holders-back", { shards: found });
        await this.heads.publish(signal);
        if (this.isCurrent) await this.live.publish(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("publish-failed", { why: messageOf(error) });
      }
      // An abort before now is not heard of any more by who waits from here on.
      if (this.#isWoken || signal.aborted) continue;
      const timer = new AbortController();
      const woken = new Promise<void>((resolve) => {
        this.#wakePublisher = resolve;
      });
      const stop = (): void => timer.abort();
      signal.addEventListener("abort", stop, { once: true });
      await Promise.race([woken, this.#c.clock.sleep(PUBLISH_MS, timer.signal).catch(() => {})]);
      signal.removeEventListener("abort", stop);
      timer.abort();
    }
  }
}
