import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  combineSurvival,
  type PlacedShard,
  segmentSurvival,
  survivalKey,
} from "../../src/placement/index.ts";
import { peerNamed } from "../unit/placement/nodes.ts";

const PEERS = Array.from({ length: 9 }, (_, i) => peerNamed(`peer ${i}`));

/** Where each of nine peers is, and up to 14 (index, peer) pairs: indexes repeat, and so do peers. */
const drawn = fc
  .record({
    k: fc.integer({ min: 1, max: 6 }),
    m: fc.integer({ min: 0, max: 4 }),
    sites: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 9, maxLength: 9 }),
    hosts: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 9, maxLength: 9 }),
    pairs: fc.array(fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 8 })), { maxLength: 14 }),
  })
  .map(({ k, m, sites, hosts, pairs }) => {
    const n = k + m;
    const shards = pairs.map(
      ([index, peer]): PlacedShard => ({
        index: index % n,
        peer: PEERS[peer] ?? peerNamed("nobody"),
        site: `site${sites[peer]}`,
        host: `host${hosts[peer]}`,
      }),
    );
    return { k, n, shards };
  });

function distinct(shards: readonly PlacedShard[]): number {
  return new Set(shards.map(({ index }) => index)).size;
}

/** The definition itself: the largest s such that whichever s of the groups vanish, k distinct indexes remain. */
function bruteForce(
  shards: readonly PlacedShard[],
  k: number,
  groupOf: (shard: PlacedShard) => string,
): number {
  const groups = [...new Set(shards.map(groupOf))];
  let fewestToFail = groups.length + 1;
  for (let mask = 0; mask < 1 << groups.length; mask++) {
    const lost = new Set(groups.filter((_, i) => (mask & (1 << i)) !== 0));
    if (distinct(shards.filter((shard) => !lost.has(groupOf(shard)))) < k) {
      fewestToFail = Math.min(fewestToFail, lost.size);
    }
  }
  return Math.max(0, fewestToFail - 1);
}

describe("segmentSurvival", () => {
  test("counts what brute force over all subsets counts", () => {
    fc.assert(
      fc.property(drawn, (segment) => {
        const { k, n, shards } = segment;
        const survival = segmentSurvival(segment);
        expect(survival.sites).toBe(bruteForce(shards, k, ({ site }) => site));
        expect(survival.nodes).toBe(bruteForce(shards, k, ({ peer }) => peer));
        expect(survival.hosts).toBe(bruteForce(shards, k, ({ host }) => host));
        expect(survival.margin).toBe(distinct(shards) - k);
        expect(survival.isFull).toBe(distinct(shards) === n);
        const sites = [...new Set(shards.map(({ site }) => site))];
        const after = sites.map((lost) => {
          const left = shards.filter(({ site }) => site !== lost);
          return bruteForce(left, k, ({ peer }) => peer);
        });
        expect(survival.isSafe).toBe(survival.sites >= 1);
        expect(survival.nodesAfterWorstSite).toBe(survival.isSafe ? Math.min(...after) : 0);
      }),
      { numRuns: 400 },
    );
  });

  test("without doubles it is q - (most at one site) >= k", () => {
    fc.assert(
      fc.property(drawn, ({ k, n, shards }) => {
        const seen = new Set<number>();
        const single = shards.filter(({ index }) => !seen.has(index) && seen.add(index));
        const perSite = new Map<string, number>();
        for (const { site } of single) perSite.set(site, (perSite.get(site) ?? 0) + 1);
        const rule = single.length - Math.max(0, ...perSite.values()) >= k;
        expect(segmentSurvival({ k, n, shards: single }).isSafe).toBe(rule);
      }),
    );
  });

  test("another copy never makes it worse; equal keys mean equal counts", () => {
    fc.assert(
      fc.property(drawn, (segment) => {
        const fewer = segmentSurvival({ ...segment, shards: segment.shards.slice(0, -1) });
        const all = segmentSurvival(segment);
        for (const field of ["sites", "nodes", "hosts", "nodesAfterWorstSite", "margin"] as const) {
          expect(all[field]).toBeGreaterThanOrEqual(fewer[field]);
        }
        expect(combineSurvival([all, fewer])).toEqual(fewer);
        const turned = { ...segment, shards: segment.shards.toReversed() };
        expect(survivalKey(turned)).toBe(survivalKey(segment));
        expect(segmentSurvival(turned)).toEqual(all);
      }),
    );
  });
});
