import { describe, expect, it } from "vitest";
import { SeededRng } from "../../sim/rng.ts";
import { drawLeaves, LEAVES_NOW, type SharedShard } from "../../src/audit/index.ts";
import { shardKey } from "../../src/base/ids.ts";
import { AuditStory } from "../support/audits.ts";

// How surely random leaves find a loss: 1 - 0.96^172 = 99.91 %.

const story = new AuditStory();
const rng = new SeededRng("detection");
const LOST = 0.04;

function holding(count: number): SharedShard[] {
  const { owner, incarnation, index } = story;
  return Array.from({ length: count }, (_, number) => ({
    shard: { owner, incarnation, number, index },
    root: story.tree.root,
    leafBytes: 16_384,
    leaves: 160,
  }));
}

/** In how many of so many tries nothing of what was lost was asked for. */
function missedOf(tries: number, shards: readonly SharedShard[], messages: readonly number[]): number {
  let missed = 0;
  for (let i = 0; i < tries; i++) {
    const lost = new Set<string>();
    while (lost.size < Math.ceil(shards.length * LOST))
      lost.add(
        shardKey(shards[Math.floor(rng.float() * shards.length)]?.shard ?? shards[0]?.shard ?? never()),
      );
    const asked = messages.flatMap((leaves) => drawLeaves(rng, shards, leaves));
    const { owner } = story;
    if (!asked.some(({ challenge }) => lost.has(shardKey({ owner, ...challenge })))) missed++;
  }
  return missed;
}

function never(): never {
  throw new Error("there are shards");
}

describe("a holder that has lost 4 % of its shards", () => {
  it("is found by 172 leaves in 99.9 % of cases", () => {
    const tries = 4000;
    const expected = tries * (1 - LOST) ** LEAVES_NOW;
    // Poisson: above this in fewer than one of 10,000 seeds.
    expect(missedOf(tries, holding(2000), [LEAVES_NOW])).toBeLessThan(expected + 4 * Math.sqrt(expected) + 2);
  });

  it("is found within a week by its co-holders' parts together", () => {
    // Eight auditors, four leaves a day each: 224 leaves, drawn by each for itself.
    const week = Array.from({ length: 8 * 7 }, () => 4);
    expect(missedOf(2000, holding(2000), week)).toBeLessThan(2 + 4 + 2);
  });

  it("is found for certain where it holds no more than is asked for", () => {
    expect(missedOf(200, holding(100), [LEAVES_NOW])).toBe(0);
  });
});
