import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { peersResult, snapshotInfo, snapshotResult } from "../../src/control/results.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { bySegment, shardsHeld } from "../support/shard-files.ts";
import { makeTree } from "../support/trees.ts";

// A machine burns down. What is left of it: its recovery key, and the peers.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;
let recovered: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "a", "b", "b", "b", "c", "c", "c"] });
  owner = swarm.node(1);
  tree = makeTree(swarm.scratch("tree"), { seed: "recover", files: 80, averageBytes: 500_000 });
});
afterAll(() => swarm?.dispose());

const report = z.object({
  ownerId: z.string(),
  peerId: z.string(),
  site: z.string(),
  members: z.object({ asked: z.number(), answered: z.number() }),
  snapshots: z.number(),
  readOnly: z.boolean(),
  warnings: z.array(z.string()),
});

function firstFile(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  const file = must(files[0], "file of the tree");
  return join(file.parentPath, file.name);
}

function recover(home: string, ...args: string[]) {
  const key = ["--recovery-key", owner.keyFile, "--listen", "127.0.0.1:0", "--capacity", "4GiB", "--json"];
  return cairn(["--home", home, "recover", ...key, ...args]);
}

const expectRestores = (node: TestNode, snapshotId: string) => restoreWhole(swarm, node, snapshotId, tree);

it("the owner saves, and a member joins that holds nothing of it", async () => {
  const first = await owner.ask(snapshotResult, "snapshot", tree, "--tag", "first");
  expect(first).toMatchObject({ status: 0, state: "full" });
  expect(await owner.ask(snapshotResult, "snapshot", tree, "--tag", "second")).toMatchObject({
    status: 0,
    bytesNew: 0,
  });
  const late = await swarm.join("a");
  await late.start();
  await swarm.allAlive();
  expect(shardsHeld([late], owner.ownerId)).toEqual([]);
});

it("refuses a home in use and one that is not empty, and changes nothing", async () => {
  const address = swarm.node(8).address;
  expect(errorOf(await recover(swarm.node(0).home, "--peer", address))).toMatchObject({
    status: 1,
    code: "HOME_EXISTS",
  });
  expect(errorOf(await recover(tree, "--peer", address))).toMatchObject({ status: 2, code: "USAGE" });
  const nobody = errorOf(await recover(join(swarm.directory, "x"), "--peer", "127.0.0.1:1"));
  expect(nobody).toMatchObject({ status: 1, code: "PEER_UNREACHABLE" });
  expect((await owner.status()).repository.readOnly).toBe(false);
});

it("comes back on an empty home, through a member that holds no shard, with a site and m peers gone", async () => {
  // The machine is switched off, and its disk is kept: it will come back later.
  await owner.kill();
  const held = bySegment(shardsHeld(swarm.nodes, owner.ownerId));
  expect(held.size).toBeGreaterThan(1);
  const gone = swarm.atSite("c");
  await Promise.all(gone.map((node) => node.kill()));
  const home = join(swarm.directory, "recovered");
  const ran = await recover(home, "--peer", swarm.node(8).address, "--site", "a");
  const said = resultOf(ran, report);
  expect(said).toMatchObject({ ownerId: owner.ownerId, site: "a", snapshots: 2, readOnly: false });
  expect(said.members.answered).toBeLessThan(said.members.asked);
  expect(said.warnings.join(" ")).toMatch(/did not answer/);
  recovered = new TestNode(
    { home, name: "recovered", site: "a" },
    { ...said, listen: [swarm.node(8).address] },
  );
  swarm.nodes.push(recovered);
  await recovered.start();
  await expectRestores(recovered, "latest");
  const [first] = resultOf(
    await recovered.cli("snapshots", "--tag", "first", "--json"),
    z.array(snapshotInfo),
  );
  await expectRestores(recovered, must(first?.snapshotId, "first snapshot"));
  await Promise.all(gone.map((node) => node.start()));
  await swarm.allAlive();
});

