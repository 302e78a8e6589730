import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { policyResult, type SetStandingInfo } from "../../src/control/policy-api.ts";
import { restoreResult, snapshotsResult } from "../../src/control/results.ts";
import { resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";

let swarm: DaemonSwarm;
let owner: TestNode;
let folder: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(0);
  folder = swarm.scratch("files");
}, 120_000);
afterAll(() => swarm?.dispose());

const standing = async (): Promise<SetStandingInfo> =>
  must((await owner.status()).schedule?.sets[0], "a set in status");
const listed = async () =>
  resultOf(await owner.cli("snapshots", "--json", "--tag", "set:live"), snapshotsResult.shape.snapshots);

it("what is changed is saved without being told to, wherever in the set it is", async () => {
  writeFileSync(join(folder, "first"), "first");
  const file = join(swarm.scratch("policy"), "policy.yaml");
  writeFileSync(file, `version: 1\nsets:\n  live:\n    paths: [${folder}]\n    continuous: 30s\n`);
  const shown = await owner.ask(policyResult, "policy", "set", file);
  expect(shown.sets[0]).toMatchObject({ continuousMs: { value: 30_000 }, schedule: { value: null } });
  await eventually("the first snapshot", async () => (await listed()).length > 0, { withinMs: 240_000 });
  expect((await standing()).continuous).toMatchObject({ everyMs: 30_000, mode: "watching" });
  await eventually(
    "nothing that is unsaved",
    async () => {
      const { continuous, rpoMs } = await standing();
      return continuous?.unsavedSince === undefined && rpoMs !== undefined;
    },
    { withinMs: 240_000 },
  );

  const before = (await listed()).length;
  const deep = join(folder, "new/deeper");
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "second"), "sec");
  await eventually("the change is noticed or saved", async () => {
    const { continuous } = await standing();
    return continuous?.unsavedSince !== undefined || (await listed()).length > before;
  });
  // Also in a directory that is itself new.
  appendFileSync(join(deep, "second"), "ond");
  const restored = async (): Promise<string> => {
    const target = swarm.newTarget();
    await owner.ask(restoreResult, "restore", `latest:${folder}`, "--target", target);
    try {
      return readFileSync(join(target, "new/deeper/second"), "utf8");
    } catch {
      return "";
    }
  };
  await eventually("a snapshot with the last change", async () => (await restored()) === "second", {
    withinMs: 240_000,
  });
  expect(owner.logged("watch-opened")).toMatchObject([{ set: "live" }]);
  expect((await owner.cli("status")).stdout).toMatch(/live: RPO .* of at most 30\.0 s, /);
}, 900_000);
