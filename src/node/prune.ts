import { assert, must } from "../base/assert.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import {
  type Catalog,
  listingOf,
  Moves,
  SegmentRangeSet,
  type SegmentRef,
  SegmentSet,
  type Trail,
} from "../catalog/index.ts";
import type { ProtectionCensus } from "../exchange/index.ts";
import type { LifeSpans } from "../gc/index.ts";
import type { OwnerLocks } from "../locks/index.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import { LIVES_MAX } from "../wire/live-set.ts";
import type { Leaving } from "./leaving.ts";
import type { OwnLiveSet } from "./own-live-set.ts";
import { acknowledgedBytes, isLockedNow, unsafeSegment } from "./prune-facts.ts";
import { type Reachable, type ReachableComponents, reachableSegments } from "./reachable.ts";
import type { Relist } from "./repository.ts";

/** What an interrupted snapshot has left is kept for the next one for so long. */
const DRAFTS_KEPT_MS = 14 * DAY_MS;
/** Records of segments that were given up stay for so long: whoever was reading one has ended by then. */
const RECORDS_KEPT_MS = DAY_MS;
const BATCH = 4096;

export interface PruneComponents extends ReachableComponents {
  readonly catalog: Catalog;
  readonly live: OwnLiveSet;
  readonly leaving: Pick<Leaving, "noteOps">;
  readonly trail: Pick<Trail, "isHere">;
  readonly locks: Pick<OwnerLocks, "standingOf">;
  readonly census: () => Pick<ProtectionCensus, "mayReuse">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

export interface PruneOutcome {
  /** Given up by this run, or what it would give up. */
  readonly segments: number;
  /** Their shards, as acknowledged: what holders delete in time. */
  readonly freedBytes: number;
  /** What stays. */
  readonly keptSegments: number;
  readonly keptBytes: number;
  /** Something that is read now is not placed as it should be: what is only named by manifests stays meanwhile. */
  readonly isHeldBack: boolean;
}

interface Dead {
  readonly refs: SegmentSet;
  readonly bytes: number;
  readonly keptBytes: number;
  readonly kept: SegmentSet;
}

/**
 * Gives up every segment that nothing on the list needs. The order is what makes it safe: their chunks leave the index, so that
 * nothing new leans on them; then a head is made whose index and list say nothing of them; then the live set is signed that omits
 * them; only then somebody else hears of it. Whoever dies in between has given up nothing, and the next run does it all again.
 *
 * Runs in its turn among those who write the list.
 */
export async function prune(
  components: PruneComponents,
  relist: Relist,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<PruneOutcome> {
  const run = new Prune(components);
  return run.run(relist, options);
}

class Prune {
  readonly #c: PruneComponents;

  constructor(components: PruneComponents) {
    this.#c = components;
  }

  async run(
    relist: Relist,
    { dryRun, signal }: { dryRun: boolean; signal: AbortSignal },
  ): Promise<PruneOutcome> {
    const { catalog, log } = this.#c;
    const reachable = await reachableSegments(this.#c, (entry) => isLockedNow(entry, this.#c), signal);
    const unsafe = unsafeSegment(reachable, catalog, this.#c.census());
    if (unsafe !== undefined)
      log.info("prune-held-back", { segment: unsafe.number, life: unsafe.incarnation });
    const dead = await this.#dead(this.#wanted(reachable, unsafe !== undefined), signal);
    const outcome: PruneOutcome = {
      segments: dead.refs.size,
      freedBytes: dead.bytes,
      keptSegments: dead.kept.size,
      keptBytes: dead.keptBytes,
      isHeldBack: unsafe !== undefined,
    };
    const way = wayOfNewestHead(catalog);
    // A list that is as it should be is not written anew for its own sake.
    const isWorthIt = [...dead.refs].some((ref) => !way.has(ref));
    if (dryRun || !isWorthIt) return isWorthIt ? outcome : { ...outcome, segments: 0, freedBytes: 0 };
    await this.#noteMoves(reachable, dead);
    await this.#unindex(dead.refs, signal);
    const now = await relist([], dead.refs);
    for (const ref of now) assert(!dead.refs.has(ref), "a new list does not lie in what is given up");
    await this.#sign(reachable, dead, now);
    log.info("segments-given-up", { segments: outcome.segments, bytes: outcome.freedBytes });
    return outcome;
  }

  #wanted({ places, named, lockedNames }: Reachable, isHeldBack: boolean): SegmentRangeSet {
    const { catalog, trail } = this.#c;
    const wanted = (isHeldBack ? named : lockedNames).without(Moves.load(catalog.store).gone);
    wanted.addAll(places.toRanges());
    // A page of the trail whose entries are not here cannot be written anew.
    for (const page of catalog.state.trail?.pages ?? [])
      if (!trail.isHere(page)) wanted.addAll([[page.at.incarnation, [[page.at.segment, 1]]]]);
    return wanted;
  }

  /** What is in the table and nothing leads to. */
  async #dead(wanted: SegmentRangeSet, signal: AbortSignal): Promise<Dead> {
    const { catalog, live, clock } = this.#c;
    const drafts = await this.#drafts();
    const before = new SegmentRangeSet();
    before.addAll(live.state?.givenUp ?? []);
    const [refs, kept] = [new SegmentSet(), new SegmentSet()];
    let bytes = 0;
    let keptBytes = 0;
    for await (const [ref, record] of catalog.segments.all()) {
      signal.throwIfAborted();
      if (before.has(ref)) continue;
      const isDraft = drafts.has(ref) && record.createdMs > clock.wallMs() - DRAFTS_KEPT_MS;
      if (wanted.has(ref) || record.spooled || isDraft) {
        kept.add(ref);
        keptBytes += acknowledgedBytes(record);
      } else {
        refs.add(ref);
        bytes += acknowledgedBytes(record);
      }
    }
    return { refs, bytes, kept, keptBytes };
  }

  /**
   * Before anything else is written: nothing new leans on what goes, and the head that is made next says that manifests which name it
   * do not need it.
   */
  async #noteMoves({ named, places, moved }: Reachable, { refs }: Dead): Promise<void> {
    const { catalog } = this.#c;
    const before = Moves.load(catalog.store);
    const stays = named.without(before.gone);
    stays.addAll(places.toRanges());
    const dead = rangesOf(refs);
    const gone = named.without(stays.without(dead));
    const left = new SegmentRangeSet();
    left.addAll(before.state.left);
    const change = {
      upTo: catalog.state.snapshotSequence,
      gone: gone.toRanges(),
      instead: moved.toRanges(),
      left: left.without(dead).toRanges(),
    };
    if (before.isSame(change)) return;
    await catalog.store.write([before.changeOp(change)], { sync: true });
  }

  /** Where chunks lie that no head lists yet. */
  async #drafts(): Promise<SegmentSet> {
    const drafts = new SegmentSet();
    for await (const { place } of this.#c.catalog.chunks.unlisted()) drafts.add(place);
    return drafts;
  }

  async #unindex(dead: SegmentSet, signal: AbortSignal): Promise<void> {
    const { chunks, store } = this.#c.catalog;
    let ids: Uint8Array[] = [];
    const flush = async (): Promise<void> => {
      await store.write(chunks.removeOps(ids), { sync: false });
      ids = [];
    };
    for await (const { id, place } of chunks.all()) {
      signal.throwIfAborted();
      if (!dead.has(place)) continue;
      ids.push(id.slice());
      if (ids.length >= BATCH) await flush();
    }
    if (ids.length > 0) await flush();
  }

