import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../src/base/bytes.ts";
import { portableLn, rankCandidates, rendezvousScore } from "../../../src/placement/index.ts";
import { node, nodesOf } from "./nodes.ts";

const keyOf = (number: number) => utf8(`key ${number}`);

describe("portableLn", () => {
  test("agrees with Math.log to 14 digits over the whole range of draws", () => {
    const draws = fc.oneof(
      fc.double({ min: 2 ** -53, max: 1 - 2 ** -53, noNaN: true }),
      fc.integer({ min: 0, max: 2 ** 20 }).map((x) => (2 * x + 1) / 2 ** 53),
      fc.integer({ min: 1, max: 2 ** 20 }).map((x) => 1 - x / 2 ** 53),
    );
    fc.assert(
      fc.property(draws, (x) => {
        const expected = Math.log(x);
        expect(Math.abs(portableLn(x) - expected)).toBeLessThanOrEqual(1e-14 * Math.abs(expected));
      }),
      { numRuns: 2000 },
    );
  });

  test("gives these bits on every platform", () => {
    expect(portableLn(0.5)).toBe(-Math.LN2);
    expect(portableLn(0.3)).toBe(-1.203972804325936);
    // One bit from what Math.log gives here: what counts is that everybody gets this one.
    expect(portableLn(0.7)).toBe(-0.3566749439387324);
    expect(portableLn(1 - 2 ** -53)).toBe(-1.1102230246251565e-16);
    expect(portableLn(2 ** -53)).toBe(-36.7368005696771);
  });
});

describe("rankCandidates", () => {
  test("keeps to its golden order", () => {
    const order = rankCandidates(utf8("golden"), nodesOf([2, 3, 3])).map(({ host }) => host);
    expect(order).toEqual(GOLDEN_ORDER);
    expect(rendezvousScore(utf8("golden"), node("node-0-0", "site0"))).toBe(GOLDEN_SCORE);
  });

  test("does not depend on the order in which nodes are given", () => {
    const nodes = nodesOf([4, 4]);
    for (let i = 0; i < 20; i++) {
      expect(rankCandidates(keyOf(i), nodes.toReversed())).toEqual(rankCandidates(keyOf(i), nodes));
    }
  });

  test("separates keys and node numbers of different lengths", () => {
    const a = { nodeNumber: utf8("bc"), weight: 1 };
    const b = { nodeNumber: utf8("c"), weight: 1 };
    expect(rendezvousScore(utf8("a"), a)).not.toBe(rendezvousScore(utf8("ab"), b));
  });

  test("gives a node first place in proportion to its weight", () => {
    const weights = [1, 2, 5, 12];
    const nodes = weights.map((weight, i) => node(`w${i}`, "s", { weight }));
    const wins = weights.map(() => 0);
    const rounds = 4000;
    for (let i = 0; i < rounds; i++) {
      const first = rankCandidates(keyOf(i), nodes)[0];
      const position = nodes.findIndex((one) => one.host === first?.host);
      wins[position] = (wins[position] ?? 0) + 1;
    }
    weights.forEach((weight, i) => {
      const share = weight / 20;
      // Five standard deviations of a binomial count.
      const slack = 5 * Math.sqrt(rounds * share * (1 - share));
      expect(Math.abs((wins[i] ?? 0) - rounds * share)).toBeLessThan(slack);
    });
  });

  test("a node that joins only inserts itself: nobody else changes places", () => {
    const nodes = nodesOf([3, 3, 3]);
    const newcomer = node("newcomer", "site9", { weight: 3 });
    for (let i = 0; i < 100; i++) {
      const after = rankCandidates(keyOf(i), [...nodes, newcomer]);
      expect(after.filter((one) => one !== newcomer)).toEqual(rankCandidates(keyOf(i), nodes));
    }
  });

  test("leaves out nodes without weight, and orders equal scores by node number", () => {
    const none = node("none", "s", { weight: 0 });
    expect(rankCandidates(keyOf(1), [none, node("one", "s")]).map(({ host }) => host)).toEqual(["one"]);
    const low = { nodeNumber: Uint8Array.of(1), weight: Number.POSITIVE_INFINITY };
    const high = { nodeNumber: Uint8Array.of(2), weight: Number.POSITIVE_INFINITY };
    expect(rankCandidates(keyOf(1), [high, low])).toEqual([low, high]);
  });
});

// Node number of "x" is SHA-256("number of x"), the key is "golden", all weights are 1.
const GOLDEN_ORDER = [
  "node-1-0",
  "node-0-0",
  "node-1-2",
  "node-2-0",
  "node-2-1",
  "node-2-2",
  "node-1-1",
  "node-0-1",
];
const GOLDEN_SCORE = 0.7196505127014857;
