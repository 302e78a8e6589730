import { existsSync, readdirSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { restoreResult, snapshotResult, verifyResult } from "../../src/control/results.ts";
import { errorOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { bySegment, flipBit, shardsHeld } from "../support/shard-files.ts";
import { differences, makeTree } from "../support/trees.ts";

// Nine nodes at three sites. What is destroyed in one story is brought back before the next.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"] });
  owner = swarm.node(0);
  tree = makeTree(swarm.scratch("tree"), { seed: "losing-peers", files: 120, averageBytes: 400_000 });
});
beforeEach(bringBack);
afterAll(() => swarm?.dispose());

const restoresAll = () => restoreWhole(swarm, owner, "latest", tree);

async function kill(nodes: readonly TestNode[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.kill()));
}

async function bringBack(): Promise<void> {
  const gone = swarm.nodes.filter((node) => !node.isRunning);
  if (gone.length === 0) return;
  await Promise.all(gone.map((node) => node.start()));
  await swarm.allAlive();
}

const holders = () => bySegment(shardsHeld(swarm.nodes, owner.ownerId));

it("saves a tree so that it survives a site, and gives it back as it was", async () => {
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(made).toMatchObject({ status: 0, state: "full", profile: "3+3", unreadableCount: 0 });
  expect(made.survives).toEqual({ sites: 1, nodes: 3, hosts: 0, nodesAfterWorstSite: 1 });
  expect(made.bytesNew).toBe(made.bytesRead);
  const held = shardsHeld(swarm.nodes, owner.ownerId);
  expect(held.filter(({ node }) => node === owner)).toEqual([]);
  const restored = await restoresAll();
  expect(restored.bytes).toBe(made.bytesRead);
  expect((await owner.status()).protection).toMatchObject({ state: "full", unreachable: [] });
});

it("proves that everything is held, by samples and by every byte", async () => {
  const sampled = await owner.ask(verifyResult, "verify");
  expect(sampled).toMatchObject({ status: 0, state: "ok", missing: 0, corruptCount: 0, claimed: 0 });
  const read = await owner.ask(verifyResult, "verify", "latest", "--read-data");
  const shards = [...holders().values()].flat().length;
  expect(read).toMatchObject({ status: 0, state: "ok", shardsChecked: shards, corruptCount: 0 });
  expect(read.bytesRead).toBeGreaterThan(sampled.bytesRead);
});

it("notices one flipped bit, says whose disk it was, and restores all the same", async () => {
  const victim = must(
    [...holders().values()].flat().find(({ id }) => id.index === 0 && id.number === 0),
    "first shard",
  );
  flipBit(victim.path);
  try {
    await restoresAll();
    const said = owner.logged("shard-corrupt");
    expect(said.length).toBeGreaterThan(0);
    for (const line of said) expect(line).toMatchObject({ peer: victim.node.peerId });
    const read = await owner.ask(verifyResult, "verify", "--read-data");
    const { peerId } = victim.node;
    expect(read).toMatchObject({ status: 4, state: "weak", corruptCount: 1, missing: 0 });
    expect(read.corrupt).toMatchObject([{ number: victim.id.number, index: victim.id.index, peer: peerId }]);
  } finally {
    flipBit(victim.path);
  }
  expect(await owner.ask(verifyResult, "verify", "--read-data")).toMatchObject({ status: 0, state: "ok" });
});

it("restores with m peers killed", async () => {
  // Three that hold data shards of the first segment, so that there is something to rebuild.
  const lost = must(holders().get(0), "first segment")
    .filter(({ id }) => id.index < 3)
    .map(({ node }) => node);
  await kill(lost);
  await restoresAll();
  expect((await owner.status()).protection.unreachable).toHaveLength(3);
});

it("restores with a whole site killed, and status says that the site is away", async () => {
  const site = swarm.atSite("b");
  await kill(site);
  await restoresAll();
  const { protection, swarm: seen } = await owner.status();
  expect(seen.alive).toBe(6);
  expect(protection.survives.sites).toBe(1);
  expect(protection.unreachable.toSorted()).toEqual(site.map((node) => node.peerId).toSorted());
  const text = await owner.cli("status");
  expect(text).toMatchObject({ status: 0, stderr: "" });
  expect(text.stdout).toMatch(/site b\b.*n3, n4, n5/);
});

