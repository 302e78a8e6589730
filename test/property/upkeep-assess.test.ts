import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PeerId } from "../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import {
  assess,
  compareItems,
  dueItem,
  emptyQueue,
  graceMs,
  type Holder,
  isPresent,
  queueWith,
  type RepairItem,
  type SegmentFacts,
} from "../../src/upkeep/index.ts";
import { peerNamed } from "../unit/placement/nodes.ts";
import { standing } from "../unit/upkeep/world.ts";

const PEERS = Array.from({ length: 9 }, (_, i) => peerNamed(`peer ${i}`));
const NOW_MS = 100 * DAY_MS;

const holders = fc
  .array(
    fc.record({
      site: fc.integer({ min: 0, max: 3 }),
      state: fc.constantFrom(
        "alive" as const,
        "alive" as const,
        "alive" as const,
        "draining" as const,
        "unreachable" as const,
        "absent" as const,
        "lost" as const,
      ),
      silentHours: fc.integer({ min: 0, max: 300 }),
      plannedHours: fc.option(fc.integer({ min: -100, max: 300 }), { nil: undefined }),
      isSuspect: fc.integer({ min: 0, max: 9 }).map((draw) => draw === 0),
      isOverfull: fc.integer({ min: 0, max: 9 }).map((draw) => draw === 0),
    }),
    { minLength: 8, maxLength: 8 },
  )
  .map((drawn) => {
    // The ninth peer is no member.
    const known = drawn.map((one, i): [PeerId, Holder] => {
      const peer = PEERS[i] ?? peerNamed("nobody");
      const plannedUntilMs = one.plannedHours === undefined ? undefined : NOW_MS + one.plannedHours * HOUR_MS;
      const liveness = standing(one.state, NOW_MS - one.silentHours * HOUR_MS, { plannedUntilMs });
      const trust = one.isSuspect
        ? ({ kind: "suspect", sinceMs: 0, reason: "wrong answer" } as const)
        : ({ kind: "trusted" } as const);
      const { isOverfull } = one;
      return [peer, { peer, site: `site${one.site}`, host: `host${i}`, liveness, trust, isOverfull }];
    });
    return new Map(known);
  });

const facts = fc
  .record({
    k: fc.integer({ min: 1, max: 5 }),
    m: fc.integer({ min: 0, max: 4 }),
    cap: fc.integer({ min: 1, max: 3 }),
    slots: fc.array(fc.option(fc.nat({ max: 8 }), { nil: undefined, freq: 8 }), {
      minLength: 9,
      maxLength: 9,
    }),
    lost: fc.array(fc.option(fc.integer({ min: -5, max: 5 }), { nil: undefined }), {
      minLength: 9,
      maxLength: 9,
    }),
    extra: fc.array(fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 8 })), { maxLength: 4 }),
    ownerHasBytes: fc.boolean(),
    unvouched: fc.nat({ max: 30 }),
  })
  .map(({ k, m, cap, slots, lost, extra, ownerHasBytes, unvouched }): SegmentFacts => {
    const n = k + m;
    const peerAt = (position: number): PeerId => PEERS[position] ?? peerNamed("nobody");
    const held = slots.slice(0, n).flatMap((position, index) => {
      if (position === undefined || index === unvouched) return [];
      const ago = lost[index];
      const knownLostMs = ago === undefined ? undefined : NOW_MS - ago;
      return [{ index, peer: peerAt(position), vouchedMs: NOW_MS, knownLostMs }];
    });
    const more = extra.map(([index, position]) => ({
      index,
      peer: peerAt(position),
      vouchedMs: NOW_MS - 1,
    }));
    return {
      k,
      n,
      cap,
      slots: slots.slice(0, n).map((position) => (position === undefined ? undefined : peerAt(position))),
      copies: [...held, ...more],
      ownerHasBytes,
    };
  });

/** The definition, index by index. */
function count(
  { n, copies }: SegmentFacts,
  counts: (holder: Holder) => boolean,
  known: ReadonlyMap<PeerId, Holder>,
): number {
  let found = 0;
  for (let index = 0; index < n; index++) {
    const isThere = copies.some((copy) => {
      const holder = known.get(copy.peer);
      const isLost = copy.knownLostMs !== undefined && copy.knownLostMs >= copy.vouchedMs;
      return copy.index === index && holder !== undefined && !isLost && counts(holder);
    });
    if (isThere) found++;
  }
  return found;
}

