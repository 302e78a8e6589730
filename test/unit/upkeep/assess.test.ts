import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import type { PeerId } from "../../../src/base/ids.ts";
import { HOUR_MS } from "../../../src/base/units.ts";
import {
  assess,
  dueItem,
  graceEndsMs,
  graceMs,
  type Holder,
  nextDueMs,
  type SegmentFacts,
} from "../../../src/upkeep/index.ts";
import { peerNamed } from "../placement/nodes.ts";
import { holder, standing } from "./world.ts";

const NAMES = ["a", "b", "c", "d", "e", "f"];
const SITES = ["x", "x", "y", "y", "z", "z"];
const peers = NAMES.map(peerNamed);

/** 3+3, two at each of three sites; holders changed by name. */
function segment(
  changes: Readonly<Record<string, Partial<Holder>>> = {},
  facts: Partial<SegmentFacts> = {},
): { facts: SegmentFacts; holders: Map<PeerId, Holder> } {
  const holders = new Map(
    NAMES.map((name, i) => [peerNamed(name), holder(name, must(SITES[i], "site"), changes[name])]),
  );
  const copies = peers.map((peer, index) => ({ index, peer, vouchedMs: 100 + index }));
  return { facts: { k: 3, n: 6, cap: 2, slots: peers, copies, ownerHasBytes: false, ...facts }, holders };
}

function look(...given: Parameters<typeof segment>) {
  const { facts, holders } = segment(...given);
  return assess(facts, holders);
}

const absent = (sinceMs: number) => ({ liveness: standing("absent", sinceMs) });

describe("assess", () => {
  test("a whole segment needs nothing, and says what it would survive", () => {
    const result = look();
    expect(result).toMatchObject({ margin: 3, presentMargin: 3, keepsSiteRule: true, work: [], surplus: [] });
    expect(result.survival).toMatchObject({ sites: 1, nodes: 3, nodesAfterWorstSite: 1, isFull: true });
    expect(Object.fromEntries(result.marginWithout)).toEqual({ x: 1, y: 1, z: 1 });
    expect(result.oldestVouchedMs).toBe(100);
  });

  test("unreachable alone changes nothing; absent waits by margin; several shorten each other's grace", () => {
    expect(look({ a: { liveness: standing("unreachable", 5) } }).work).toEqual([]);
    const one = look({ a: absent(1_000) });
    expect(one).toMatchObject({ margin: 3, presentMargin: 2 });
    expect(one.work).toEqual([
      { slot: 0, from: peers[0], why: "absent", how: "rebuild", sinceMs: 1_000, dueMs: 1_000 + 24 * HOUR_MS },
    ]);
    const two = look({ a: absent(1_000), c: absent(2_000) });
    expect(two.work.map(({ dueMs }) => dueMs)).toEqual([1_000 + 4 * HOUR_MS, 2_000 + 4 * HOUR_MS]);
  });

  test("suspects count as absent without grace, lost nodes not at all", () => {
    const suspect = look({ b: { trust: { kind: "suspect", sinceMs: 3, reason: "lied" } } });
    expect(suspect).toMatchObject({
      margin: 3,
      presentMargin: 2,
      work: [{ slot: 1, why: "suspect", dueMs: 0 }],
    });
    const lost = look({ b: { liveness: standing("lost", 3) } });
    expect(lost).toMatchObject({
      margin: 2,
      presentMargin: 2,
      work: [{ slot: 1, why: "holder-lost", dueMs: 0 }],
    });
    expect(look({ b: { trust: { kind: "doubted", sinceMs: 3, auditors: [] } } }).work).toEqual([]);
  });

  test("a shard that scrub found bad is mended where it is; a later receipt says that it is there again", () => {
    const copies = segment().facts.copies.map((copy) =>
      copy.index === 2 ? { ...copy, knownLostMs: 500 } : copy,
    );
    expect(look({}, { copies })).toMatchObject({
      margin: 2,
      work: [{ slot: 2, why: "shard-lost", how: "mend", dueMs: 0 }],
    });
    const mended = copies.map((copy) => (copy.index === 2 ? { ...copy, vouchedMs: 501 } : copy));
    expect(look({}, { copies: mended }).work).toEqual([]);
  });

  test("slots that nobody holds, or whose holder never acknowledged", () => {
    const { facts } = segment();
    const slots = facts.slots.with(4, undefined);
    const copies = facts.copies.filter(({ index }) => index < 4);
    expect(look({}, { slots, copies }).work).toMatchObject([
      { slot: 4, why: "empty", how: "rebuild" },
      { slot: 5, why: "not-vouched", how: "mend" },
    ]);
  });

  test("a returned node's copy is surplus and spares rebuilding", () => {
    const { facts } = segment();
    const moved = look({}, { slots: facts.slots.with(0, peerNamed("elsewhere")) });
    expect(moved.surplus).toMatchObject([{ index: 0, peer: peers[0] }]);
    expect(moved.margin).toBe(3);
    expect(moved.work).toMatchObject([{ slot: 0, why: "holder-lost", how: "copy" }]);
  });

  test("draining, overfull, one site too full, one peer twice: bytes that only move", () => {
    expect(look({ d: { liveness: standing("draining", 1) } }).work).toMatchObject([
      { slot: 3, why: "draining", how: "copy" },
    ]);
    expect(look({ d: { isOverfull: true } }).work).toMatchObject([{ slot: 3, why: "overfull", how: "copy" }]);
    const crowded = look({ c: { site: "x" } });
    expect(crowded).toMatchObject({
      keepsSiteRule: false,
      work: [{ slot: 2, why: "site-rule", how: "copy" }],
    });
    expect(crowded.marginWithout.get("x")).toBe(0);
    const { facts } = segment();
    const slots = facts.slots.with(5, peerNamed("a"));
    const copies = facts.copies.map((copy) => (copy.index === 5 ? { ...copy, peer: peerNamed("a") } : copy));
    const doubled = look({}, { slots, copies });
    expect(doubled.work).toMatchObject([{ slot: 5, why: "same-peer" }]);
    expect(doubled.survival.nodes).toBe(2);
  });

  test("who is away or leaving fills no site", () => {
    expect(look({ a: absent(0), c: { site: "x" } }).work.map(({ why }) => why)).toEqual(["absent"]);
    expect(
      look({ a: { liveness: standing("draining", 0) }, c: { site: "x" } }).work.map(({ why }) => why),
    ).toEqual(["draining"]);
  });
});

