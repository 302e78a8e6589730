import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { DAY_MS, HOUR_MS } from "../../src/base/units.ts";
import { forgetResult, policyResult } from "../../src/control/policy-api.ts";
import { type SnapshotInfo, snapshotResult, snapshotsResult } from "../../src/control/results.ts";
import { resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";

// A set with a lock on real daemons: what the owner is told, while a holder is away and over restarts.

let swarm: DaemonSwarm;
let owner: TestNode;
let folder: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
  folder = swarm.scratch("files");
  const file = join(swarm.scratch("policy"), "policy.yaml");
  writeFileSync(
    file,
    `version: 1\nsets:\n  shop:\n    paths: [${folder}]\n    lock: 30d\n    keep: { last: 1 }\n`,
  );
  expect(await owner.ask(policyResult, "policy", "set", file)).toMatchObject({ status: 0 });
});
afterAll(() => swarm?.dispose());

async function newest(): Promise<SnapshotInfo> {
  const snapshots = resultOf(await owner.cli("snapshots", "--json"), snapshotsResult.shape.snapshots);
  return must(snapshots.at(-1), "snapshot");
}

async function save(contents: string): Promise<void> {
  writeFileSync(join(folder, "file"), contents);
  await owner.ask(snapshotResult, "snapshot", "--set", "shop");
}

const isLocked = async (): Promise<boolean> => (await newest()).lock?.state === "locked";

it("is shown as locked when all holders have acknowledged, and after a kill as well", async () => {
  await save("first");
  await eventually("its lock", isLocked);
  const { lock, tags, time } = await newest();
  expect(lock).toMatchObject({ state: "locked", holders: 2, acknowledged: 2 });
  const forMs = Date.parse(must(lock?.until, "end of the lock")) - Date.parse(time);
  expect(Math.abs(forMs - 30 * DAY_MS)).toBeLessThan(HOUR_MS);
  expect(tags).toEqual(["set:shop"]);
  expect((await owner.cli("snapshots")).stdout).toMatch(/LOCK .*\n.*until 20\d\d-/);
  expect((await owner.status()).locks).toMatchObject({ locked: 1, locking: 0 });
  await owner.kill();
  await owner.start();
  expect((await newest()).lock).toEqual(lock);
  const planned = await owner.ask(forgetResult, "forget", "--dry-run");
  expect(planned.snapshots[0]?.reasons.map(({ rule }) => rule)).toContain("locked");
});

it("is shown as locking while a holder is away, and locked when it is back", async () => {
  const away = swarm.node(2);
  await away.stop();
  await save("second");
  const { lock } = await newest();
  expect(lock?.state).toBe("locking");
  expect(lock?.acknowledged).toBeLessThan(2);
  await away.start();
  await eventually("the lock of the second", isLocked);
  // Both are: what the first needs is not locked for any less by the second.
  expect((await owner.status()).locks).toMatchObject({ locked: 2, locking: 0 });
  expect(away.logged("segments-locked").length).toBeGreaterThan(0);
});
