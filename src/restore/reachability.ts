import { must } from "../base/assert.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault, type SegmentShortage } from "../base/fault.ts";
import type { Incarnation, PeerId } from "../base/ids.ts";
import { type Catalog, refKey, type SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps, PeerClient } from "../exchange/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";

export interface ReachabilityComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have">;
}

/** What holders say that they have, right now, of each segment asked about. */
export interface Reachability {
  /** Shard indexes claimed, by `refKey`. */
  readonly claimed: ReadonlyMap<string, ReadonlySet<number>>;
  readonly silent: ReadonlySet<PeerId>;
  /** Segments of which fewer than k shards were claimed. */
  readonly shortages: readonly SegmentShortage[];
}

interface Question {
  readonly ref: SegmentRef;
  readonly index: number;
}

/** Holders asked at the same time. */
const ASK_LIMIT = 16;

/** Asks every holder of these segments once what it has: cheap enough to do before a restore writes anything. */
export async function askHolders(
  components: ReachabilityComponents,
  segments: Iterable<SegmentRef>,
  signal?: AbortSignal,
): Promise<Reachability> {
  const refs = [...segments];
  const questions = questionsByPeer(components, refs);
  const claimed = new Map<string, Set<number>>(refs.map((ref) => [refKey(ref), new Set()]));
  const silent = new Set<PeerId>();
  await mapLimit([...questions], ASK_LIMIT, async ([peer, asked]) => {
    try {
      for (const part of parts(components.catalog, asked)) {
        const held = await components.client.have(
          peer,
          components.catalog.owner,
          part.incarnation,
          part.shards,
          signal,
        );
        held.forEach((has, i) => {
          const question = must(part.questions[i], "question");
          if (has) claimed.get(refKey(question.ref))?.add(question.index);
        });
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!isFault(error)) throw error;
      silent.add(peer);
    }
  });
  return { claimed, silent, shortages: refs.flatMap((ref) => shortageOf(components, ref, claimed)) };
}

function questionsByPeer(
  { catalog, maps }: ReachabilityComponents,
  refs: readonly SegmentRef[],
): Map<PeerId, Question[]> {
  const questions = new Map<PeerId, Question[]>();
  for (const ref of refs) {
    const record = must(catalog.segments.get(ref), "segment record");
    const byMap = maps.slots(ref, record.class);
    record.slots.forEach((slot, index) => {
      const peer = slot?.peer ?? byMap[index];
      if (peer === undefined) return;
      const list = questions.get(peer) ?? [];
      list.push({ ref, index });
      questions.set(peer, list);
    });
  }
  return questions;
}

interface Part {
  readonly incarnation: Incarnation;
  readonly questions: readonly Question[];
  readonly shards: readonly (readonly [number, number])[];
}

/** Questions of one incarnation, as many as one message takes. */
function* parts(catalog: Catalog, asked: readonly Question[]): Generator<Part> {
  const byIncarnation = Map.groupBy(asked, (question) => question.ref.incarnation);
  for (const questions of byIncarnation.values()) {
    for (let at = 0; at < questions.length; at += HAVE_SHARDS_MAX) {
      const part = questions.slice(at, at + HAVE_SHARDS_MAX);
      const { incarnation } = catalog.segmentId(must(part[0], "question").ref);
      yield {
        incarnation,
        questions: part,
        shards: part.map(({ ref, index }) => [ref.number, index] as const),
      };
    }
  }
}

function shortageOf(
  { catalog, maps }: ReachabilityComponents,
  ref: SegmentRef,
  claimed: ReadonlyMap<string, ReadonlySet<number>>,
): SegmentShortage[] {
  const record = must(catalog.segments.get(ref), "segment record");
  const have = claimed.get(refKey(ref)) ?? new Set();
  if (record.spooled || have.size >= record.k) return [];
  const byMap = maps.slots(ref, record.class);
  const holders = record.slots.flatMap((slot, index) => {
    const peer = slot?.peer ?? byMap[index];
    return peer === undefined || have.has(index) ? [] : [peer];
  });
  return [{ segment: catalog.segmentId(ref), have: have.size, need: record.k, holders }];
}
