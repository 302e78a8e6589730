import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/bytes.ts";
import {
  autoProfile,
  capacityUnder,
  chooseRow,
  classFor,
  feasible,
  formatProfile,
  type PlacedShard,
  safePossible,
  segmentSurvival,
} from "../../src/placement/index.ts";
import { nodesOf, shapesUpTo } from "../unit/placement/nodes.ts";

// Every shape there is, rather than drawn ones.
const SHAPES = [...shapesUpTo(12, 6)];

function place(sites: readonly number[], of: { k: number; m: number; cap: number }, key: string) {
  const candidates = nodesOf(sites);
  const n = of.k + of.m;
  const row = chooseRow({ key: utf8(key), n, cap: of.cap, candidates, ownerPeer: undefined });
  const shards = row.slots.flatMap((peer, index): PlacedShard[] => {
    const holder = candidates.find((one) => one.peer === peer);
    return holder === undefined ? [] : [{ index, peer: holder.peer, site: holder.site, host: holder.host }];
  });
  return { row, survival: segmentSurvival({ k: of.k, n, shards }) };
}

describe("auto, over all shapes", () => {
  test("there are as many shapes as partitions of 1 .. 12 into at most 6 parts", () => {
    expect(SHAPES).toHaveLength(226);
  });

  test("the choice can be placed, and survives exactly what it says", () => {
    for (const sites of SHAPES) {
      const choice = autoProfile({ sites });
      const { k, m } = choice.class;
      const what = `${formatProfile(choice.class)} on ${sites}`;
      expect(feasible(choice.class, { sites }), what).toBe(true);
      for (const key of ["a", "b", "c"]) {
        const { row, survival } = place(sites, choice.class, key);
        expect(row.ok, what).toBe(true);
        expect(survival.isFull, what).toBe(true);
        expect(survival.isSafe, what).toBe(choice.coversSiteLoss);
        expect(survival.nodes, what).toBe(m);
        if (choice.coversSiteLoss) {
          expect(survival.nodesAfterWorstSite, what).toBeGreaterThanOrEqual(choice.f);
          expect(m, what).toBeGreaterThanOrEqual(choice.class.cap + choice.f);
        }
      }
      expect(choice.overhead, what).toBe((k + m) / k);
    }
  });

  test("the loss of a site is covered wherever there are two, and only there", () => {
    for (const sites of SHAPES) {
      const choice = autoProfile({ sites });
      expect(choice.coversSiteLoss, `${sites}`).toBe(sites.length >= 2);
      expect(safePossible(choice.class, { sites }), `${sites}`).toBe(sites.length >= 2);
      if (!choice.coversSiteLoss) expect(choice.notes.length, `${sites}`).toBeGreaterThan(0);
    }
  });

  test("one more node, at an old site or a new one, never takes the cover of a site away", () => {
    for (const sites of SHAPES) {
      if (!autoProfile({ sites }).coversSiteLoss) continue;
      const grown = [
        ...sites.map((_, i) => sites.map((count, j) => (i === j ? count + 1 : count))),
        [...sites, 1],
      ];
      for (const shape of grown) expect(autoProfile({ sites: shape }).coversSiteLoss, `${shape}`).toBe(true);
    }
  });

  test("codes keep to their bounds, and only copies cost more than three bytes a byte", () => {
    for (const sites of SHAPES) {
      const { class: of, overhead } = autoProfile({ sites });
      const what = `${formatProfile(of)} on ${sites}`;
      expect(of.k, what).toBeLessThanOrEqual(10);
      expect(of.k + of.m, what).toBeLessThanOrEqual(16);
      if (of.k > 1) expect(overhead, what).toBeLessThanOrEqual(3);
      else expect(of.k + of.m, what).toBeLessThanOrEqual(sites.reduce((a, b) => a + b));
    }
  });

  test("faster uplinks never make the choice more likely to lose data", () => {
    for (const sites of SHAPES) {
      if (sites.length === 1) continue; // there the figure is that of the site's own loss
      const slow = autoProfile({ sites });
      const fast = autoProfile({ sites }, { uplinkBitsPerSecond: 1e9 });
      const meets = fast.annualLoss <= 1e-9;
      expect(meets || fast.annualLoss <= slow.annualLoss, `${sites}`).toBe(true);
    }
  });
});

describe("explicit profiles, over all shapes", () => {
  test("classFor: the cap is the least that fits, and the cover is what survival counts", () => {
    for (const sites of SHAPES) {
      const holders = sites.reduce((a, b) => a + b);
      for (let n = 2; n <= holders; n++) {
        for (let m = 1; m < n; m++) {
          const choice = classFor({ k: n - m, m }, { sites });
          expect(capacityUnder(sites, choice.class.cap)).toBeGreaterThanOrEqual(n);
          expect(capacityUnder(sites, choice.class.cap - 1)).toBeLessThan(n);
          const { row, survival } = place(sites, choice.class, "x");
          expect(row.ok).toBe(true);
          expect(survival.isSafe).toBe(choice.coversSiteLoss);
          if (choice.coversSiteLoss) expect(safePossible(choice.class, { sites })).toBe(true);
        }
      }
    }
  });
});
