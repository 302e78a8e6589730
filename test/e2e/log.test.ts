import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { restoreResult, snapshotResult } from "../../src/control/results.ts";
import { type LogResult, logResult } from "../../src/control/trail-api.ts";
import { cairn, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { makeTree } from "../support/trees.ts";

// Who did what with a repository: entered, spread with it, there again after its machine burnt down.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;
const at = (name: string) => join(swarm.directory, name);
const logOf = async (node: TestNode): Promise<LogResult> =>
  resultOf(await node.cli("log", "--verify", "--json"), logResult);
const whats = ({ entries }: LogResult) => entries.map(({ what }) => what);

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(1);
  tree = makeTree(swarm.scratch("tree"), { seed: "log", files: 10, averageBytes: 30_000 });
});
afterAll(() => swarm?.dispose());

it("enters what is made, pinned, restored and replaced, and says what is on this machine alone", async () => {
  expect(await owner.ask(snapshotResult, "snapshot", tree, "--tag", "first")).toMatchObject({ status: 0 });
  expect((await owner.cli("pin", "latest")).status).toBe(0);
  expect(await owner.ask(restoreResult, "restore", "latest", "--target", at("back"))).toMatchObject({
    status: 0,
  });
  const rotated = [
    "key",
    "rotate",
    "--recovery-key",
    owner.keyFile,
    "--recovery-key-out",
    at("words"),
    "--json",
  ];
  expect((await owner.cli(...rotated)).status).toBe(0);
  const log = await logOf(owner);
  expect(whats(log)).toEqual(["snapshot", "pin", "restore", "rotate-key"]);
  expect(log).toMatchObject({ problems: [], missing: [], spreadTo: 1, total: 4 });
  expect(log.entries[0]).toMatchObject({
    sequence: 1,
    peerId: owner.peerId,
    details: { number: "1", paths: tree, tags: "first" },
  });
  await owner.stop();
  await owner.start();
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0 });
  expect(await logOf(owner)).toMatchObject({ spreadTo: 5, total: 5, problems: [] });
  const text = (await owner.cli("log")).stdout;
  expect(text).toMatch(/rotate-key +old [0-9a-f]{12}, recovery [0-9a-f]{12}/);
});

it("is checked offline from a file; a change, a gap or a line of another is found", async () => {
  const file = at("trail");
  expect((await owner.cli("log", "--export", file)).status).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const check = (name: string) => cairn(["log", "--verify-file", name, "--json"], { cwd: swarm.directory });
  const whole = await check(file);
  expect(whole.status).toBe(0);
  expect(whole.json).toMatchObject({
    ownerId: owner.ownerId,
    entries: 5,
    from: 1,
    nodes: [owner.peerId],
    problems: [],
  });
  const lines = readFileSync(file, "utf8").trim().split("\n");
  const spoilt: Record<string, string[]> = {
    gap: lines.filter((_, i) => i !== 3),
    exchanged: [...lines.slice(0, 2), lines[3] ?? "", lines[2] ?? "", ...lines.slice(4)],
    changed: lines.map((line, i) => (i === 2 ? `${line.slice(0, -20)}AAAA${line.slice(-16)}` : line)),
  };
  for (const [name, changed] of Object.entries(spoilt)) {
    writeFileSync(at(name), `${changed.join("\n")}\n`);
    const ran = await check(at(name));
    expect([name, ran.status]).toEqual([name, 1]);
  }
});

it("is there again on another machine, which goes on with it", async () => {
  await owner.stop();
  const args = [
    "recover",
    "--recovery-key",
    at("words"),
    "--peer",
    swarm.node(2).address,
    "--json",
    "--name",
    "fresh",
  ];
  const ran = await cairn(["--home", at("fresh"), ...args]);
  const made = resultOf(ran, z.object({ ownerId: z.string(), peerId: z.string(), site: z.string() }));
  const fresh = new TestNode(
    { home: at("fresh"), name: "fresh", site: made.site },
    { ...made, listen: ["/none"] },
  );
  await fresh.start();
  try {
    let log = await logOf(fresh);
    await eventually("the beginning of its life is entered", async () => {
      log = await logOf(fresh);
      return log.total >= 6;
    });
    expect(whats(log)).toEqual(["snapshot", "pin", "restore", "rotate-key", "snapshot", "recover"]);
    expect(log).toMatchObject({ problems: [], missing: [], spreadTo: 5 });
    expect(log.entries.map(({ peerId }) => peerId)).toEqual([...Array(5).fill(owner.peerId), made.peerId]);
    expect(await fresh.ask(snapshotResult, "snapshot", tree)).toMatchObject({ state: expect.any(String) });
    expect(await logOf(fresh)).toMatchObject({ problems: [], missing: [], spreadTo: 7, total: 7 });
  } finally {
    await fresh.stop();
  }
});
