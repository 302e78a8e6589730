import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import {
  forgetResult,
  pinResult,
  policyResult,
  type ScheduleStanding,
} from "../../src/control/policy-api.ts";
import { snapshotResult, snapshotsResult } from "../../src/control/results.ts";
import { usageResult } from "../../src/control/usage-api.ts";
import { errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";

let swarm: DaemonSwarm;
let owner: TestNode;
let folder: string;
let hooked: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
  folder = swarm.scratch("files");
  hooked = join(swarm.scratch("hooks"), "log");
});
afterAll(() => swarm?.dispose());

const policy = (exclude: string, every: string) => `# Kept as it is.
version: 1
defaults:
  exclude: ["${exclude}"]
  keep: { daily: 7 }
sites:
  a: { tags: [from-a] }
  b: { tags: [from-b] }
sets:
  shop:
    paths: [${folder}]
    schedule: { every: ${every} }
    hooks:
      before: [sh, -c, 'echo before $CAIRN_SET >> ${hooked}; test ! -e ${hooked}.broken']
      after: [sh, -c, 'echo after $CAIRN_RESULT >> ${hooked}']
  never:
    paths: [${folder}]
    nodes: [elsewhere]
`;

async function given(text: string): Promise<string> {
  const file = join(swarm.scratch("policy"), "policy.yaml");
  writeFileSync(file, text);
  return file;
}

async function schedule(): Promise<ScheduleStanding> {
  return must((await owner.status()).schedule, "schedule in status");
}

const listed = async () =>
  resultOf(await owner.cli("snapshots", "--json", "--tag", "set:shop"), snapshotsResult.shape.snapshots);

it("a mistake is shown with its line and changes nothing", async () => {
  const wrong = await given("version: 1\nsets:\n  shop:\n    paths: [srv]\n    shedule: {}\n");
  for (const verb of ["check", "set"]) {
    const ran = await owner.cli("policy", verb, wrong);
    expect(ran.status).toBe(1);
    expect(ran.stderr).toContain("line 4, column 13: ");
    expect(ran.stderr).toContain('line 5, column 5: "shedule" is not known here');
  }
  expect(errorOf(await owner.cli("policy", "set", wrong, "--json"))).toMatchObject({
    code: "POLICY_INVALID",
  });
  expect(existsSync(join(owner.home, "policy.yaml"))).toBe(false);
  expect(await schedule()).toEqual({ policy: "none", issues: [], sets: [] });
});

it("the daemon saves by itself what the policy says, between its hooks, and says how it stands", async () => {
  writeFileSync(join(folder, "kept"), "kept");
  writeFileSync(join(folder, "scratch.tmp"), "left out");
  const text = policy("*.tmp", "1min");
  const shown = await owner.ask(policyResult, "policy", "set", await given(text));
  expect(shown).toMatchObject({ status: 0, state: "valid", sets: [{ set: "shop" }] });
  expect(shown.sets[0]?.tags).toEqual({ value: ["from-a"], from: { level: "site a", line: 7 } });
  expect(readFileSync(join(owner.home, "policy.yaml"), "utf8")).toBe(text);
  expect((await owner.cli("policy", "show")).stdout).toContain("# defaults, line 5");

  await eventually("a snapshot of the set", async () => (await listed()).length > 0);
  const [first] = await listed();
  expect(first).toMatchObject({ tags: ["set:shop", "from-a"], state: "full", files: 1 });
  await eventually("its end", async () => (await schedule()).sets[0]?.last !== undefined);
  const [set] = (await schedule()).sets;
  expect(set).toMatchObject({ last: { outcome: "done" }, rpoMs: expect.any(Number) });
  // On a slow machine a minute has passed, and the next one was made.
  expect((await listed()).map(({ snapshotId }) => snapshotId)).toContain(set?.last?.snapshotId);
  expect(readFileSync(hooked, "utf8")).toMatch(/^before shop\nafter done\n/);
  expect((await owner.cli("status")).stdout).toMatch(/schedule {4}shop: RPO .*, next /);
  await eventually("the second one", async () => (await listed()).length > 1);
});

it("by hand, and not where the hook before it fails", async () => {
  // From here on it is by hand only: a run of the schedule in between would be one failure more.
  const rare = await given(policy("*.tmp", "1d"));
  expect(await owner.ask(policyResult, "policy", "set", rare)).toMatchObject({ status: 0, state: "valid" });
  const byHand = await owner.ask(snapshotResult, "snapshot", "--set", "shop");
  expect(byHand).toMatchObject({ status: 0, state: "full" });
  writeFileSync(`${hooked}.broken`, "");
  const before = (await listed()).length;
  const failed = errorOf(await owner.cli("snapshot", "--set", "shop", "--json"));
  expect(failed).toMatchObject({ status: 1, code: "COMMAND_FAILED" });
  expect(await listed()).toHaveLength(before);
  expect(owner.logged("set-failed")).toMatchObject([{ set: "shop", failures: 1 }]);
  const status = await owner.status();
  expect(status.alerts.map(({ code }) => code)).toContain("set-failing");
  // Over a restart, too: it is on disk.
  await owner.stop();
  await owner.start();
  expect((await schedule()).sets[0]?.last).toMatchObject({ outcome: "failed", failures: 1 });
  expect(errorOf(await owner.cli("snapshot", "--set", "ship", "--json"))).toMatchObject({
    code: "SET_UNKNOWN",
  });
});

