import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { restoreResult, snapshotInfo, snapshotResult } from "../../src/control/results.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { differences, makeTree } from "../support/trees.ts";

// Looking at a repository from another machine, with its recovery key, while its owner goes on.

let swarm: DaemonSwarm;
let owner: TestNode;
let looker: TestNode;
let tree: string;

const report = z.object({
  ownerId: z.string(),
  peerId: z.string(),
  site: z.string(),
  readOnly: z.boolean(),
  snapshots: z.number(),
});

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(1);
  tree = makeTree(swarm.scratch("tree"), { seed: "look", files: 30, averageBytes: 200_000 });
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0, state: "full" });
});
afterAll(async () => {
  if (looker?.isRunning) await looker.stop();
  await swarm?.dispose();
});

it("recovers read-only: what is there is shown as it is, and restores", async () => {
  const home = join(swarm.directory, "looker");
  const ran = await cairn([
    "--home",
    home,
    "recover",
    "--read-only",
    "--recovery-key",
    owner.keyFile,
    "--peer",
    swarm.node(2).address,
    "--json",
  ]);
  const made = resultOf(ran, report);
  expect(made).toMatchObject({ ownerId: owner.ownerId, readOnly: true, snapshots: 1 });
  looker = new TestNode({ home, name: "looker", site: made.site }, { ...made, listen: ["/none"] });
  await looker.start();
  const [snapshot] = resultOf(await looker.cli("snapshots", "--json"), z.array(snapshotInfo));
  expect(snapshot).toMatchObject({ state: "full", survives: { sites: 1, nodes: 1 } });
  const target = join(swarm.directory, "restored");
  const restored = await looker.ask(restoreResult, "restore", "latest", "--target", target);
  expect(restored).toMatchObject({ status: 0, verified: true, problemCount: 0 });
  expect(differences(tree, target + tree)).toEqual([]);
  expect((await looker.cli("verify", "--read-data")).status).toBe(0);
});

it("writes nothing: snapshots and invitations are refused, status says why", async () => {
  expect(errorOf(await looker.cli("snapshot", tree, "--json"))).toMatchObject({
    status: 6,
    code: "NOT_ALLOWED",
  });
  expect(errorOf(await looker.cli("invite", "--site", "d", "--json"))).toMatchObject({ status: 6 });
  const status = await looker.status();
  expect(status.repository.readOnly).toBe(true);
  expect(status.alerts.map((alert) => alert.code)).toContain("read-only");
});

it("fences nobody: the owner is still a member and its next snapshot is as good as before", async () => {
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({
    status: 0,
    state: "full",
    bytesNew: 0,
  });
  const members = await owner.peers();
  expect(members.map((member) => member.peerId)).not.toContain(looker.peerId);
  expect(members).toHaveLength(3);
  // But it is told that somebody looked.
  await eventually("the owner is told", () => owner.logged("recovery-identity-used").length > 0);
  const { alerts, recoveryUses } = await owner.status();
  expect(alerts.map(({ code }) => code)).toContain("recovery-identity-used");
  expect(recoveryUses.reduce((sum, { submits }) => sum + submits, 0)).toBe(0);
});
