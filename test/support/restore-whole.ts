import { expect } from "vitest";
import { type RestoreResult, restoreResult } from "../../src/control/results.ts";
import type { DaemonSwarm, TestNode } from "./daemons.ts";
import { differences } from "./trees.ts";

/** Restores a snapshot of `tree` into a new target: everything comes back, as it was. */
export async function restoreWhole(
  swarm: DaemonSwarm,
  node: TestNode,
  snapshot: string,
  tree: string,
): Promise<RestoreResult> {
  const target = swarm.newTarget();
  const restored = await node.ask(restoreResult, "restore", snapshot, "--target", target);
  expect(restored).toMatchObject({ status: 0, verified: true, problemCount: 0 });
  expect(differences(tree, target + tree)).toEqual([]);
  return restored;
}
