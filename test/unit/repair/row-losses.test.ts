import { expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import type { PeerId, ShardId } from "../../../src/base/ids.ts";
import { SILENT_LOG } from "../../../src/base/log.ts";
import { KnownLost } from "../../../src/losses/index.ts";
import { openGeneration } from "../../../src/placement/index.ts";
import { RowLosses } from "../../../src/repair/index.ts";
import { AT, KEYS, LIFE, mapWith, NOW_MS, node, SLOTS } from "../../support/repairs.ts";
import { MemoryStore } from "../membership/world.ts";

// Class 0 has 16 partitions; partition 0 has the segments 0, 16, 32, ..., and a second generation from 160 on.
const now = openGeneration(mapWith(SLOTS), { ...AT, fromSegment: 160 }, [...SLOTS].reverse());
const map = { owner: KEYS.owner, incarnation: LIFE, signed: now, now };
const [holder, other] = [must(SLOTS[1], "holder"), must(SLOTS[2], "other")];

async function lossesOf(...lost: [PeerId, Partial<ShardId>][]): Promise<RowLosses> {
  const facts = await KnownLost.open({ store: new MemoryStore(), log: SILENT_LOG }, NOW_MS);
  for (const [peer, changes] of lost) {
    const shard = { owner: KEYS.owner, incarnation: LIFE, number: 16, index: 1, ...changes };
    await facts.note(peer, [{ shard, atMs: NOW_MS, cause: "told" }]);
  }
  return RowLosses.of(facts);
}

it("a slot is as bad as the worst segment of its generation", async () => {
  const losses = await lossesOf([holder, {}]);
  expect(losses.hasLost(map, AT, 1, holder)).toBe(true);
  expect(losses.hasLost(map, { ...AT, fromSegment: 160 }, 1, holder)).toBe(false);
  expect(losses.hasLost(map, AT, 2, other)).toBe(false);
});

it.each<[string, PeerId, Partial<ShardId>]>([
  ["another holder's", other, {}],
  ["another shard's", holder, { index: 2 }],
  ["another row's", holder, { number: 17 }],
  ["the next generation's", holder, { number: 160 }],
  ["another owner's", holder, { owner: node(3).owner }],
])("%s loss is none of this slot", async (_, peer, changes) => {
  expect((await lossesOf([peer, changes])).hasLost(map, AT, 1, holder)).toBe(false);
});
