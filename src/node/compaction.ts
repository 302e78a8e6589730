import { toHex } from "../base/bytes.ts";
import type { Log } from "../base/log.ts";
import {
  type Catalog,
  INDEX_ENTRY_BYTES,
  type IndexEntry,
  Moves,
  refKey,
  SegmentRangeSet,
  type SegmentRanges,
  type SegmentRef,
  SegmentSet,
} from "../catalog/index.ts";
import type { ProtectionCensus } from "../exchange/index.ts";
import type { OwnerLocks } from "../locks/index.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import type { ChunkReader, TreeReader } from "../restore/index.ts";
import type { Copier } from "../snapshot/index.ts";
import type { CompactionBudget } from "./compaction-budget.ts";
import { type CompactionCandidate, type CompactionPlan, planCompaction, turnsOf } from "./compaction-plan.ts";
import { acknowledgedBytes, isLockedNow, unsafeSegment } from "./prune-facts.ts";
import { type Reachable, reachableSegments } from "./reachable.ts";

/** Ids in memory at a time. */
const FRAMES_MAX = 50_000;
/** A run brings back so many times what a new index takes, which the prune after it writes. */
const INDEX_TIMES = 2;

export interface CompactionComponents {
  readonly catalog: Catalog;
  readonly trees: Pick<TreeReader, "manifest" | "entries" | "pieces">;
  readonly chunks: Pick<ChunkReader, "readSegment" | "readAt" | "bytesFetched">;
  readonly locks: Pick<OwnerLocks, "standingOf">;
  readonly census: () => Pick<ProtectionCensus, "mayReuse">;
  readonly budget: CompactionBudget;
  /** Writes into segments of the class that is in use now. `stored`: shard bytes that were acknowledged, so far. */
  readonly writer: (
    onStored: (ref: SegmentRef) => readonly MetaOp[],
    signal: AbortSignal,
  ) => Promise<CompactionWriter>;
  /** What the next segment is like: shard bytes for each of its bytes. */
  readonly overhead: () => Promise<number>;
  readonly clock: Clock;
  readonly log: Log;
  readonly fullBytes: number;
}

export interface CompactionWriter {
  begin(expectedBytes: number): Copier;
  readonly storedBytes: number;
}

/** What is copied in one turn: all that is read of these segments. */
export interface CompactionTurn {
  readonly victims: readonly CompactionCandidate[];
  readonly data: readonly IndexEntry[];
  readonly metadata: readonly IndexEntry[];
}

export interface CompactionRun extends CompactionPlan {
  readonly turns: readonly CompactionTurn[];
}

/**
 * Copies what is still read of segments with little else in them into new segments. Nothing is given up here: from then on nothing is
 * read from the old ones, and the next prune finds that out. Whoever dies in between has a few chunks twice. Each turn is a
 * turn among those who write the list, so that snapshots go on between them.
 */
export class Compaction {
  readonly #c: CompactionComponents;

  constructor(components: CompactionComponents) {
    this.#c = components;
  }

