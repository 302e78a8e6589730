import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { cairn, resultOf } from "../support/cli.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";
import { makeTree } from "../support/trees.ts";

// A recovery whose first peer slept through the newest snapshots, and one that reaches too few to be sure.

let swarm: DaemonSwarm;
let owner: TestNode;
let stale: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "a", "b", "b", "c", "c"] });
  owner = swarm.node(1);
  stale = swarm.node(5);
});
afterAll(() => swarm?.dispose());

const report = z.object({
  readOnly: z.boolean(),
  readOnlyBecause: z.string().optional(),
  members: z.object({ asked: z.number(), answered: z.number() }),
  pool: z.object({ members: z.number(), answered: z.number() }),
  silent: z.array(z.object({ name: z.string(), site: z.string() })),
  heads: z.array(
    z.object({
      id: z.string(),
      epoch: z.number(),
      shownBy: z.number(),
      chosen: z.boolean(),
      ageMs: z.number(),
    }),
  ),
  snapshots: z.number(),
  snapshotList: z.array(
    z.object({ snapshotId: z.string(), state: z.string().optional(), paths: z.array(z.string()) }),
  ),
  warnings: z.array(z.string()),
});

function recover(name: string, lost: TestNode, ...args: string[]) {
  const home = join(swarm.directory, name);
  const key = ["--recovery-key", lost.keyFile, "--listen", "127.0.0.1:0", "--capacity", "1GiB"];
  return cairn(["--home", home, "recover", ...key, "--peer", stale.address, ...args]);
}

it("finds the newest state through others when the first peer was stopped for long, and prints what there is", async () => {
  const first = makeTree(swarm.scratch("first"), { seed: "first", files: 10, averageBytes: 100_000 });
  const second = makeTree(swarm.scratch("second"), { seed: "second", files: 10, averageBytes: 100_000 });
  expect((await owner.ask(snapshotResult, "snapshot", first)).status).toBe(0);
  await stale.stop();
  const newest = await owner.ask(snapshotResult, "snapshot", second);
  expect(newest.snapshotId).toMatch(/^[0-9a-f]{64}$/);
  await owner.kill();
  await stale.start();
  await swarm.allAlive();
  const json = resultOf(await recover("look", owner, "--read-only", "--json"), report);
  expect(json).toMatchObject({ members: { asked: 5, answered: 5 }, silent: [], snapshots: 2 });
  expect(must(json.snapshotList[0], "newest snapshot").snapshotId).toBe(newest.snapshotId);
  const [chosen, older] = json.heads;
  expect(chosen).toMatchObject({ chosen: true, shownBy: 4 });
  expect(must(older, "older head").epoch).toBeLessThan(must(chosen, "chosen head").epoch);
  const text = await recover("text", owner, "--read-only");
  expect(text.status).toBe(0);
  expect(text.stdout).toMatch(/: 5 of 5 answered, newest head .* old\./);
  expect(text.stdout).toContain(newest.snapshotId.slice(0, 12));
  expect(text.stdout).toMatch(/SNAPSHOT .*STATE/);
  expect(text.stdout).toMatch(/HEAD .*EPOCH/);
});

it("makes a home that only looks when too few answer to know the newest state, says who is missing, and exits with 4", async () => {
  const other = swarm.node(4);
  const tree = makeTree(swarm.scratch("third"), { seed: "third", files: 10, averageBytes: 100_000 });
  await other.ask(snapshotResult, "snapshot", tree);
  await Promise.all([other, swarm.node(0), swarm.node(2)].map((node) => node.kill()));
  const ran = await recover("few", other, "--json");
  expect(ran.status).toBe(4);
  const said = report.parse(JSON.parse(ran.stdout));
  expect(said).toMatchObject({ readOnly: true, readOnlyBecause: "majority" });
  expect(said.pool.answered * 2).toBeLessThanOrEqual(said.pool.members);
  expect(said.silent.length).toBe(3);
  expect(said.warnings.join(" ")).toMatch(/--accept-head [0-9a-f]{12}/);
  const id = must(said.heads.find(({ chosen }) => chosen)?.id, "chosen head").slice(0, 12);
  const accepted = resultOf(await recover("accepted", other, "--accept-head", id, "--json"), report);
  expect(accepted.readOnly).toBe(false);
});
