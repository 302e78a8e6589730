import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { readHome } from "../../src/cli/runtime-home.ts";
import { adminListResult } from "../../src/control/admin-api.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { cairn, errorOf, type Ran, resultOf } from "../support/cli.ts";
import { DaemonSwarm, TestNode } from "../support/daemons.ts";
import { makeTree } from "../support/trees.ts";

// The first administrator's machine burns before it has saved anything: its key comes back all the same.

let swarm: DaemonSwarm;
let first: TestNode;
let homes = 0;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  first = swarm.node(0);
});
afterAll(() => swarm?.dispose());

const report = z.object({
  peerId: z.string(),
  ownerId: z.string(),
  name: z.string(),
  site: z.string(),
  snapshots: z.number(),
  heads: z.array(z.unknown()),
  warnings: z.array(z.string()),
  readOnly: z.boolean(),
});

async function recover(...args: string[]): Promise<{ home: string; ran: Ran }> {
  const home = join(swarm.directory, `again-${homes++}`);
  const how = ["--recovery-key", first.keyFile, "--peer", swarm.node(1).address, "--listen", "127.0.0.1:0"];
  return { home, ran: await cairn(["--home", home, "recover", ...how, "--json", ...args]) };
}

it("too few members answer to say so: nothing is begun, and it is no wrong key", async () => {
  await first.kill();
  await swarm.node(2).stop();
  const { home, ran } = await recover();
  expect(errorOf(ran)).toMatchObject({ status: 11, code: "REPOSITORY_NOT_FOUND" });
  expect(errorOf(ran).message).toContain("This recovery key is right");
  expect((await cairn(["--home", home, "status"])).status).toBe(10);
  await swarm.node(2).start();
});

it("to look at there is nothing", async () => {
  expect(errorOf((await recover("--read-only")).ran)).toMatchObject({
    status: 11,
    code: "REPOSITORY_NOT_FOUND",
  });
});

it("its node, its name and its administrator's key come back with an empty repository", async () => {
  rmSync(first.home, { recursive: true });
  const { home, ran } = await recover();
  const { peerId, ownerId, ...found } = resultOf(ran, report);
  expect(ran.status).toBe(0);
  expect(found).toMatchObject({ name: "n0", site: "a", snapshots: 0, heads: [], readOnly: false });
  expect(found.warnings.join()).toContain("the repository begins empty");
  expect(ownerId).toBe(first.ownerId);
  const { listen } = readHome(home).settings;
  const back = new TestNode({ home, name: "n0", site: "a" }, { peerId, ownerId, listen });
  swarm.nodes[0] = back;
  await back.start();
  await swarm.allAlive();
  expect((await back.ask(adminListResult, "admin", "list")).administrators).toMatchObject([{ self: true }]);
  await (await swarm.join("d", { token: await back.invite("d") })).start();
  const tree = makeTree(swarm.scratch("tree"), { seed: "first ever", files: 20, averageBytes: 10_000 });
  expect(await back.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0 });
  const { repository, standing } = await back.status();
  expect(repository.snapshots).toBe(1);
  expect(standing.state).toBe("member");
});
