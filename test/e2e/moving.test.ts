import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { restoreResult, snapshotResult, verifyResult } from "../../src/control/results.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { differences, makeTree } from "../support/trees.ts";

// Four nodes whose addresses change, on real daemons.

let swarm: DaemonSwarm;
let owner: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c", "c"] });
  owner = swarm.node(0);
});
afterAll(() => swarm?.dispose());

/** Where a node listened after each of its starts. */
const listened = (node: TestNode): string[] =>
  node.logged("ready").map((line) => JSON.stringify(line["listen"]));

it("when all but one come up at other ports at once, all are connected again within a minute", async () => {
  const moving = swarm.nodes.slice(1);
  await Promise.all(moving.map((node) => node.stop()));
  // Not together: each frees its port first, so that none gets the one of another.
  for (const node of moving) await node.start(["--listen", "127.0.0.1:0"]);
  await swarm.allAlive();
  for (const node of moving) expect(new Set(listened(node)).size).toBe(2);
  const shown = new Map((await owner.peers()).map((peer) => [peer.peerId, peer.addresses]));
  for (const node of moving) expect(JSON.stringify(shown.get(node.peerId))).toBe(listened(node).at(-1));
});

it("a node that nobody can dial is a holder and an owner like any other", async () => {
  const hidden = swarm.node(3);
  await hidden.stop();
  // It listens where nobody has ever heard of, and tells an address at which nobody is.
  await hidden.start(["--listen", "127.0.0.1:0", "--announce", "127.0.0.1:1"]);
  await swarm.allAlive();
  const seen = must(
    (await owner.peers()).find((peer) => peer.peerId === hidden.peerId),
    "the hidden node",
  );
  expect(seen.addresses).toEqual(["/ip4/127.0.0.1/tcp/1"]);

  const tree = makeTree(swarm.scratch("tree"), { seed: "moving", files: 30, averageBytes: 100_000 });
  for (const [index, node] of [owner, hidden].entries()) {
    const made = await node.ask(snapshotResult, "snapshot", tree);
    expect(made.status).toBe(0);
    expect(made.survives.sites).toBeGreaterThan(0);
    expect(await node.ask(verifyResult, "verify")).toMatchObject({ status: 0, corruptCount: 0 });
    const target = join(swarm.directory, `target-${index}`);
    const restored = await node.ask(restoreResult, "restore", "latest", "--target", target);
    expect(restored).toMatchObject({ status: 0, problemCount: 0 });
    expect(differences(tree, target + tree)).toEqual([]);
  }
  expect(shardsHeld([hidden], owner.ownerId).length).toBeGreaterThan(0);
});

it("and it comes back by itself when the others have lost it", async () => {
  const hidden = swarm.node(3);
  const other = swarm.node(1);
  await other.stop();
  await eventually("its end is seen", async () => {
    const peers = await hidden.peers();
    return peers.some((peer) => peer.peerId === other.peerId && peer.state === "unreachable");
  });
  await other.start();
  await swarm.allAlive();
});