it("says what retention would forget, and forgets nothing then; a pin is kept over a restart", async () => {
  const before = await listed();
  const first = must(before[0], "snapshot");
  const plan = (...args: string[]) => owner.ask(forgetResult, "forget", "--dry-run", ...args);
  const planned = await plan();
  expect(planned.sets).toMatchObject([{ set: "shop", rules: "daily 7", kept: before.length, forgotten: 0 }]);
  expect(planned.snapshots[0]?.reasons.length).toBeGreaterThan(0);
  expect(Math.abs(must(planned.clockAheadMs, "the peers' word"))).toBeLessThan(60_000);
  expect(await owner.ask(pinResult, "pin", first.snapshotId)).toMatchObject({ status: 0, pinned: true });
  await owner.kill();
  await owner.start();
  expect((await listed())[0]).toMatchObject({
    snapshotId: first.snapshotId,
    pinned: true,
    tags: ["set:shop", "from-a"],
  });
  expect((await plan()).snapshots[0]?.reasons[0]).toEqual({ rule: "pinned", text: "it is pinned" });
  const usage = await owner.ask(usageResult, "usage");
  expect(usage).toMatchObject({ status: 0, unread: 0 });
  expect(usage.snapshots.map(({ snapshotId }) => snapshotId)).toContain(first.snapshotId);
  expect(usage.peers).toHaveLength(2);
  const refused = await owner.cli("snapshot", folder, "--tag", "set:shop", "--json");
  expect(errorOf(refused)).toMatchObject({ status: 2, code: "USAGE" });
});

it("a file that others may write is not used, and what was in force stays", async () => {
  const path = join(owner.home, "policy.yaml");
  chmodSync(path, 0o666);
  await eventually("the alert", async () =>
    (await owner.status()).alerts.some(({ code }) => code === "policy-invalid"),
  );
  const shown = await owner.cli("policy", "show", "--json");
  expect(shown.status).toBe(1);
  const { state, sets } = resultOf(shown, z.object({ state: z.string(), sets: z.array(z.unknown()) }));
  expect({ state, sets: sets.length }).toEqual({ state: "invalid", sets: 1 });
  expect(owner.logged("policy-invalid")).toHaveLength(1);
});

it("forgets and prunes by itself what the rules do not keep, over a kill; pinned and newest ones stay", async () => {
  await owner.stop();
  const tidying = { forgetEvery: "2s", forgetPause: "1s", pruneEvery: "2s" };
  owner.configure({ upkeep: { tidying } });
  chmodSync(join(owner.home, "policy.yaml"), 0o600);
  await owner.start();
  const rules = (forget: string) =>
    `version: 1\nsets:\n  shop: { paths: [${folder}], keep: { last: 1 }, forget: ${forget} }\n`;
  await owner.ask(policyResult, "policy", "set", await given(rules("when-told")));
  for (const turn of [1, 2, 3]) {
    writeFileSync(join(folder, "kept"), `turn ${turn}`);
    await owner.ask(snapshotResult, "snapshot", "--set", "shop");
  }
  const before = await listed();
  expect((await schedule()).tidying).toBeUndefined();
  await owner.ask(policyResult, "policy", "set", await given(rules("by-itself")));
  await owner.kill();
  await owner.start();
  const kept = [...before.filter(({ pinned }) => pinned), ...before.slice(-3)].map((one) => one.snapshotId);
  expect(kept).toHaveLength(4);
  await eventually("the others are off the list", async () => (await listed()).length === kept.length);
  expect((await listed()).map(({ snapshotId }) => snapshotId)).toEqual(kept);
  await eventually("both were done", async () => {
    const { tidying: standing } = await schedule();
    return standing?.forget.last?.outcome === "done" && standing.prune.last?.outcome === "done";
  });
  expect((await owner.cli("status")).stdout).toContain("forgets by itself: ");
  expect((await owner.cli("policy", "show")).stdout).toMatch(/forget +by itself +# set shop, line 3/);
  expect((await owner.cli("log", "--json")).stdout).toContain('"policy"');
  const restored = swarm.scratch("restored");
  await owner.cli("restore", `${kept[0]}:${folder}`, "--target", restored);
  expect(readFileSync(join(restored, "kept"), "utf8")).toBe("kept");
});
