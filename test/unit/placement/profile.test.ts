import { describe, expect, test } from "vitest";
import { isFault } from "../../../src/base/fault.ts";
import {
  annualLossOf,
  autoProfile,
  classFor,
  feasible,
  formatProfile,
  leastCap,
  parseProfile,
  type SwarmShape,
  safePossible,
  shapeOf,
  worthChanging,
} from "../../../src/placement/index.ts";
import { node, nodesOf } from "./nodes.ts";

function summary(sites: readonly number[]): string {
  const { class: of, f, coversSiteLoss } = autoProfile({ sites });
  return `${formatProfile(of)} c${of.cap} f${f}${coversSiteLoss ? "" : " (not the site)"}`;
}

const times = (count: number, holders: number): number[] => Array.from({ length: count }, () => holders);

describe("parseProfile", () => {
  test("reads what people write", () => {
    expect(parseProfile("6+3")).toEqual({ k: 6, m: 3 });
    expect(parseProfile(" 1+0 ")).toEqual({ k: 1, m: 0 });
    expect(formatProfile(parseProfile("10+6"))).toBe("10+6");
  });

  test.each(["", "6", "6-3", "6+", "a+b", "0+3", "4+0", "60+5", "6+3+1", "1000+1"])("refuses %j", (text) => {
    expect(() => parseProfile(text)).toThrow(expect.toSatisfy((error: unknown) => isFault(error, "USAGE")));
  });
});

describe("classFor", () => {
  const nine: SwarmShape = { sites: [2, 3, 3] };

  test("finds the least cap, and says what it does not cover", () => {
    expect(classFor({ k: 3, m: 3 }, nine)).toMatchObject({ class: { k: 3, m: 3, cap: 2 }, f: 1, notes: [] });
    const never = classFor({ k: 6, m: 2 }, nine);
    expect(never).toMatchObject({ class: { k: 6, m: 2, cap: 3 }, f: 0, coversSiteLoss: false });
    expect(never.notes.join()).toContain("the loss of a site is not covered");
    expect(safePossible({ k: 6, m: 2 }, nine)).toBe(false);
    expect(safePossible({ k: 5, m: 3 }, nine)).toBe(true);
  });

  test("refuses 6+3 in a swarm of nine, with the reason", () => {
    expect(feasible({ k: 6, m: 3 }, nine)).toBe(false);
    try {
      classFor({ k: 6, m: 3 }, nine);
      expect.unreachable();
    } catch (error) {
      if (!isFault(error, "PROFILE_IMPOSSIBLE")) throw error;
      expect(error.detail.reason).toBe(
        "it needs 9 holders, and there are 8 besides this node that may be given new data",
      );
    }
  });

  test("safe can be possible where not all shards can be spread by the rule", () => {
    // Four of the five shards, one at each site, survive any site; the fifth only makes one site hold two.
    expect(classFor({ k: 3, m: 2 }, { sites: [2, 1, 1, 1] }).class.cap).toBe(2);
    expect(safePossible({ k: 3, m: 1 }, { sites: [2, 1, 1, 1] })).toBe(true);
    expect(safePossible({ k: 1, m: 0 }, { sites: [1, 1] })).toBe(false);
  });
});

describe("shapeOf", () => {
  test("counts who may be given new data, reachable or not, without the owner", () => {
    const nodes = nodesOf([2, 3, 3]).map((one, i) => (i === 1 ? { ...one, reachable: false } : one));
    expect(shapeOf(nodes, nodes[0]?.peer)).toEqual({ sites: [1, 3, 3] });
    const unfit = [
      node("d", "x", { draining: true }),
      node("f", "x", { full: true }),
      node("s", "x", { suspected: true }),
      node("w", "x", { weight: 0 }),
    ];
    expect(shapeOf(unfit, undefined)).toEqual({ sites: [] });
  });
});