describe("assess", () => {
  test("margins are what counting index by index gives, now and without any one site", () => {
    fc.assert(
      fc.property(facts, holders, (segment, known) => {
        const result = assess(segment, known);
        const isKept = ({ liveness }: Holder) => liveness.state !== "lost";
        const isThere = (holder: Holder) => isPresent(holder);
        expect(result.margin).toBe(count(segment, isKept, known) - segment.k);
        expect(result.presentMargin).toBe(count(segment, isThere, known) - segment.k);
        for (const site of ["site0", "site1", "site2", "site3"]) {
          const left = count(segment, (holder) => isThere(holder) && holder.site !== site, known) - segment.k;
          expect(result.marginWithout.get(site) ?? result.presentMargin).toBe(left);
        }
        expect(result.survival.isSafe).toBe(
          result.presentMargin >= 0 && [...result.marginWithout.values()].every((margin) => margin >= 0),
        );
        expect(result.presentMargin).toBeLessThanOrEqual(result.margin);
      }),
      { numRuns: 500 },
    );
  });

  test("a slot without work has its shard, at its holder, who is up, believed, staying, and within the site rule", () => {
    fc.assert(
      fc.property(facts, holders, (segment, known) => {
        const { work, keepsSiteRule } = assess(segment, known);
        const idle = segment.slots.flatMap((peer, slot) =>
          work.some((one) => one.slot === slot) || peer === undefined ? [] : [{ peer, slot }],
        );
        expect(idle.length + work.length).toBe(segment.n);
        const atSite = new Map<string, number>();
        for (const { peer, slot } of idle) {
          const holder = known.get(peer);
          expect(holder).toMatchObject({ trust: { kind: "trusted" }, isOverfull: false });
          expect(["alive", "unreachable"]).toContain(holder?.liveness.state);
          const copy = segment.copies.find((one) => one.peer === peer && one.index === slot);
          expect(copy).toBeDefined();
          atSite.set(holder?.site ?? "", (atSite.get(holder?.site ?? "") ?? 0) + 1);
        }
        expect(new Set(idle.map(({ peer }) => peer)).size).toBe(idle.length);
        if (keepsSiteRule) expect(Math.max(0, ...atSite.values())).toBeLessThanOrEqual(segment.cap);
      }),
      { numRuns: 500 },
    );
  });

  test("only absence waits, never less than its grace, and never with nothing left to lose", () => {
    fc.assert(
      fc.property(facts, holders, (segment, known) => {
        const result = assess(segment, known);
        const missing = segment.n - (result.presentMargin + segment.k);
        const margin = result.presentMargin;
        const grace = graceMs({ margin, missing, ownerHasBytes: segment.ownerHasBytes });
        for (const { why, from, sinceMs, dueMs } of result.work) {
          if (dueMs === 0) continue;
          expect(why).toBe("absent");
          const holder = from === undefined ? undefined : known.get(from);
          expect(sinceMs).toBe(holder?.liveness.sinceMs);
          expect(dueMs - sinceMs).toBeGreaterThanOrEqual(grace);
          if (grace === 0) expect(dueMs).toBe(sinceMs);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test("grace never shrinks with a larger margin, nor for an owner that can help", () => {
  for (let missing = 0; missing < 6; missing++) {
    for (let margin = -3; margin < 12; margin++) {
      for (const ownerHasBytes of [true, false]) {
        const grace = graceMs({ margin, missing, ownerHasBytes });
        expect(graceMs({ margin: margin + 1, missing, ownerHasBytes })).toBeGreaterThanOrEqual(grace);
        expect(graceMs({ margin, missing, ownerHasBytes: true })).toBeGreaterThanOrEqual(grace);
      }
    }
  }
});

describe("the queue", () => {
  const item = fc
    .record({
      key: fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h"),
      margin: fc.integer({ min: -2, max: 3 }),
      dueMs: fc.integer({ min: 0, max: 3 }),
      shardBytes: fc.integer({ min: 1, max: 3 }),
      why: fc.constantFrom("absent" as const, "draining" as const),
    })
    .map(({ why, ...rest }): RepairItem => {
      const how = why === "absent" ? "rebuild" : "copy";
      return { ...rest, slots: [{ slot: 0, from: PEERS[0], why, how, sinceMs: 0, dueMs: rest.dueMs }] };
    });

  test("is sorted, bounded, holds each segment once, and keeps the most urgent in whatever order they come", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(item, { selector: ({ key }) => key, maxLength: 8 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat({ max: 8 }),
        (items, max, cut) => {
          const whole = queueWith(emptyQueue(max), items);
          const split = queueWith(queueWith(emptyQueue(max), items.slice(cut)), items.slice(0, cut));
          expect(split.items).toEqual(whole.items);
          expect(whole.items).toEqual([...items].sort(compareItems).slice(0, max));
          expect(whole.turnedAway).toBe(Math.max(0, items.length - max));
        },
      ),
    );
  });

  test("what is due is exactly what is in an item, with absent slots past half of their grace along", () => {
    fc.assert(
      fc.property(facts, holders, (segment, known) => {
        const assessment = assess(segment, known);
        const due = assessment.work.filter(({ dueMs }) => dueMs <= NOW_MS);
        const made = dueItem({ key: "s", shardBytes: 1, assessment, nowMs: NOW_MS });
        expect(made === undefined).toBe(due.length === 0);
        expect(made?.slots ?? []).toEqual(expect.arrayContaining(due));
        for (const work of made?.slots ?? []) {
          if (due.includes(work)) continue;
          expect(work.why).toBe("absent");
          expect(NOW_MS - work.sinceMs).toBeGreaterThanOrEqual((work.dueMs - work.sinceMs) / 2);
        }
      }),
    );
  });
});
