import { describe, expect, test } from "vitest";
import {
  compareItems,
  emptyQueue,
  queueWith,
  queueWithout,
  type RepairItem,
} from "../../../src/upkeep/index.ts";

function item(key: string, changes: Partial<RepairItem> = {}): RepairItem {
  const slot = { slot: 0, from: undefined, why: "absent", how: "rebuild", sinceMs: 0, dueMs: 0 } as const;
  return { key, margin: 2, slots: [slot], dueMs: 1_000, shardBytes: 100, ...changes };
}

const moving = { slot: 0, from: undefined, why: "draining", how: "copy", sinceMs: 0, dueMs: 0 } as const;

describe("the order of repairs", () => {
  test("margin, then lost before moving, then longest due, then smallest, then by key", () => {
    const order = [
      item("worst", { margin: -1, dueMs: 9_000, shardBytes: 900 }),
      item("bad, only moving", { margin: 1, slots: [moving] }),
      item("due for long", { dueMs: 10, shardBytes: 900 }),
      item("small", { shardBytes: 50 }),
      item("a"),
      item("b"),
      item("moving", { slots: [moving], dueMs: 0, shardBytes: 1 }),
      item("well", { margin: 3, dueMs: 0, shardBytes: 1 }),
    ];
    expect([...order].reverse().sort(compareItems)).toEqual(order);
    expect(queueWith(emptyQueue(), [...order].reverse()).items).toEqual(order);
  });

  test("newer words about a segment replace the older ones, and what is done leaves", () => {
    const first = queueWith(emptyQueue(), [item("a"), item("b")]);
    const second = queueWith(first, [item("b", { margin: 0 })]);
    expect(second.items.map(({ key, margin }) => [key, margin])).toEqual([
      ["b", 0],
      ["a", 2],
    ]);
    expect(queueWithout(second, new Set(["b"])).items.map(({ key }) => key)).toEqual(["a"]);
  });

  test("beyond the bound the least urgent is turned away, and counted", () => {
    const full = queueWith(emptyQueue(2), [item("a"), item("b"), item("c", { margin: 0 })]);
    expect(full.items.map(({ key }) => key)).toEqual(["c", "a"]);
    expect(full.turnedAway).toBe(1);
  });
});
