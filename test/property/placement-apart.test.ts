import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { u32be } from "../../src/base/bytes.ts";
import type { PeerId } from "../../src/base/ids.ts";
import {
  type Apart,
  apartFrom,
  apartOf,
  apartPairs,
  areApart,
  chooseRow,
  type PlacementNode,
  replacementFor,
} from "../../src/placement/index.ts";
import { nodesOf } from "../unit/placement/nodes.ts";

/** A small swarm, who cannot meet whom in it, and a row to be chosen. */
const cases = fc
  .record({
    sites: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 4 }),
    pairs: fc.array(fc.tuple(fc.nat(11), fc.nat(11)), { maxLength: 8 }),
    n: fc.integer({ min: 1, max: 6 }),
    cap: fc.integer({ min: 1, max: 3 }),
    keyed: fc.nat(1000),
    hasOwner: fc.boolean(),
  })
  .map(({ sites, pairs, n, cap, keyed, hasOwner }) => {
    const nodes = nodesOf(sites);
    const at = (index: number) => must(nodes[index % nodes.length], "node").peer;
    const apart = apartOf(pairs.map(([a, b]) => ({ peer: at(a), unmet: [at(b)] })));
    const ownerPeer = hasOwner ? at(0) : undefined;
    return { nodes, apart, request: { key: u32be(keyed), n, cap, candidates: nodes, ownerPeer, apart } };
  });

function meet(apart: Apart, slots: readonly (PeerId | undefined)[]): boolean {
  const row = slots.filter((peer) => peer !== undefined);
  return row.every((a, i) => row.slice(i + 1).every((b) => !areApart(apart, a, b)));
}

/** Whether any choice of n peers keeps all rules, by trying all of them. */
function isThereARow(
  nodes: readonly PlacementNode[],
  { n, cap, ownerPeer, apart }: { n: number; cap: number; ownerPeer: PeerId | undefined; apart: Apart },
): boolean {
  for (let chosen = 0; chosen < 1 << nodes.length; chosen++) {
    const row = nodes.filter((_, i) => (chosen & (1 << i)) !== 0);
    if (row.length !== n || row.some(({ peer }) => peer === ownerPeer)) continue;
    const sites = Map.groupBy(row, ({ site }) => site);
    if ([...sites.values()].some((there) => there.length > cap)) continue;
    const peers = row.map(({ peer }) => peer);
    if (meet(apart, ownerPeer === undefined ? peers : [...peers, ownerPeer])) return true;
  }
  return false;
}

describe("peers that cannot reach each other", () => {
  it("are never in one row as long as there is any other row", () => {
    fc.assert(
      fc.property(cases, ({ nodes, apart, request }) => {
        const row = chooseRow(request);
        const peers = row.slots.filter((peer) => peer !== undefined);
        if (!isThereARow(nodes, request)) return;
        expect(row.ok).toBe(true);
        const { ownerPeer } = request;
        expect(meet(apart, ownerPeer === undefined ? peers : [...peers, ownerPeer])).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it("cost no slot: as many are filled as without, with the site rule kept", () => {
    fc.assert(
      fc.property(cases, ({ nodes, request }) => {
        const { apart: _, ...plain } = request;
        const row = chooseRow(request);
        const found = row.slots.filter((peer) => peer !== undefined);
        expect(found.length).toBe(chooseRow(plain).slots.filter((peer) => peer !== undefined).length);
        expect(new Set(found).size).toBe(found.length);
        const atSite = Map.groupBy(found, (peer) => nodes.find((node) => node.peer === peer)?.site);
        for (const there of atSite.values()) expect(there.length).toBeLessThanOrEqual(request.cap);
      }),
      { numRuns: 400 },
    );
  });

  it("change nothing for rows that they are not in", () => {
    fc.assert(
      fc.property(cases, ({ apart, request }) => {
        const { apart: _, ...plain } = request;
        const before = chooseRow(plain);
        const peers = before.slots.filter((peer) => peer !== undefined);
        const { ownerPeer } = request;
        if (!meet(apart, ownerPeer === undefined ? peers : [...peers, ownerPeer])) return;
        expect(chooseRow(request)).toEqual(before);
      }),
      { numRuns: 400 },
    );
  });

  it("replace each other only where nobody who could meet more of the row is left", () => {
    fc.assert(
      fc.property(cases, fc.nat(5), ({ nodes, apart, request }, slot) => {
        const row = chooseRow(request).slots;
        const index = slot % row.length;
        const next = replacementFor(row, index, request);
        if (!next.ok) return;
        const others = row.flatMap((peer, i) => (i === index || peer === undefined ? [] : [peer]));
        const around = request.ownerPeer === undefined ? others : [...others, request.ownerPeer];
        const fewest = Math.min(
          ...nodes
            .filter(({ peer, site }) => {
              const there = others.filter(
                (other) => nodes.find((node) => node.peer === other)?.site === site,
              );
              return !row.includes(peer) && peer !== request.ownerPeer && there.length < request.cap;
            })
            .map(({ peer }) => apartFrom(apart, peer, around)),
        );
        expect(apartFrom(apart, next.peer, around)).toBe(fewest);
      }),
      { numRuns: 400 },
    );
  });
});

it("a pair is named once, whoever of the two says it", () => {
  const [a, b, c] = nodesOf([1, 1, 1]).map(({ peer }) => peer);
  if (a === undefined || b === undefined || c === undefined) throw new Error("three nodes");
  const apart = apartOf([
    { peer: a, unmet: [b, a] },
    { peer: b, unmet: [a] },
    { peer: c, unmet: [] },
  ]);
  expect(apartPairs(apart).map((pair) => [...pair].sort())).toEqual([[a, b].sort()]);
  expect([areApart(apart, a, b), areApart(apart, b, a), areApart(apart, a, c)]).toEqual([true, true, false]);
});
