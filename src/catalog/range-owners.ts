import type { SegmentRef } from "./keys.ts";
import { type Span, spanAt } from "./range-set.ts";
import type { SegmentRanges } from "./records.ts";

/** All needed by the same ones. */
interface NeededSpan extends Span {
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
  #spans: Map<number, NeededSpan[]> | undefined;

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
    const span = spanAt(this.#spans.get(incarnation) ?? [], number);
    if (span === undefined) return undefined;
    return span.count === 1 ? span.only : "shared";
  }
}

function spansOf(edges: { at: number; change: 1 | -1; asker: number }[]): NeededSpan[] {
  edges.sort((a, b) => a.at - b.at);
  const spans: NeededSpan[] = [];
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
