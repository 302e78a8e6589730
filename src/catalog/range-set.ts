import type { SegmentRef } from "./keys.ts";
import type { SegmentRanges } from "./records.ts";

/** Segments from the first number to before `end`. */
export interface Span {
  readonly first: number;
  readonly end: number;
}

/** A set of segments by the ranges they form: what all snapshots of a large repository need takes a few kilobytes. */
export class SegmentRangeSet {
  readonly #spans = new Map<number, Span[]>();

  addAll(ranges: SegmentRanges): void {
    for (const [incarnation, list] of ranges) {
      const added = list.map(([first, count]): Span => ({ first, end: first + count }));
      this.#spans.set(incarnation, joined([...(this.#spans.get(incarnation) ?? []), ...added]));
    }
  }

  has({ incarnation, number }: SegmentRef): boolean {
    return spanAt(this.#spans.get(incarnation) ?? [], number) !== undefined;
  }

  /** Of one life, rising; they do not touch. */
  spans(incarnation: number): readonly Span[] {
    return this.#spans.get(incarnation) ?? [];
  }

  /** Those of this set that are not in the other. */
  without(other: SegmentRangeSet): SegmentRangeSet {
    const left = new SegmentRangeSet();
    for (const [incarnation, spans] of this.#spans)
      left.#spans.set(incarnation, cutOut(spans, other.spans(incarnation)));
    return left;
  }

  toRanges(): SegmentRanges {
    return [...this.#spans]
      .filter(([, spans]) => spans.length > 0)
      .sort(([a], [b]) => a - b)
      .map(([incarnation, spans]) => [
        incarnation,
        spans.map(({ first, end }): [number, number] => [first, end - first]),
      ]);
  }

  get size(): number {
    let size = 0;
    for (const spans of this.#spans.values()) for (const { first, end } of spans) size += end - first;
    return size;
  }
}

/** The one that the number is in, of spans in rising order that do not overlap. */
export function spanAt<T extends Span>(spans: readonly T[], number: number): T | undefined {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((spans[middle]?.end ?? 0) <= number) low = middle + 1;
    else high = middle;
  }
  const span = spans[low];
  return span !== undefined && span.first <= number ? span : undefined;
}

/** Both rising, none overlapping. */
function cutOut(spans: readonly Span[], holes: readonly Span[]): Span[] {
  const out: Span[] = [];
  let at = 0;
  for (const { first, end } of spans) {
    let from = first;
    while (at < holes.length && (holes[at]?.end ?? 0) <= from) at++;
    for (let next = at; from < end; next++) {
      const hole = holes[next];
      if (hole === undefined || hole.first >= end) {
        out.push({ first: from, end });
        break;
      }
      if (hole.first > from) out.push({ first: from, end: hole.first });
      from = Math.max(from, hole.end);
    }
  }
  return out;
}

function joined(spans: Span[]): Span[] {
  spans.sort((a, b) => a.first - b.first);
  const out: Span[] = [];
  for (const span of spans) {
    const last = out.at(-1);
    if (last === undefined || last.end < span.first) out.push(span);
    else if (last.end < span.end) out[out.length - 1] = { first: last.first, end: span.end };
  }
  return out;
}
