import { afterAll, beforeAll, expect, it } from "vitest";
import { snapshotResult } from "../../src/control/results.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";
import { makeTree } from "../support/trees.ts";

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "a", "a"] });
  owner = swarm.node(0);
  tree = makeTree(swarm.scratch("tree"), { seed: "one-site", files: 20, averageBytes: 100_000 });
});
afterAll(() => swarm?.dispose());

it("with everybody at one site all is placed, exit status 4, and the loss of the site is called not covered", async () => {
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(made).toMatchObject({ status: 4, state: "placed", unreadableCount: 0 });
  expect(made.survives).toMatchObject({ sites: 0, hosts: 0 });
  expect(made.survives.nodes).toBeGreaterThan(0);
  const { protection, alerts } = await owner.status();
  expect(protection.state).toBe("placed");
  expect(alerts.map((alert) => alert.code)).toContain("site-loss-not-covered");
  const said = await owner.cli("snapshot", tree);
  expect(said.status).toBe(4);
  expect(said.stdout).toContain("cannot cover the loss of one");
  // It is no reason to store everything again.
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({
    status: 4,
    bytesRead: 0,
    bytesNew: 0,
  });
  expect((await owner.cli("snapshots")).stdout).toContain("placed");
});

it("a second site makes the next snapshot safe", async () => {
  for (let i = 0; i < 2; i++) await (await swarm.join("b")).start();
  await swarm.allAlive();
  const other = makeTree(swarm.scratch("other"), { seed: "two-sites", files: 20, averageBytes: 100_000 });
  const made = await owner.ask(snapshotResult, "snapshot", other);
  expect(made).toMatchObject({ status: 0 });
  expect(made.survives.sites).toBe(1);
});