  /** In one synced write: the live set, and the records of what it omits. */
  async #sign(reachable: Reachable, dead: Dead, listing: SegmentSet): Promise<void> {
    const { catalog, live, clock } = this.#c;
    // What a manifest names is wanted unless it was looked at and found dead, even where this home knows nothing of it.
    const given = rangesOf(dead.refs);
    given.addAll(live.state?.givenUp ?? []);
    given.addAll(Moves.load(catalog.store).state.gone);
    const wanted = reachable.named.without(given);
    wanted.addAll(reachable.places.toRanges());
    wanted.addAll(dead.kept.toRanges());
    wanted.addAll(listing.toRanges());
    for (const ref of dead.refs) assert(!wanted.has(ref), "what is given up is not wanted");
    const lives = this.#lives(wanted, dead.refs);
    const before = live.state;
    const isOld = before === undefined || clock.wallMs() - before.timeMs > RECORDS_KEPT_MS;
    const ops: MetaOp[] = [];
    const givenUp = new SegmentSet();
    givenUp.addAll(dead.refs);
    const earlier = [...SegmentSet.fromRanges(before?.givenUp ?? [])];
    for (const ref of earlier) {
      if (isOld) ops.push(catalog.segments.removeOp(ref));
      else givenUp.add(ref);
    }
    if (isOld && before !== undefined) ops.push(...this.#c.leaving.noteOps(earlier, before.timeMs));
    for (const ref of dead.refs)
      ops.push(catalog.segments.giveUpOp(ref, must(catalog.segments.get(ref), "segment record")));
    ops.push(...live.signOps(lives, givenUp.toRanges(), dead.bytes));
    await catalog.store.write(ops, { sync: true });
  }

  /** The newest ones, where there are more than a live set can speak about. */
  #lives(wanted: SegmentRangeSet, dead: Iterable<SegmentRef>): LifeSpans[] {
    const { catalog } = this.#c;
    const { incarnations } = catalog.state;
    const deadEnds = new Map<number, number>();
    for (const { incarnation, number } of dead)
      deadEnds.set(incarnation, Math.max(deadEnds.get(incarnation) ?? 0, number + 1));
    return incarnations
      .map((incarnation, position): LifeSpans => {
        const spans = wanted.spans(position);
        const end = Math.max(spans.at(-1)?.end ?? 0, deadEnds.get(position) ?? 0);
        const isOwn = position === catalog.currentIncarnation;
        // What this life has not numbered yet is not covered; of an earlier one nothing is, beyond what is known here.
        const below = isOwn ? catalog.nextNumber : end;
        assert(end <= below, "numbers in use are below the next one");
        return { incarnation, below, spans };
      })
      .slice(-LIVES_MAX);
  }
}

/** Segments that lead from the newest head to index, list and trail. */
function wayOfNewestHead({ state, store }: Catalog): SegmentSet {
  const way = SegmentSet.fromRanges(listingOf(store));
  for (const { segments } of state.runs) way.addAll(SegmentSet.fromRanges(segments));
  const { at } = Moves.load(store).state;
  const located = [...state.snapshotPages, ...(state.trail?.pages ?? []).map((page) => page.at)];
  for (const { incarnation, segment } of at === undefined ? located : [...located, at])
    way.add({ incarnation, number: segment });
  return way;
}

function rangesOf(refs: SegmentSet): SegmentRangeSet {
  const set = new SegmentRangeSet();
  set.addAll(refs.toRanges());
  return set;
}
