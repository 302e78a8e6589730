import fc from "fast-check";
import { expect, it } from "vitest";
import { SegmentRangeSet, SegmentSet } from "../../../src/catalog/index.ts";

const ref = fc.record({ incarnation: fc.nat({ max: 2 }), number: fc.nat({ max: 60 }) });

it("has the segments of all ranges that were added, in whatever order, and no others", () => {
  fc.assert(
    fc.property(fc.array(fc.array(ref, { maxLength: 40 }), { maxLength: 5 }), (batches) => {
      const ranges = new SegmentRangeSet();
      const all = new SegmentSet();
      for (const refs of batches) {
        const some = new SegmentSet();
        some.addAll(refs);
        all.addAll(refs);
        ranges.addAll(some.toRanges());
      }
      expect(ranges.size).toBe(all.size);
      for (let incarnation = 0; incarnation <= 3; incarnation++)
        for (let number = 0; number <= 61; number++)
          expect(ranges.has({ incarnation, number })).toBe(all.has({ incarnation, number }));
    }),
  );
});

it("without another set: what is in it and not in the other", () => {
  const some = fc.array(ref, { maxLength: 60 });
  const setOf = (refs: readonly { incarnation: number; number: number }[]): [SegmentRangeSet, SegmentSet] => {
    const each = new SegmentSet();
    each.addAll(refs);
    const ranges = new SegmentRangeSet();
    ranges.addAll(each.toRanges());
    return [ranges, each];
  };
  fc.assert(
    fc.property(some, some, (inIt, notInIt) => {
      const [ranges, each] = setOf(inIt);
      const [others, other] = setOf(notInIt);
      const left = new SegmentSet();
      for (const one of each) if (!other.has(one)) left.add(one);
      expect(ranges.without(others).toRanges()).toEqual(left.toRanges());
    }),
  );
});
