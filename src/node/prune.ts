import { assert, must } from "../base/assert.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import {
  type Catalog,
  listingOf,
  SegmentRangeSet,
  type SegmentRecord,
  type SegmentRef,
  SegmentSet,
} from "../catalog/index.ts";
import type { LifeSpans } from "../gc/index.ts";
import type { Clock, MetaOp } from "../ports/index.ts";
import { LIVES_MAX } from "../wire/live-set.ts";
import type { OwnLiveSet } from "./own-live-set.ts";
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
    const reachable = await reachableSegments(this.#c, signal);
    // The head leads to it, whatever is on the list.
    for (const { at } of catalog.state.trail?.pages ?? [])
      reachable.addNeeds([[at.incarnation, [[at.segment, 1]]]]);
    const dead = await this.#dead(reachable, signal);
    const outcome: PruneOutcome = {
      segments: dead.refs.size,
      freedBytes: dead.bytes,
      keptSegments: dead.kept.size,
      keptBytes: dead.keptBytes,
    };
    const listing = SegmentSet.fromRanges(listingOf(catalog.store));
    // A list that is as it should be is not written anew for its own sake.
    const isWorthIt = [...dead.refs].some((ref) => !listing.has(ref));
    if (dryRun || !isWorthIt) return isWorthIt ? outcome : { ...outcome, segments: 0, freedBytes: 0 };
    await this.#unindex(dead.refs, signal);
    const now = await relist([], dead.refs);
    for (const ref of now) assert(!dead.refs.has(ref), "a new list does not lie in what is given up");
    await this.#sign(reachable, dead, now);
    log.info("segments-given-up", { segments: outcome.segments, bytes: outcome.freedBytes });
    return outcome;
  }

  /** What is in the table and nothing leads to. */
  async #dead(reachable: Reachable, signal: AbortSignal): Promise<Dead> {
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
      if (reachable.has(ref) || record.spooled || isDraft) {
        kept.add(ref);
        keptBytes += acknowledgedBytes(record);
      } else {
        refs.add(ref);
        bytes += acknowledgedBytes(record);
      }
    }
    return { refs, bytes, kept, keptBytes };
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
    const wanted = new SegmentRangeSet();
    wanted.addAll(reachable.needs.toRanges());
    wanted.addAll(reachable.moved.toRanges());
    wanted.addAll(dead.kept.toRanges());
    wanted.addAll(listing.toRanges());
    for (const ref of dead.refs) assert(!wanted.has(ref), "what is given up is not wanted");
    const lives = this.#lives(wanted, dead.refs);
    const before = live.state;
    const isOld = before === undefined || clock.wallMs() - before.timeMs > RECORDS_KEPT_MS;
    const ops: MetaOp[] = [];
    const givenUp = new SegmentSet();
    givenUp.addAll(dead.refs);
    for (const ref of SegmentSet.fromRanges(before?.givenUp ?? [])) {
      if (isOld) ops.push(catalog.segments.removeOp(ref));
      else givenUp.add(ref);
    }
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

function acknowledgedBytes({ slots, shardBytes }: SegmentRecord): number {
  return shardBytes * slots.filter((slot) => slot !== null).length;
}
