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
