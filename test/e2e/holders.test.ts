import { afterAll, beforeAll, expect, it } from "vitest";
import { snapshotResult } from "../../src/control/results.ts";
import { errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { makeTree } from "../support/trees.ts";

// What holders do to a snapshot: die in the middle of it, be away, come back.

const TREE = { files: 60, averageBytes: 800_000 };
let swarm: DaemonSwarm;
let owner: TestNode;

beforeAll(async () => {
  // Five nodes at three sites: 2+2, and every one of the four holders is needed for `full`.
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "b", "c", "c"] });
  owner = swarm.node(0);
});
afterAll(() => swarm?.dispose());

const newTree = (seed: string): string => makeTree(swarm.scratch(seed), { seed, ...TREE });

const expectRestores = (tree: string) => restoreWhole(swarm, owner, "latest", tree);

const stateNow = async () => (await owner.status()).repository.newest?.state;

it("a holder killed during a snapshot: what is missing waits, and is placed when it is back", async () => {
  const tree = newTree("holder-killed");
  const victim = swarm.node(1);
  const running = owner.startCli("snapshot", tree, "--json");
  await eventually("the first shard is there", () => shardsHeld([victim], owner.ownerId).length > 0, {
    everyMs: 10,
  });
  await victim.kill();
  const made = resultOf(await running.done, snapshotResult);
  // One of two at site b is gone: with its shards missing, the loss of site c would be too much.
  const { state, survives } = made;
  expect(state).toBe(survives.sites === 0 ? "pending" : "safe");
  expect((await running.done).status).toBe(state === "pending" ? 4 : 0);
  expect(made.notes.join(" ")).toMatch(/wait in the spool.*n1/);
  await expectRestores(tree);
  expect((await owner.status()).spool.segments).toBeGreaterThan(0);
  await victim.start();
  await eventually("the snapshot is full by itself", async () => (await stateNow()) === "full");
  expect((await owner.status()).spool).toMatchObject({ segments: 0, bytes: 0 });
});

it("a spool that is full is said so, and the snapshot goes on when there is room", async () => {
  const tree = newTree("spool-full");
  await owner.stop();
  await owner.start(["--spool-max", "1MiB"]);
  await swarm.allAlive();
  const others = swarm.nodes.filter((node) => node !== owner);
  await Promise.all(others.map((node) => node.kill()));
  const count = (await owner.status()).repository.snapshots;
  const refused = errorOf(await owner.cli("snapshot", tree, "--json"));
  expect(refused).toMatchObject({ status: 1, code: "SPOOL_FULL" });
  expect(refused.message).toMatch(/spool is full.*bring peers back or raise --spool-max/);
  const { repository, spool } = await owner.status();
  expect(repository.snapshots).toBe(count);
  expect(spool.bytes).toBeLessThanOrEqual(1 << 20);
  await Promise.all(others.map((node) => node.start()));
  await swarm.allAlive();
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0, state: "full" });
  await expectRestores(tree);
});

it("--wait queued returns when all is on this machine, and the daemon places it", async () => {
  await owner.stop();
  await owner.start(["--spool-max", "1GiB"]);
  await swarm.allAlive();
  const tree = newTree("queued");
  const made = await owner.ask(snapshotResult, "snapshot", tree, "--wait", "queued");
  expect(made).toMatchObject({ status: 4, state: "pending", survives: { sites: 0, nodes: 0 } });
  await eventually("it is placed", async () => (await stateNow()) === "full");
  await expectRestores(tree);
});
