import type { SegmentRef } from "./keys.ts";
import type { SegmentRanges } from "./records.ts";

/** Segments from the first number to before `end`, all needed by the same ones. */
interface Span {
  readonly first: number;
  readonly end: number;
  /** How many need it. */
  readonly count: number;
  /** Of one that is needed by one: which. */
  readonly only: number;
}

/**
 * Who needs which segments, each asker by a number from 0: worked out by ranges, so that ten thousand snapshots of a
 * large repository take what their manifests list and not a row for every segment of each.
 */
export class RangeOwners {
  /** By incarnation: where a need begins (+1) or ends (-1). */
  readonly #edges = new Map<number, { at: number; change: 1 | -1; asker: number }[]>();
  #spans: Map<number, Span[]> | undefined;

  add(asker: number, ranges: SegmentRanges): void {
    this.#spans = undefined;
    for (const [incarnation, list] of ranges) {
      const edges = this.#edges.get(incarnation) ?? [];
      for (const [first, count] of list) {
        edges.push({ at: first, change: 1, asker }, { at: first + count, change: -1, asker });
      }
      this.#edges.set(incarnation, edges);
    }
  }

  /** The only one that needs it, `shared` where several do, `undefined` where nobody does. */
  of({ incarnation, number }: SegmentRef): number | "shared" | undefined {
    this.#spans ??= new Map([...this.#edges].map(([position, edges]) => [position, spansOf(edges)]));
    const spans = this.#spans.get(incarnation) ?? [];
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((spans[middle]?.end ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    const span = spans[low];
    if (span === undefined || span.first > number) return undefined;
    return span.count === 1 ? span.only : "shared";
  }
}

function spansOf(edges: { at: number; change: 1 | -1; asker: number }[]): Span[] {
  edges.sort((a, b) => a.at - b.at);
  const spans: Span[] = [];
  let count = 0;
  // The sum of those that need it here: where it is one, that one.
  let sum = 0;
  for (const [i, { at, change, asker }] of edges.entries()) {
    count += change;
    sum += change * asker;
    const end = edges[i + 1]?.at;
    if (count > 0 && end !== undefined && end > at) spans.push({ first: at, end, count, only: sum });
  }
  return spans;
}