it("says which segments and peers are missing when m + 1 are killed, and writes nothing", async () => {
  const lost = leastHarmful(4);
  await kill(lost);
  expect((await owner.cli("status")).status).toBe(0);
  expect((await owner.cli("snapshots")).status).toBe(0);
  const target = swarm.newTarget();
  const refused = errorOf(await owner.cli("restore", "latest", "--target", target, "--json"));
  expect(refused).toMatchObject({ status: 11, code: "TOO_FEW_SHARDS" });
  const { shortages } = shortageDetail.parse(refused.detail);
  expect(shortages.length).toBeGreaterThan(0);
  const lostIds = lost.map((node) => node.peerId);
  for (const { have, need, holders: missing } of shortages) {
    expect(have).toBeLessThan(need);
    expect(missing.length).toBeGreaterThan(0);
    expect(missing.filter((peer) => !lostIds.includes(peer))).toEqual([]);
  }
  expect(existsSync(target) ? readdirSync(target) : []).toEqual([]);
  const text = await owner.cli("restore", "latest", "--target", target);
  expect(text).toMatchObject({ status: 11, stdout: "" });
  expect(text.stderr).toContain(must(lostIds[0], "peer"));

  const partial = await owner.ask(restoreResult, "restore", "latest", "--target", target, "--partial");
  expect(partial.status).toBe(3);
  expect(partial.problemCount).toBeGreaterThan(0);
  expect(partial.files).toBeGreaterThan(0);
  // What is there is right, and everything that is not is listed.
  const wrong = differences(tree, target + tree).filter(
    (line) => line.startsWith("./") && !line.includes(": mtimeNs"),
  );
  const listed = new Set(partial.problems.map((problem) => problem.path.slice(tree.length + 1)));
  expect(wrong.filter((line) => !listed.has(line.slice(2).replace(/: is missing$/, "")))).toEqual([]);
  expect(wrong.length).toBe(partial.problemCount);

  await bringBack();
  // The same target again: it goes on, and fetches no more than what was missing.
  const rest = await owner.ask(restoreResult, "restore", "latest", "--target", target);
  expect(rest).toMatchObject({ status: 0, files: partial.problemCount });
  expect(differences(tree, target + tree)).toEqual([]);
});

it("restores although peers hang instead of being gone", async () => {
  const hung = swarm.atSite("c");
  for (const node of hung) process.kill(node.pid, "SIGSTOP");
  try {
    const restored = await restoresAll();
    expect(restored.durationMs).toBeLessThan(90_000);
    // Six of eight holders have enough: those that hang were asked, and nobody waited for their time-out. On a busy machine
    // another one may be late as well.
    const asked = must(owner.logged("holders-asked").at(-1), "question to the holders");
    expect(asked).toMatchObject({ silent: [], short: 0 });
    expect(z.array(z.string()).parse(asked["late"])).toEqual(
      expect.arrayContaining(hung.map((n) => n.peerId)),
    );
  } finally {
    for (const node of hung) process.kill(node.pid, "SIGCONT");
  }
  await eventually(
    "everybody is back",
    async () => (await owner.status()).protection.unreachable.length === 0,
  );
});

const shortageDetail = z.object({
  shortages: z.array(z.object({ have: z.number(), need: z.number(), holders: z.array(z.string()) })),
});

/** Those `count` holders whose loss leaves the fewest segments, but one at least, without enough shards. */
function leastHarmful(count: number): TestNode[] {
  const segments = [...holders().values()];
  const others = swarm.nodes.filter((node) => node !== owner);
  const harm = (lost: readonly TestNode[]): number =>
    segments.filter((shards) => {
      const k = shards.length === 6 ? 3 : 1;
      return shards.filter(({ node }) => !lost.includes(node)).length < k;
    }).length;
  const harmful = combinations(others, count)
    .map((lost) => ({ lost, harm: harm(lost) }))
    .filter((choice) => choice.harm > 0);
  return must(harmful.sort((a, b) => a.harm - b.harm)[0], "a harmful choice").lost;
}

function combinations<T>(from: readonly T[], count: number): T[][] {
  if (count === 0) return [[]];
  return from.flatMap((one, i) => combinations(from.slice(i + 1), count - 1).map((rest) => [one, ...rest]));
}
