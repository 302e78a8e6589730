import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { SeededRng } from "../../sim/rng.ts";
import { must } from "../../src/base/assert.ts";
import { drainResult } from "../../src/control/heirs-api.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { cairn, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { bySegment, shardsHeld } from "../support/shard-files.ts";
import { SHORT_CLOCKS } from "../support/short-clocks.ts";
import { makeTree } from "../support/trees.ts";

// An owner is dead for good. One of nine nodes after the other leaves or is destroyed, and those that are left keep its data.

const N = 4;
const K = 2;
const TAILS = 8;
const UPKEEP = {
  ...SHORT_CLOCKS,
  unreachableAfter: "20s",
  lostAfter: "60s",
  backOff: { step: "4s", urgentStep: "2s" },
};
const PATIENT = { everyMs: 1000 };
const rng = new SeededRng("heirs");

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({
    sites: ["a", "a", "a", "b", "b", "b", "c", "c", "c"],
    beforeStarting: (node) => node.configure({ upkeep: UPKEEP }),
  });
  owner = swarm.node(0);
  tree = makeTree(swarm.scratch("tree"), { seed: "heirs", files: 60, averageBytes: 400_000 });
  const profile = ["--profile", `${K}+${N - K}`];
  expect((await owner.ask(snapshotResult, "snapshot", tree, ...profile)).status).toBe(0);
  // Segments in other rows.
  for (let n = 0; n < TAILS; n++) {
    makeTree(join(tree, `tail-${n}`), { seed: `tail ${n}`, files: 2, averageBytes: 3000 });
    expect((await owner.ask(snapshotResult, "snapshot", tree, ...profile)).status).toBe(0);
  }
  sizes = distinctOn(swarm.nodes);
});
afterAll(() => swarm?.dispose());

const alive = (): TestNode[] => swarm.nodes.filter((node) => node.isRunning);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function distinctOn(nodes: readonly TestNode[]): Map<number, number> {
  const shards = [...bySegment(shardsHeld(nodes, owner.ownerId))];
  return new Map(shards.map(([number, of]) => [number, new Set(of.map(({ id }) => id.index)).size]));
}

/** Shards of each segment when all were there: metadata have another profile. */
let sizes = new Map<number, number>();

/** Segments of the owner of which fewer than all distinct shards, or so many, lie on these nodes. */
function shortOf(atMost: number, nodes = alive()): string[] {
  const there = distinctOn(nodes);
  return [...sizes].flatMap(([number, n]) => {
    const have = there.get(number) ?? 0;
    return have < Math.min(n, atMost) ? [`${number}: ${have} of ${n}`] : [];
  });
}

async function untilWhole(): Promise<void> {
  const run = async (): Promise<boolean> => {
    if (shortOf(alive().length).length > 0) return false;
    // And all know it: who has it is in their maps.
    const queued = await Promise.all(alive().map(async (node) => (await node.status()).heirs?.queued));
    return queued.every((count) => count === 0);
  };
  try {
    await eventually("every shard is on a node that is up", run, PATIENT);
  } catch (error) {
    throw new Error(`${shortOf(N).join(", ")}\n${swarm.complaints()}`, { cause: error });
  }
}

it("a node leaves with its data moved, killed again and again meanwhile, with the owner there", async () => {
  const leaving = must(
    swarm.nodes.slice(1).find((node) => shardsHeld([node], owner.ownerId).length > 2),
    "holder of several shards",
  );
  await leaving.stop();
  leaving.configure({ upkeep: { ...UPKEEP, uplink: "8Mbit/s" } });
  await leaving.start();
  await swarm.allAlive();
  expect(await leaving.ask(drainResult, "drain", "--detach")).toMatchObject({ status: 0 });
  for (let time = 0; time < 3; time++) {
    await pause(300 + rng.float() * 1500);
    await leaving.kill();
    await leaving.start();
  }
  // Who was away for a moment takes its part when it is asked again.
  await eventually(
    "all is moved",
    async () => (await leaving.ask(drainResult, "drain")).state === "done",
    PATIENT,
  );
  const drained = await leaving.ask(drainResult, "drain", "--status");
  expect(drained).toMatchObject({ status: 0, state: "done", shardsLeft: 0, shardsUnknown: 0, stuck: [] });
  expect((await leaving.status()).alerts.map(({ code }) => code)).toContain("drained");
  const others = alive().filter((node) => node !== leaving);
  expect(shortOf(N, others)).toEqual([]);
  await leaving.kill();
  rmSync(leaving.home, { recursive: true });
  swarm.nodes.splice(swarm.nodes.indexOf(leaving), 1);
});

it("the owner dies for good, and one node after the other, down to as few as it takes: nothing is lost", async () => {
  await owner.kill();
  while (alive().length > K) {
    // Sites in turn, so that those that are left are at several.
    const victim = must(
      alive().sort(
        (a, b) =>
          alive().filter(({ site }) => site === b.site).length -
          alive().filter(({ site }) => site === a.site).length,
      )[0],
      "victim",
    );
    await victim.kill();
    rmSync(join(victim.home, "shards"), { recursive: true });
    swarm.nodes.splice(swarm.nodes.indexOf(victim), 1);
    if (alive().length < N) continue;
    // Whoever is at work is killed in the middle of it, and comes back.
    const worker = must(alive()[Math.floor(rng.float() * alive().length)], "a node");
    await pause(14_000 + rng.float() * 8000);
    await worker.kill();
    await worker.start();
    await untilWhole();
  }
  // Metadata are whole copies.
  const there = distinctOn(alive());
  for (const [number, n] of sizes)
    expect({ number, isEnough: (there.get(number) ?? 0) >= (n === N ? K : 1) }).toEqual({
      number,
      isEnough: true,
    });
});

it("the 24 words bring everything back from what is left, bit for bit", async () => {
  const home = join(swarm.directory, "recovered");
  const [via] = alive();
  const address = must(via, "survivor").address;
  const key = ["--recovery-key", owner.keyFile, "--listen", "127.0.0.1:0", "--capacity", "4GiB", "--json"];
  const ran = await cairn(["--home", home, "recover", ...key, "--peer", address, "--site", "a"]);
  const said = resultOf(
    ran,
    z.object({ ownerId: z.string(), peerId: z.string(), snapshots: z.number() }).loose(),
  );
  expect(said).toMatchObject({ ownerId: owner.ownerId, snapshots: TAILS + 1 });
  const recovered = new TestNode({ home, name: "recovered", site: "a" }, { ...said, listen: [address] });
  swarm.nodes.push(recovered);
  await recovered.start();
  await restoreWhole(swarm, recovered, "latest", tree);
  // Somebody who heard the absent one a moment ago says so, until it is absent for him as well. Nothing else was wrong.
  const refused = swarm.nodes.flatMap((node) => node.logged("repair-refused"));
  expect(refused.filter(({ why }) => why !== "holder-was-heard")).toEqual([]);
});
