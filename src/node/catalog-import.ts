import { isFault, messageOf } from "../base/fault.ts";
import type { Incarnation, OwnerId, PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import {
  Catalog,
  type CatalogRoot,
  catalogRootCodec,
  Moves,
  type RepositoryState,
  type SegmentRef,
  SegmentSet,
  type UnreadParts,
  unreadOp,
} from "../catalog/index.ts";
import type { OwnerKeys } from "../crypto/index.ts";
import type { Signed } from "../crypto/signed.ts";
import { acknowledgementOp, OwnerMaps, type PeerClient, SegmentReader } from "../exchange/index.ts";
import type { Clock, Compute, MetaStore, Spool } from "../ports/index.ts";
import { ChunkReader, TreeReader } from "../restore/index.ts";
import { type HeadPayload, type Locator, mapBody } from "../wire/head.ts";
import { encodeSigned } from "../wire/signed.ts";
import { Importer, type PlaceConflict, settleConflicts } from "./index-import.ts";
import { areHeld, noteHolders } from "./note-holders.ts";
import {
  isSameLine,
  OLDER_HEADS_MAX,
  type OlderHead,
  type OlderOutcome,
  type RescuedSnapshot,
  rescueSnapshots,
} from "./older-heads.ts";
import { askPastLive, PastLive } from "./past-live.ts";
import { PromptPeers } from "./prompt-peers.ts";
import { headUnreadable } from "./readable-heads.ts";
import { SegmentFinder } from "./segment-finder.ts";

export interface ImportComponents {
  readonly store: MetaStore;
  readonly client: PeerClient;
  readonly spool: Spool;
  readonly compute: Compute;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ImportInit {
  readonly swarm: SwarmId;
  readonly owner: OwnerId;
  readonly keys: OwnerKeys;
  readonly head: Signed;
  /** Members that keep this head. */
  readonly keepers: readonly PeerId[];
  readonly payload: HeadPayload;
  /** Heads that rank below the chosen one, newest first: what they list beyond it stays listed. */
  readonly older: readonly OlderHead[];
  /** The newest map records of every life of the owner. */
  readonly maps: readonly Signed[];
  /** Members that have answered so far: nobody else is waited for. */
  readonly answering: ReadonlySet<PeerId>;
  /** The life that begins now; absent when nothing will be written from here. */
  readonly incarnation: Incarnation | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { phase: "index" | "holders"; done: number; total: number }) => void;
}

export interface Imported {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  /** Reads through the recovery's connection; manifests are kept once they were read. */
  readonly trees: TreeReader;
  readonly bytesFetched: number;
  readonly rescued: readonly RescuedSnapshot[];
  /** Older heads of another line of lives, whose segments this catalog cannot name: to be looked at by themselves. */
  readonly apart: readonly OlderHead[];
  /** What could not be read for now: the daemon goes on asking. */
  readonly unread: UnreadParts;
  /** Segments of which fewer shards than it takes were found. */
  readonly short: readonly SegmentRef[];
}

/**
 * Builds the catalog of a repository anew from a head: the root, the list of snapshots, the whole index, and who says
 * that they hold which shard. Trees and data stay where they are. What cannot be had now is noted and left out; only
 * without the root nothing begins (`HEAD_UNREADABLE`, with the heads that can be gone back to).
 */
export async function importCatalog(components: ImportComponents, init: ImportInit): Promise<Imported> {
  return new CatalogImport(components, init).run();
}

/** The catalog of a repository in which nothing was ever saved. */
export async function emptyCatalog(
  store: MetaStore,
  init: { readonly owner: OwnerId; readonly incarnation: Incarnation },
): Promise<void> {
  await Catalog.create(store, init);
}

class CatalogImport {
  readonly #c: ImportComponents;
  readonly #init: ImportInit;
  readonly #client: PromptPeers;
  #unread: UnreadParts = { runs: [], pages: [], lists: [], heads: [] };

  constructor(components: ImportComponents, init: ImportInit) {
    this.#c = components;
    this.#init = init;
    this.#client = new PromptPeers(components, init.answering);
  }

  async run(): Promise<Imported> {
    const { keys, payload, signal, swarm } = this.#init;
    const inLine = this.#init.older
      .filter((head) => isSameLine(head.payload.incarnations, payload.incarnations))
      .slice(0, OLDER_HEADS_MAX);
    const catalog = await newCatalog(this.#c.store, this.#init, livesOf(payload, inLine));
    const maps = await OwnerMaps.load(catalog);
    const client = this.#client;
    const preference = (peer: PeerId): number => client.preference(peer);
    const reader = new SegmentReader({ ...this.#c, client, catalog, maps, swarm, preference });
    const chunks = new ChunkReader({ catalog, reader, compute: this.#c.compute }, { keys });
    const finder = new SegmentFinder({ ...this.#c, client, catalog, maps, peers: () => client.prompt() });
    const importer = new Importer({ catalog, maps, chunks, finder, signal });
    const apart = this.#init.older.filter(
      (head) => !isSameLine(head.payload.incarnations, payload.incarnations),
    );
    const said = await askPastLive(
      this.#c.client,
      { swarm, owner: this.#init.owner, lives: catalog.state.incarnations },
      [...this.#init.answering],
      signal,
    );
    if (said.length > 0) await this.#c.store.write(said, { sync: true });
    const past = PastLive.load(catalog);
    const holders = { catalog, maps, client, clock: this.#c.clock };
    const canBeHad = (refs: readonly SegmentRef[]): Promise<boolean> => areHeld(holders, refs, signal);
    const root = await this.#readRoot(importer, { inLine, apart });
    await this.#importRoot(catalog, importer, root);
    const older = await rescueSnapshots(
      { catalog, importer, clock: this.#c.clock, log: this.#c.log, past, canBeHad },
      { root: payload.root, lists: root.snapshots },
      inLine,
    );
    await this.#noteUnread(catalog, older);
    await settleSequence(catalog);
    const short = await this.#findHolders(catalog, maps, finder, importer.conflicts);
    return {
      catalog,
      maps,
      trees: new TreeReader({ catalog, chunks }),
      bytesFetched: reader.bytesFetched,
      rescued: older.rescued,
      apart,
      unread: this.#unread,
      short,
    };
  }

  async #readRoot(
    importer: Importer,
    older: { inLine: readonly OlderHead[]; apart: readonly OlderHead[] },
  ): Promise<CatalogRoot> {
    const { head, payload, signal } = this.#init;
    try {
      return catalogRootCodec.decode(await importer.read(payload.root));
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      const unread = { signed: head, root: payload.root, why: error };
      throw await headUnreadable({ importer, clock: this.#c.clock }, unread, older);
    }
  }

  async #importRoot(catalog: Catalog, importer: Importer, root: CatalogRoot): Promise<void> {
    const runs: RepositoryState["runs"] = [];
    for (const [done, locator] of root.runs.entries()) {
      this.#init.onProgress({ phase: "index", done, total: root.runs.length });
      const isRead = await importer.orUnread(async () => {
        const { state, unread } = await importer.importRun(locator, true);
        runs.push(state);
        this.#unread.pages.push(...unread.map((page) => ({ run: locator.id, page })));
      });
      if (isRead) continue;
      this.#unread.runs.push(locator);
      const number = locator.segment;
      runs.push({ locator, segments: [[locator.incarnation, [[number, 1]]]] });
    }
    for (const locator of root.snapshots) {
      const isRead = await importer.orUnread(async () => {
        const entries = await importer.readSnapshots(locator);
        const ops = entries.map((entry) => catalog.snapshotOp(entry));
        await catalog.store.write(ops, { sync: false });
      });
      if (!isRead) this.#unread.lists.push(locator);
    }
    if (root.v === 2) {
      const { moves } = root;
      const isRead = await importer.orUnread(() => importMoves(catalog, importer, moves));
      if (!isRead) this.#unread = { ...this.#unread, moves };
    }
    await catalog.update({ runs, snapshotPages: root.snapshots });
    await this.#importTrail(catalog, importer);
  }

  /** Where its pages lie; they are read when somebody asks. What leads nowhere is left out: a thief may have signed it. */
  async #importTrail(catalog: Catalog, importer: Importer): Promise<void> {
    const { trail } = catalog.state;
    if (trail === undefined) return;
    const pages: typeof trail.pages = [];
    for (const page of trail.pages) {
      const { incarnation, segment: number, class: classId } = page.at;
      try {
        await importer.knowSegment({ incarnation, number }, classId);
        pages.push(page);
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.info("trail-page-left-out", { from: page.from, why: messageOf(error) });
      }
    }
    await catalog.update({ trail: { ...trail, pages } });
  }

  async #noteUnread(catalog: Catalog, older: OlderOutcome): Promise<void> {
    this.#unread.pages.push(...older.pages);
    this.#unread.heads.push(...older.unread.map(({ signed }) => encodeSigned(signed)));
    await catalog.store.write([unreadOp(this.#unread)], { sync: true });
  }

  /** By the maps first; of what is short then, by asking everybody. */
  async #findHolders(
    catalog: Catalog,
    maps: OwnerMaps,
    finder: SegmentFinder,
    conflicts: readonly PlaceConflict[],
  ): Promise<SegmentRef[]> {
    const { signal, onProgress } = this.#init;
    const refs: SegmentRef[] = [];
    for await (const [ref] of catalog.segments.all()) refs.push(ref);
    const components = { catalog, maps, client: this.#client, clock: this.#c.clock };
    await noteHolders(components, refs, signal, (done) =>
      onProgress({ phase: "holders", done, total: refs.length }),
    );
    await finder.find(await shortSegments(catalog), signal);
    await settleConflicts(catalog, conflicts);
    await dropGivenUp(catalog);
    return shortSegments(catalog);
  }
}

/** What has become of segments that manifests name, as the chosen head says. */
export async function importMoves(catalog: Catalog, importer: Importer, at: Locator): Promise<void> {
  const told = Moves.open(await importer.read(at));
  await catalog.store.write([Moves.load(catalog.store).withOp(told, at)], { sync: false });
}

/** Segments of which fewer shards than it takes are said to be held. */
export async function shortSegments(catalog: Catalog): Promise<SegmentRef[]> {
  const short: SegmentRef[] = [];
  for await (const [ref, record] of catalog.segments.all()) {
    if (!record.spooled && record.slots.filter((slot) => slot !== null).length < record.k) short.push(ref);
  }
  return short;
}

/** What was omitted by the last word about it, and cannot be had, this home neither lists nor looks for. */
export async function dropGivenUp(catalog: Catalog): Promise<void> {
  const past = PastLive.load(catalog);
  const gone = (await shortSegments(catalog)).filter((ref) => past.omits(ref));
  if (gone.length === 0) return;
  const given = new SegmentSet();
  given.addAll(gone);
  // Places that lead nowhere would be written into the next index.
  const ops = gone.map((ref) => catalog.segments.removeOp(ref));
  for await (const { id, place } of catalog.chunks.all())
    if (given.has(place)) ops.push(...catalog.chunks.removeOps([id.slice()]));
  await catalog.store.write(ops, { sync: false });
}

/** A head can claim any number of snapshots; a thief's must not use the numbers up. */
const SEQUENCE_LEAP_MAX = 2 ** 32;

async function settleSequence(catalog: Catalog): Promise<void> {
  const listed = (await catalog.snapshots()).at(-1)?.sequence ?? 0;
  const { snapshotSequence } = catalog.state;
  if (snapshotSequence > listed + SEQUENCE_LEAP_MAX) await catalog.update({ snapshotSequence: listed });
}

/** The chosen head's, and what an older one of a further life goes on with: positions stay what they are. */
function livesOf(payload: HeadPayload, older: readonly OlderHead[]): Incarnation[] {
  let lives: readonly Incarnation[] = payload.incarnations;
  for (const head of older) {
    const { incarnations } = head.payload;
    if (incarnations.length > lives.length && isSameLine(incarnations, lives)) lives = incarnations;
  }
  return [...lives];
}

/** The chosen head's, or that of the newest below it that has one: whoever signs a head without would else end the trail. */
export function trailOfHeads(
  payload: HeadPayload,
  older: readonly Pick<OlderHead, "payload">[],
): HeadPayload["trail"] {
  if (payload.trail !== undefined) return payload.trail;
  const inLine = older.filter((head) => isSameLine(head.payload.incarnations, payload.incarnations));
  return inLine.find((head) => head.payload.trail !== undefined)?.payload.trail;
}

async function newCatalog(store: MetaStore, init: ImportInit, lives: Incarnation[]): Promise<Catalog> {
  const { owner, payload, head } = init;
  const trail = trailOfHeads(payload, init.older);
  const incarnations = [...lives, ...(init.incarnation === undefined ? [] : [init.incarnation])];
  const catalog = await Catalog.import(store, {
    owner,
    incarnations,
    segmentsReserved: 0,
    headEpoch: head.epoch,
    mapEpoch: 0,
    snapshotSequence: payload.snapshotSequence,
    runs: [],
    snapshotPages: [],
    ...(trail === undefined ? {} : { trail }),
    readOnly: init.incarnation === undefined,
  });
  const ops = init.maps.flatMap((record) => {
    const position = incarnations.indexOf(record.incarnation);
    if (position < 0) return [];
    return [catalog.mapOp(position, mapBody.decode(record.body)), catalog.formerMapOp(record)];
  });
  const { headEpoch, mapEpoch } = catalog.state;
  const kept = acknowledgementOp(headEpoch, mapEpoch, init.keepers);
  await store.write([...ops, catalog.headOp(head), kept], { sync: true });
  return catalog;
}