it("knows what is there: the same tree again is nothing new, and the next snapshot is as safe as before", async () => {
  // That its recovery key was used is told to the owner's node: it was its own this time.
  await eventually("the use is shown", async () => {
    const { alerts, recoveryUses } = await recovered.status();
    const isShown = alerts.some(({ code }) => code === "recovery-identity-used");
    return isShown && recoveryUses.some(({ submits }) => submits > 0);
  });
  // Those that were away when it was recovered are asked as they come back.
  await eventually(
    "all is known to be held",
    async () => (await recovered.status()).protection.state === "full",
  );
  const again = await recovered.ask(snapshotResult, "snapshot", tree);
  expect(again).toMatchObject({ status: 0, state: "full", bytesNew: 0 });
  expect((await recovered.cli("verify", "--read-data")).status).toBe(0);
  const moved = makeTree(swarm.scratch("moved"), { seed: "recover", files: 80, averageBytes: 500_000 });
  expect(await recovered.ask(snapshotResult, "snapshot", moved)).toMatchObject({ status: 0, bytesNew: 0 });
});

it("the old machine can write nothing at anybody's, and harms nothing of the new one", async () => {
  const ids = async () =>
    resultOf(await recovered.cli("snapshots", "--json"), z.array(snapshotInfo)).map((one) => one.snapshotId);
  const before = await ids();
  const held = () => shardsHeld(swarm.nodes, owner.ownerId).map(({ path }) => path);
  const shards = held();
  await owner.start();
  const other = makeTree(swarm.scratch("other"), { seed: "other", files: 10, averageBytes: 100_000 });
  expect([4, 6]).toContain((await owner.cli("snapshot", other)).status);
  expect(held()).toEqual(shards);
  expect(await ids()).toEqual(before);
  await expectRestores(recovered, must(before[0], "snapshot"));
  expect((await recovered.cli("verify", "--read-data")).status).toBe(0);
});

it("the old machine learns within a minute that it was recovered elsewhere, turns read-only and says so", async () => {
  await eventually("it says that it is fenced", () => owner.logged("fenced").length > 0);
  const [said] = owner.logged("fenced");
  expect(said).toMatchObject({ state: "fenced", owner: owner.ownerId, by: recovered.peerId });
  const status = await owner.status();
  expect(status).toMatchObject({ status: 4, standing: { state: "fenced", by: recovered.peerId } });
  expect(status.repository.readOnly).toBe(true);
  expect(status.alerts.map((alert) => alert.code)).toContain("fenced");
  expect((await owner.cli("status")).stdout).toMatch(/^standing +FENCED, read-only since .*cairn adopt/ms);
  const refused = errorOf(await owner.cli("snapshot", tree, "--json"));
  expect(refused).toMatchObject({ status: 6, code: "FENCED" });
  expect(refused.message).toMatch(/recovered on another machine.*read-only.*cairn adopt/);
  // Looking at what is here goes on, as far as it is here.
  expect((await owner.peers()).length).toBe(swarm.nodes.length - 1);
  expect((await owner.cli("snapshots")).status).toBe(0);
  expect((await owner.cli("ls", "latest", "--recursive")).status).toBe(0);
  expect([0, 6]).toContain((await owner.cli("cat", `latest:${firstFile(tree)}`)).status);
  const target = swarm.newTarget();
  expect((await owner.cli("restore", "latest", "--target", target)).status).toBe(6);
});

it("and is so still after a restart, from the start", async () => {
  const before = owner.logged("fenced").length;
  await owner.stop();
  await owner.start();
  expect(owner.logged("fenced").length).toBe(before + 1);
  expect((await owner.status()).standing.state).toBe("fenced");
});

it("a home that was rolled back to an older copy does not write over what is newer", async () => {
  await owner.stop();
  const copy = join(swarm.directory, "copy");
  await recovered.stop();
  cpSync(recovered.home, copy, { recursive: true, preserveTimestamps: true });
  await recovered.start();
  await swarm.allAlive();
  expect((await recovered.ask(snapshotResult, "snapshot", tree, "--tag", "newer")).status).toBe(0);
  await recovered.stop();
  rmSync(recovered.home, { recursive: true });
  cpSync(copy, recovered.home, { recursive: true, preserveTimestamps: true });
  await recovered.start();
  // It says so before anybody asks it for a snapshot, and signs nothing.
  await eventually("it notices that its pool is ahead", () => recovered.logged("home-behind").length > 0);
  const { repository, alerts } = await recovered.status();
  expect(repository.behind).toBeGreaterThan(0);
  expect(alerts.map(({ code }) => code)).toContain("home-behind");
  const ran = await recovered.cli("snapshot", tree, "--json");
  expect(errorOf(ran)).toMatchObject({ status: 6, code: "HOME_BEHIND" });
  const peers = await recovered.cli("peers", "--json");
  expect(resultOf(peers, z.array(peersResult.shape.peers.element)).length).toBeGreaterThan(0);
});