describe("autoProfile", () => {
  test.each([
    [[1], "1+0 c1 f0 (not the site)"],
    [[1, 1], "1+1 c1 f0"],
    [[2], "1+1 c2 f0 (not the site)"],
    [[1, 1, 1], "1+2 c1 f1"],
    [times(4, 1), "2+2 c1 f1"],
    [times(5, 1), "2+2 c1 f1"],
    [[1, 2, 2], "2+2 c2 f0"],
    [[2, 2, 2], "2+3 c2 f1"],
    [times(8, 1), "3+3 c1 f2"],
    [[2, 3, 3], "3+3 c2 f1"],
    [times(11, 1), "5+5 c1 f4"],
    [[1, 2, 2, 2, 2, 2], "5+5 c2 f3"],
    [[2, 3, 3, 3], "4+4 c2 f2"],
    [[3, 4, 4], "4+5 c3 f2"],
    [times(19, 1), "9+5 c1 f4"],
    [[1, ...times(9, 2)], "9+5 c2 f3"],
    [[1, 10], "1+1 c1 f0"],
    [[8], "3+3 c6 f0 (not the site)"],
  ])("%j gives %s", (sites, expected) => {
    expect(summary(sites)).toBe(expected);
  });

  test("nine nodes at three sites: no alarm, but what was lowered is said", () => {
    const { notes, overhead } = autoProfile({ sites: [2, 3, 3] });
    expect(overhead).toBe(2);
    expect(notes).toEqual([expect.stringContaining("only 1 further node may be lost")]);
    expect(autoProfile({ sites: [1, 1] }).notes).toEqual([]);
    expect(autoProfile({ sites: [5] }).notes).toEqual([expect.stringContaining("at one site")]);
  });

  test("does not depend on the order of sites, nor on empty ones", () => {
    expect(summary([3, 0, 2, 3])).toBe(summary([2, 3, 3]));
  });

  test("with faster uplinks it needs less parity", () => {
    const slow = autoProfile({ sites: times(19, 1) });
    const fast = autoProfile({ sites: times(19, 1) }, { uplinkBitsPerSecond: 50e6 });
    expect(fast.overhead).toBeLessThan(slow.overhead);
  });

  test("without any holder there is nothing to choose", () => {
    for (const sites of [[], [0, 0]]) {
      expect(() => autoProfile({ sites })).toThrow(
        expect.toSatisfy((error: unknown) => isFault(error, "PROFILE_IMPOSSIBLE")),
      );
    }
  });
});

describe("annualLossOf", () => {
  test("three copies at three sites, rebuilt within 48 h: 2.7e-8 a year", () => {
    // The window is all grace: a node with nothing on it is rebuilt at once. 6 * 0.0513^3 * (48 h)^2 and a site term.
    const init = { graceMs: 48 * 3_600_000, nodeBytes: 0 };
    const loss = annualLossOf({ k: 1, m: 2, cap: 1 }, [1, 1, 1], init);
    expect(loss).toBeGreaterThan(2.4e-8);
    expect(loss).toBeLessThan(2.8e-8);
  });

  test("a code that a site's loss breaks is as bad as its site", () => {
    expect(annualLossOf({ k: 3, m: 2, cap: 3 }, [3, 2])).toBeGreaterThan(1e-3);
  });
});

describe("worthChanging", () => {
  test("at once for what cannot be placed or is no longer safe, later for a gain, else not", () => {
    const shape = { sites: [2, 3, 3] };
    const proposal = autoProfile(shape);
    expect(worthChanging({ k: 6, m: 3, cap: 3 }, shape, proposal)).toBe("now");
    expect(worthChanging({ k: 6, m: 2, cap: 3 }, shape, proposal)).toBe("now");
    expect(worthChanging(proposal.class, shape, proposal)).toBe("no");
    expect(worthChanging({ k: 1, m: 2, cap: 1 }, shape, proposal)).toBe("when-stable");
    expect(leastCap([2, 3, 3], 6)).toBe(2);
  });
});