  /** Decides and changes nothing. Nothing to copy while anything that is read is not placed as it should be. */
  async plan(signal: AbortSignal): Promise<CompactionRun> {
    const { catalog, census, budget, clock, overhead, fullBytes } = this.#c;
    const reachable = await reachableSegments(this.#c, (entry) => isLockedNow(entry, this.#c), signal);
    const nothing = { victims: [], aliveBytes: 0, freedBytes: 0, turns: [] };
    if (unsafeSegment(reachable, catalog, census()) !== undefined) return nothing;
    const { candidates, storedBytes } = await this.#candidates(reachable, signal);
    const left = budget.left(clock.wallMs(), storedBytes);
    const perByte = await overhead();
    const limits = {
      fullBytes,
      overhead: perByte,
      movedBytesMax: left.movedBytes,
      freedBytesMax: left.freedBytes,
      framesMax: FRAMES_MAX,
      freedBytesMin: INDEX_TIMES * perByte * reachable.alive.frames * INDEX_ENTRY_BYTES,
    };
    const plan = planCompaction(candidates, limits);
    if (plan.victims.length === 0) return nothing;
    return { ...plan, turns: await this.#turns(plan.victims, reachable, signal) };
  }

  async #candidates(
    { alive, lockedNames }: Reachable,
    signal: AbortSignal,
  ): Promise<{ candidates: CompactionCandidate[]; storedBytes: number }> {
    const { catalog } = this.#c;
    const candidates: CompactionCandidate[] = [];
    let storedBytes = 0;
    for await (const [ref, record] of catalog.segments.all()) {
      signal.throwIfAborted();
      const own = acknowledgedBytes(record);
      storedBytes += own;
      const read = alive.of(ref);
      // What is locked stays where it is as long as the lock: copied, it would be there twice.
      if (read === undefined || lockedNames.has(ref) || record.shardBytes === 0) continue;
      const segmentBytes = record.shardBytes * record.k;
      candidates.push({ ref, segmentBytes, storedBytes: own, aliveBytes: read.bytes, frames: read.frames });
    }
    return { candidates, storedBytes };
  }

  async #turns(
    victims: readonly CompactionCandidate[],
    { alive }: Reachable,
    signal: AbortSignal,
  ): Promise<CompactionTurn[]> {
    const turns = turnsOf(victims, this.#c.fullBytes).map((of) => ({
      victims: of,
      data: [] as IndexEntry[],
      metadata: [] as IndexEntry[],
    }));
    // Manifests are copied by the list, which says where they lie; the index has some of them, too.
    const manifests = new Set((await this.#c.catalog.snapshots()).map(({ manifest }) => toHex(manifest.id)));
    const turnOf = new Map(turns.flatMap((turn) => turn.victims.map(({ ref }) => [refKey(ref), turn])));
    for await (const { id, place } of this.#c.catalog.chunks.all()) {
      signal.throwIfAborted();
      const turn = turnOf.get(refKey(place));
      const kind = turn === undefined ? undefined : alive.kind(place);
      if (turn === undefined || kind === undefined || manifests.has(toHex(id))) continue;
      turn[kind].push({ id: id.slice(), place });
    }
    return turns;
  }

  /** Whether all went where it should: the next turn is for nothing otherwise. */
  async copy(turn: CompactionTurn, signal: AbortSignal): Promise<boolean> {
    const { catalog, chunks, budget, clock, log, writer } = this.#c;
    const fetchedBefore = chunks.bytesFetched;
    const victims = new SegmentSet();
    for (const { ref } of turn.victims) victims.add(ref);
    await this.#leave(victims);
    const write = await writer((ref) => this.#insteadOps(ref), signal);
    const stored: SegmentRef[] = [];
    for (const entries of [turn.data, turn.metadata]) {
      const there = entries.filter(({ id, place }) => isSamePlace(catalog.chunks.get(id), place));
      const copier = write.begin(there.reduce((sum, { place }) => sum + place.sealedBytes, 0));
      await this.#copyChunks(copier, there, signal);
      const moved = entries === turn.metadata ? await this.#copyManifests(copier, victims, signal) : [];
      await copier.finish();
      if (moved.length > 0) await catalog.store.write(moved, { sync: true });
      stored.push(...copier.stored);
    }
    const movedBytes = chunks.bytesFetched - fetchedBefore + write.storedBytes;
    const freedBytes = turn.victims.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    await budget.spend(clock.wallMs(), { movedBytes, freedBytes });
    log.info("segments-copied", { from: turn.victims.length, to: stored.length, movedBytes });
    return stored.every((ref) => catalog.segments.get(ref)?.slots.includes(null) === false);
  }

  /** On disk before anything is copied: nothing new leans on what is about to be given up. */
  async #leave(victims: SegmentSet): Promise<void> {
    const { store } = this.#c.catalog;
    const moves = Moves.load(store);
    const left = joined(moves.state.left, victims.toRanges());
    await store.write([moves.changeOp({ left })], { sync: true });
  }

  /** With the places of the chunks that lie there: what is read from it is needed from then on. */
  #insteadOps({ incarnation, number }: SegmentRef): MetaOp[] {
    const { store, state } = this.#c.catalog;
    const moves = Moves.load(store);
    const instead = joined(moves.state.instead, [[incarnation, [[number, 1]]]]);
    return [moves.changeOp({ upTo: state.snapshotSequence, instead })];
  }

  async #copyChunks(copier: Copier, entries: readonly IndexEntry[], signal: AbortSignal): Promise<void> {
    const bySegment = Map.groupBy(entries, ({ place }) => refKey(place));
    for (const group of bySegment.values())
      for await (const { chunk, bytes } of this.#c.chunks.readSegment(group, signal))
        await copier.add(chunk.id, bytes);
  }

  /** Manifests are named by the list, which says where they lie: what is to be written when they are there. */
  async #copyManifests(copier: Copier, victims: SegmentSet, signal: AbortSignal): Promise<MetaOp[]> {
    const { catalog, chunks } = this.#c;
    const ops: MetaOp[] = [];
    for (const entry of await catalog.snapshots()) {
      const { id, incarnation, segment: number, ...place } = entry.manifest;
      if (!victims.has({ incarnation, number })) continue;
      const [bytes] = await chunks.readAt([{ id, place: { ...place, incarnation, number } }], signal);
      if (bytes === undefined) continue;
      const manifest = await copier.addLocated(id, bytes);
      this.#c.log.debug("manifest-copied", { snapshot: toHex(entry.id) });
      ops.push(catalog.snapshotOp({ ...entry, manifest }));
    }
    return ops;
  }
}

function isSamePlace(now: IndexEntry["place"] | undefined, planned: IndexEntry["place"]): boolean {
  return (
    now !== undefined &&
    now.incarnation === planned.incarnation &&
    now.number === planned.number &&
    now.frame === planned.frame
  );
}

function joined(a: SegmentRanges, b: SegmentRanges): SegmentRanges {
  const set = new SegmentRangeSet();
  set.addAll(a);
  set.addAll(b);
  return set.toRanges();
}