describe("grace", () => {
  test.each([
    { margin: -1, missing: 4, owner: false, hours: 0 },
    { margin: 0, missing: 3, owner: false, hours: 0 },
    { margin: 0, missing: 3, owner: true, hours: 0 },
    { margin: 0, missing: 1, owner: true, hours: 4 },
    { margin: 0, missing: 1, owner: false, hours: 0 },
    { margin: 1, missing: 2, owner: false, hours: 4 },
    { margin: 2, missing: 1, owner: true, hours: 24 },
    { margin: 3, missing: 1, owner: false, hours: 72 },
    { margin: 4, missing: 1, owner: false, hours: 168 },
    { margin: 9, missing: 1, owner: true, hours: 168 },
  ])(
    "margin $margin, $missing missing, owner has the bytes: $owner: $hours h",
    ({ margin, missing, owner, hours }) => {
      expect(graceMs({ margin, missing, ownerHasBytes: owner })).toBe(hours * HOUR_MS);
    },
  );

  test("an announced outage extends it, but not where nothing may be lost any more", () => {
    expect(graceEndsMs(100, 900, 50)).toBe(900);
    expect(graceEndsMs(100, 120, 50)).toBe(150);
    expect(graceEndsMs(100, undefined, 50)).toBe(150);
    expect(graceEndsMs(100, 900, 0)).toBe(100);
  });
});

describe("what is due", () => {
  const [a, c] = [absent(0), absent(3 * HOUR_MS)];
  const assessment = look({ a, c });
  const due = (nowMs: number) => dueItem({ key: "s", shardBytes: 10, assessment, nowMs });

  test("nothing before the first grace is over, then also what has waited half of its own", () => {
    expect(due(4 * HOUR_MS - 1)).toBeUndefined();
    expect(nextDueMs(assessment, 0)).toBe(4 * HOUR_MS);
    expect(due(4 * HOUR_MS)?.slots.map(({ slot }) => slot)).toEqual([0]);
    expect(due(5 * HOUR_MS)).toMatchObject({ key: "s", margin: 1, dueMs: 4 * HOUR_MS, shardBytes: 10 });
    expect(due(5 * HOUR_MS)?.slots.map(({ slot }) => slot)).toEqual([0, 2]);
    expect(nextDueMs(assessment, 7 * HOUR_MS)).toBeUndefined();
  });

  test("bytes that only move take nobody along", () => {
    const moving = look({ a, d: { liveness: standing("draining", 0) } });
    const item = dueItem({ key: "s", shardBytes: 10, assessment: moving, nowMs: 23 * HOUR_MS });
    expect(item?.slots.map(({ why }) => why)).toEqual(["draining"]);
  });
});
