import { expect, test } from "vitest";
import { garbageCollector, thoroughGarbageCollector } from "../../../src/adapters/workers/collect-garbage.ts";
import { MIB } from "../../../src/base/units.ts";

const COUNT = 1_000_000;

test("a thorough collection gives pages back that are half empty, which an ordinary one keeps", async () => {
  const collect = garbageCollector();
  const collectThoroughly = thoroughGarbageCollector();
  let kept = Array.from({ length: COUNT }, (_, i) => ({ i, list: [i] }));
  // Until the objects lie in the old generation.
  for (let i = 0; i < 3; i++) collect();
  kept = kept.filter(({ i }) => i % 2 === 0);
  collect();
  const before = process.memoryUsage();
  collectThoroughly();
  const after = process.memoryUsage();
  expect(after.heapTotal).toBeLessThan(before.heapTotal - 16 * MIB);
  expect(kept).toHaveLength(COUNT / 2);
});
