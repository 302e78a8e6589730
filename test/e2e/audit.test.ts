import { rmSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { auditResult } from "../../src/control/audit-api.ts";
import { snapshotResult, verifyResult } from "../../src/control/results.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { flipBit, type HeldShard, shardsHeld } from "../support/shard-files.ts";
import { makeTree } from "../support/trees.ts";

// Five nodes at three sites, real daemons and disks.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "b", "c", "c"] });
  owner = swarm.node(0);
  tree = makeTree(swarm.scratch("tree"), { seed: "audit", files: 80, averageBytes: 1_000_000 });
  await owner.ask(snapshotResult, "snapshot", tree);
});
afterAll(() => swarm?.dispose());

const held = (): HeldShard[] => shardsHeld(swarm.nodes, owner.ownerId);
const audit = (...args: string[]) => owner.ask(auditResult, "audit", ...args);

it("proves that honest holders have everything, and verify says so", async () => {
  expect(await audit()).toMatchObject({ status: 0, now: false, scanned: 0, corrupt: 0 });
  const round = await audit("--now");
  expect(round).toMatchObject({ status: 0, now: true, corrupt: 0, suspects: 0, repaired: 0 });
  const holders = new Set(held().map(({ node }) => node.peerId));
  expect(new Set(round.holders.map(({ peerId }) => peerId))).toEqual(holders);
  for (const { proven, asked } of round.holders) expect(proven).toBe(asked);
  expect(round.bytesMoved).toBeGreaterThan(0);
  const text = await owner.cli("audit");
  expect(text).toMatchObject({ status: 0, stderr: "" });
  expect(text.stdout).toContain("good");
  expect(await owner.ask(verifyResult, "verify")).toMatchObject({ state: "ok", claimed: 0 });
});

it("finds and names a holder whose disk lost and altered shards, which gets nothing until it is cleared", async () => {
  const bad = must(held()[0], "shard").node;
  const trustIn = async (node: TestNode) =>
    (await node.peers()).find(({ peerId }) => peerId === bad.peerId)?.trust;
  const its = held().filter(({ node }) => node === bad);
  its.forEach(({ path }, i) => {
    if (i % 2 === 0) rmSync(path);
    else flipBit(path);
  });
  const round = await audit("--now");
  expect(round.status).toBe(4);
  const found = must(
    round.holders.find(({ peerId }) => peerId === bad.peerId),
    "its row",
  );
  expect(found).toMatchObject({ name: bad.name, proven: 0, wrong: 0, late: 0, missing: found.asked });
  expect(found.suspect?.reason).toContain("receipts");
  expect(found.evidence.length).toBeGreaterThan(0);
  for (const other of round.holders)
    if (other !== found) expect(other).toMatchObject({ missing: 0, wrong: 0 });
  const convicted = owner.logged("holder-convicted");
  expect(convicted.length).toBeGreaterThan(0);
  for (const line of convicted) expect(line).toMatchObject({ peer: bad.peerId, kind: "denied" });
  const lost = new Set(owner.logged("audit-shard-lost").map((line) => `${line["segment"]}/${line["index"]}`));
  expect(lost).toEqual(new Set(its.map(({ id }) => `${id.number}/${id.index}`)));

  const peer = (await owner.peers()).find(({ peerId }) => peerId === bad.peerId);
  expect(peer).toMatchObject({ state: "suspected" });
  expect((await owner.cli("peers")).stdout).toContain("gets no new data");
  const status = await owner.status();
  expect(status.audit?.suspects).toBe(1);
  expect(status.alerts.map(({ code }) => code)).toContain("holders-suspected");
  await restoreWhole(swarm, owner, "latest", tree);

  // Every node knows it, why, and by whose words.
  for (const node of swarm.nodes) {
    await eventually(`${node.name} suspects it`, async () => (await trustIn(node))?.state === "suspect");
    const told = must(await trustIn(node), "what is said of it");
    expect(told.reason).toContain("receipts");
    expect(told.said.map(({ kind, by }) => [kind, by])).toContainEqual(["conviction", owner.name]);
  }

  const before = held().filter(({ node }) => node === bad).length;
  const more = makeTree(swarm.scratch("more"), { seed: "more", files: 10, averageBytes: 100_000 });
  await owner.cli("snapshot", more);
  expect(held().filter(({ node }) => node === bad)).toHaveLength(before);
  expect(await audit("--clear", bad.name)).toMatchObject({ status: 0, cleared: true, suspects: 0 });
  expect((await audit()).status).toBe(0);
  const elsewhere = must(swarm.nodes.at(-1) === bad ? swarm.nodes.at(-2) : swarm.nodes.at(-1), "node");
  await eventually("others trust it again", async () => (await trustIn(elsewhere))?.state === "trusted");
  expect((await owner.cli("audit", "--clear", "nobody")).status).not.toBe(0);
});
