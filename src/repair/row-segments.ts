import { must } from "../base/assert.ts";
import {
  INCARNATION_BYTES,
  parseIncarnation,
  SEGMENT_NUMBER_MAX,
  type SegmentId,
  type ShardId,
  segmentKey,
} from "../base/ids.ts";
import { type GenerationAt, type PlacementMap, rowOf } from "../placement/index.ts";
import type { ShardStore } from "../ports/index.ts";
import { shardNote } from "../wire/data.ts";
import { descriptorCodec, SHARDS_MAX } from "../wire/descriptor.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { RepairedMap } from "./judge.ts";

/** A segment of which a shard lies on this node's disk, or lay there until it was set aside. */
export interface HeldSegment {
  readonly segment: SegmentId;
  /** Its descriptor as it was signed; its signature was checked when the shard came in. */
  readonly envelope: Uint8Array;
}

const LAST_INDEX = SHARDS_MAX - 1;

type Lister = (
  after: ShardId,
  limit: number,
) => Promise<readonly { readonly id: ShardId; readonly note: Uint8Array }[]>;

/**
 * The segments of one generation of one row that this node knows by what it holds, rising, each once, behind `afterNumber`.
 * It goes through the index from one segment of the row to the next and reads nothing else.
 */
export async function* segmentsOfRow(
  shards: Pick<ShardStore, "list" | "quarantined">,
  map: RepairedMap,
  at: GenerationAt,
  afterNumber: number | undefined,
): AsyncGenerator<HeldSegment> {
  const range = rangeOf(map.signed, at, afterNumber);
  if (range === undefined) return;
  const aside = through((after, limit) => shards.quarantined(after, limit), map, at, range);
  yield* merged(
    aside,
    through((after, limit) => shards.list(after, limit), map, at, range),
  );
}

/** Both rising; each segment once. */
export async function* merged(
  one: AsyncIterator<HeldSegment>,
  other: AsyncIterator<HeldSegment>,
): AsyncGenerator<HeldSegment> {
  let [a, b] = [await one.next(), await other.next()];
  for (;;) {
    if (a.done === true && b.done === true) return;
    const takeFirst = b.done === true || (a.done !== true && a.value.segment.number < b.value.segment.number);
    const next = takeFirst ? a : b;
    if (next.done === true) return;
    yield next.value;
    const key = segmentKey(next.value.segment);
    if (a.done !== true && segmentKey(a.value.segment) === key) a = await one.next();
    if (b.done !== true && segmentKey(b.value.segment) === key) b = await other.next();
  }
}

/** The shards of one generation that lie on this node's disk, rising, of segments behind `afterNumber`. */
export async function* shardsOfRow(
  shards: Pick<ShardStore, "list" | "stat">,
  map: RepairedMap,
  at: GenerationAt,
  afterNumber: number | undefined,
): AsyncGenerator<readonly [number: number, indexes: readonly number[]]> {
  const range = rangeOf(map.signed, at, undefined);
  if (range === undefined) return;
  const first = Math.max(range.first, afterNumber === undefined ? 0 : afterNumber + 1);
  // The first of the row that is not below.
  const aligned = range.first + Math.ceil((first - range.first) / range.step) * range.step;
  const held = through((after, limit) => shards.list(after, limit), map, at, { ...range, first: aligned });
  for await (const { segment } of held) {
    const indexes = Array.from({ length: SHARDS_MAX }, (_, index) => index);
    yield [segment.number, indexes.filter((index) => shards.stat({ ...segment, index }) !== undefined)];
  }
}

/** Whether a segment of this number can be of the generation. */
export function isOfRow(map: RepairedMap, at: GenerationAt, number: number): boolean {
  const range = rangeOf(map.signed, at, undefined);
  if (range === undefined || number < at.fromSegment || number >= range.end) return false;
  return number % range.step === at.partition;
}

interface NumberRange {
  readonly first: number;
  /** Numbers are below. */
  readonly end: number;
  readonly step: number;
}

function rangeOf(map: PlacementMap, at: GenerationAt, after: number | undefined): NumberRange | undefined {
  const rows = map.classes.get(at.classId);
  if (rows === undefined) return undefined;
  const row = rowOf(map, at.classId, at.partition);
  const next = row.find(({ fromSegment }) => fromSegment > at.fromSegment);
  const first = after === undefined ? at.fromSegment : after + rows.partitions;
  return { first, end: next?.fromSegment ?? Number.POSITIVE_INFINITY, step: rows.partitions };
}

async function* through(
  list: Lister,
  { owner, incarnation }: RepairedMap,
  { classId }: GenerationAt,
  { first, end, step }: NumberRange,
): AsyncGenerator<HeldSegment> {
  for (let wanted = first; wanted < end; ) {
    const [found] = await list(beforeSegment({ owner, incarnation, number: wanted }), 1);
    if (found === undefined || found.id.owner !== owner || found.id.incarnation !== incarnation) return;
    const { number } = found.id;
    if (number > wanted) {
      // On to the first of the row that is not below what was found.
      wanted += Math.ceil((number - wanted) / step) * step;
      continue;
    }
    const { descriptor: envelope } = shardNote.decode(found.note);
    if (classOf(envelope) === classId) yield { segment: { owner, incarnation, number }, envelope };
    wanted += step;
  }
}

/** An id that every shard of this segment follows, and every one of a segment before it does not. */
function beforeSegment({ owner, incarnation, number }: SegmentId): ShardId {
  if (number > 0) return { owner, incarnation, number: number - 1, index: LAST_INDEX };
  const earlier = (BigInt(`0x${incarnation}`) || 1n) - 1n;
  const digits = earlier.toString(16).padStart(2 * INCARNATION_BYTES, "0");
  const life = must(parseIncarnation(digits), "an incarnation");
  return { owner, incarnation: life, number: SEGMENT_NUMBER_MAX, index: LAST_INDEX };
}

function classOf(envelope: Uint8Array): number {
  return descriptorCodec.decode(decodeSigned(envelope).body).class;
}
