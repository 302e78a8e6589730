import { describe, expect, test } from "vitest";
import {
  combineSurvival,
  type PlacedShard,
  type RecordsStanding,
  recordIsSafe,
  recordSurvival,
  type SegmentStanding,
  segmentSurvival,
  snapshotState,
  survivalKey,
} from "../../../src/placement/index.ts";
import { peerNamed } from "./nodes.ts";

/** "a1 a2 b1": shard 0 at node a1 of site a, and so on; "=" before an entry repeats the index before it. */
function placed(text: string): PlacedShard[] {
  let index = -1;
  return text.split(" ").map((entry) => {
    const name = entry.replace("=", "");
    if (!entry.startsWith("=")) index++;
    return { index, peer: peerNamed(name), site: name.slice(0, 1), host: name };
  });
}

describe("segmentSurvival", () => {
  test.each([
    ["1+1 at two sites", 1, 2, "a1 b1", { sites: 1, nodes: 1, nodesAfterWorstSite: 0, margin: 1 }],
    ["3+3, two a site", 3, 6, "a1 a2 b1 b2 c1 c2", { sites: 1, nodes: 3, nodesAfterWorstSite: 1, margin: 3 }],
    ["3+3, one a site", 3, 6, "a1 b1 c1 d1 e1 f1", { sites: 3, nodes: 3, nodesAfterWorstSite: 2, margin: 3 }],
    ["6+2 on 2, 3, 3", 6, 8, "a1 a2 b1 b2 b3 c1 c2 c3", { sites: 0, nodes: 2, margin: 2, isSafe: false }],
    ["all at one site", 1, 3, "a1 a2 a3", { sites: 0, nodes: 2, nodesAfterWorstSite: 0, isSafe: false }],
    ["one peer holds two", 2, 4, "a1 a1 b1 c1", { nodes: 1, sites: 1, margin: 2 }],
    ["too few", 3, 6, "a1 b1", { sites: 0, nodes: 0, margin: -1, isSafe: false, isFull: false }],
  ])("%s", (_, k, n, text, expected) => {
    expect(segmentSurvival({ k, n, shards: placed(text) })).toMatchObject(expected);
  });

  test("a second copy of an index counts once for the margin, but has to be lost too", () => {
    const twice = segmentSurvival({ k: 2, n: 3, shards: placed("a1 =b1 b1 =a1 c1") });
    // Losing a1 leaves indexes 0, 1 (at b1) and 2; losing a1 and b1 leaves index 2 alone.
    expect(twice).toMatchObject({ margin: 1, nodes: 1, sites: 1, nodesAfterWorstSite: 0 });
    expect(segmentSurvival({ k: 1, n: 2, shards: placed("a1 =b1 =c1") })).toMatchObject({
      nodes: 2,
      isFull: false,
    });
  });

  test("nine daemons on one machine survive no machine", () => {
    const shards = placed("a1 a2 b1 b2 c1 c2").map((shard) => ({ ...shard, host: "laptop" }));
    expect(segmentSurvival({ k: 3, n: 6, shards })).toMatchObject({ sites: 1, hosts: 0, isSafe: true });
  });

  test("64 shards with a second copy each elsewhere are counted in no time", () => {
    const shards = Array.from({ length: 128 }, (_, i): PlacedShard => {
      const holder = i < 64 ? i % 40 : (i * 7 + 3) % 40;
      return { index: i % 64, peer: peerNamed(`p${holder}`), site: `s${holder % 9}`, host: `h${holder}` };
    });
    const survival = segmentSurvival({ k: 40, n: 64, shards });
    expect(survival.margin).toBe(24);
    expect(survival.nodes).toBeGreaterThan(
      segmentSurvival({ k: 40, n: 64, shards: shards.slice(0, 64) }).nodes,
    );
  });

  test("the key tells holders and codes apart", () => {
    const base = { k: 1, n: 2, shards: placed("a1 b1") };
    expect(survivalKey({ ...base, shards: placed("b1 a1") })).not.toBe(survivalKey(base));
    expect(survivalKey({ ...base, k: 2 })).not.toBe(survivalKey(base));
  });
});

describe("combineSurvival", () => {
  test("is the worst in each respect", () => {
    const spread = segmentSurvival({ k: 1, n: 3, shards: placed("a1 b1 c1") });
    const packed = segmentSurvival({ k: 1, n: 6, shards: placed("a1 a2 a3 a4 a5") });
    expect(combineSurvival([spread, packed])).toEqual({
      sites: 0,
      nodes: 2,
      hosts: 2,
      nodesAfterWorstSite: 0,
      margin: 2,
      isSafe: false,
      isFull: false,
    });
    expect(() => combineSurvival([])).toThrow();
  });
});

describe("records", () => {
  test("a copy must remain after any one site and f further nodes", () => {
    expect(recordIsSafe(placed("a1 b1"), 0)).toBe(true);
    expect(recordIsSafe(placed("a1 b1"), 1)).toBe(false);
    expect(recordIsSafe(placed("a1 a2 b1 b2"), 1)).toBe(true);
    expect(recordIsSafe(placed("a1 a2 a3"), 0)).toBe(false);
    expect(recordIsSafe([], 0)).toBe(false);
    // The same node twice is one copy.
    expect(recordSurvival(placed("a1 a1"))).toMatchObject({ nodes: 0, margin: 0 });
  });
});

describe("snapshotState", () => {
  const standing = (text: string, safePossible = true): SegmentStanding => ({
    survival: segmentSurvival({ k: 1, n: 3, shards: placed(text) }),
    safePossible,
  });
  const full = standing("a1 b1 c1");
  const safe = standing("a1 b1");
  const bare = standing("a1");

  test.each<[string, SegmentStanding[], RecordsStanding, string]>([
    ["all placed, all safe", [full, full], "safe", "full"],
    ["one not fully placed", [full, safe], "safe", "safe"],
    ["one that a site would take", [full, bare], "safe", "pending"],
    ["records that a site would take", [full, full], "placed", "pending"],
    ["records not stored", [full, full], "pending", "pending"],
    ["one site, all placed", [standing("a1 a2 a3", false)], "placed", "placed"],
    ["one site, all placed, head not stored", [standing("a1 a2 a3", false)], "pending", "pending"],
    ["one site, not all placed", [standing("a1 a2", false)], "placed", "pending"],
    ["all placed, but better is possible", [standing("a1 a2 a3", true)], "safe", "pending"],
    [
      "one class safe and full, one that cannot be safe",
      [full, standing("a1 a2 a3", false)],
      "safe",
      "placed",
    ],
    [
      "one class safe, not full, one that cannot be safe",
      [safe, standing("a1 a2 a3", false)],
      "safe",
      "pending",
    ],
  ])("%s", (_, segments, records, expected) => {
    expect(snapshotState(segments, records)).toBe(expected);
  });
});
