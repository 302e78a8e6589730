import fc from "fast-check";
import { expect, it } from "vitest";
import { RangeOwners, type SegmentRanges } from "../../src/catalog/index.ts";

const ranges: fc.Arbitrary<SegmentRanges> = fc
  .uniqueArray(
    fc.tuple(fc.nat(2), fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 6 })), { maxLength: 4 })),
    { selector: ([incarnation]) => incarnation, maxLength: 3 },
  )
  // As manifests have them: no number twice.
  .map((all) => all.map(([incarnation, list]) => [incarnation, merged(list)]));

function merged(list: [number, number][]): [number, number][] {
  const numbers = new Set(
    list.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i)),
  );
  return [...numbers].sort((a, b) => a - b).map((number) => [number, 1]);
}

it("who needs a segment is what counting one by one says", () => {
  fc.assert(
    fc.property(fc.array(ranges, { maxLength: 6 }), (askers) => {
      const owners = new RangeOwners();
      for (const [asker, list] of askers.entries()) owners.add(asker, list);
      for (let incarnation = 0; incarnation <= 3; incarnation++) {
        for (let number = 0; number <= 30; number++) {
          const needing = askers.flatMap((list, asker) =>
            list.some(
              ([position, each]) =>
                position === incarnation &&
                each.some(([first, count]) => number >= first && number < first + count),
            )
              ? [asker]
              : [],
          );
          const expected = needing.length > 1 ? "shared" : needing[0];
          expect(owners.of({ incarnation, number })).toBe(expected);
        }
      }
    }),
  );
});

it("ranges that touch or lie in each other are told apart", () => {
  const owners = new RangeOwners();
  owners.add(0, [[0, [[0, 10]]]]);
  owners.add(1, [[0, [[10, 5]]]]);
  owners.add(2, [[0, [[3, 2]]]]);
  const of = (number: number) => owners.of({ incarnation: 0, number });
  expect([of(2), of(3), of(4), of(5), of(9), of(10), of(14), of(15)]).toEqual([
    ...[0, "shared", "shared", 0, 0, 1, 1, undefined],
  ]);
});
