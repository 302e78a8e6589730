import type { SegmentRef } from "./keys.ts";
import { refKey } from "./keys.ts";
import type { SegmentRanges } from "./records.ts";

/** A set of segments, small in memory and in a manifest: numbers mostly follow each other. */
export class SegmentSet {
  readonly #refs = new Map<string, SegmentRef>();

  add(ref: SegmentRef): void {
    const key = refKey(ref);
    if (!this.#refs.has(key)) this.#refs.set(key, { incarnation: ref.incarnation, number: ref.number });
  }

  addAll(refs: Iterable<SegmentRef>): void {
    for (const ref of refs) this.add(ref);
  }

  has(ref: SegmentRef): boolean {
    return this.#refs.has(refKey(ref));
  }

  get size(): number {
    return this.#refs.size;
  }

  [Symbol.iterator](): Iterator<SegmentRef> {
    return this.#refs.values();
  }

  toRanges(): SegmentRanges {
    const byIncarnation = new Map<number, number[]>();
    for (const ref of this.#refs.values()) {
      const numbers = byIncarnation.get(ref.incarnation) ?? [];
      numbers.push(ref.number);
      byIncarnation.set(ref.incarnation, numbers);
    }
    return [...byIncarnation]
      .sort(([a], [b]) => a - b)
      .map(([incarnation, numbers]) => [incarnation, runs(numbers)]);
  }

  static fromRanges(ranges: SegmentRanges): SegmentSet {
    const set = new SegmentSet();
    for (const [incarnation, list] of ranges) {
      for (const [first, count] of list) {
        for (let number = first; number < first + count; number++) set.add({ incarnation, number });
      }
    }
    return set;
  }
}

function runs(numbers: number[]): [number, number][] {
  numbers.sort((a, b) => a - b);
  const out: [number, number][] = [];
  for (const number of numbers) {
    const last = out.at(-1);
    if (last !== undefined && last[0] + last[1] === number) last[1]++;
    else out.push([number, 1]);
  }
  return out;
}
