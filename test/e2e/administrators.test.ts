import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import {
  adminChangeResult,
  adminListResult,
  confirmResult,
  decisionResult,
} from "../../src/control/admin-api.ts";
import { snapshotResult } from "../../src/control/results.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { restoreWhole } from "../support/restore-whole.ts";
import { makeTree } from "../support/trees.ts";

// The first administrator's machine burns down. Others go on, and it comes back as an administrator.

let swarm: DaemonSwarm;
let first: TestNode;
let second: TestNode;
let earlier: string;
let recovered: TestNode;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c", "d"] });
  [first, second] = [swarm.node(0), swarm.node(1)];
  const tree = makeTree(swarm.scratch("tree"), { seed: "administrators", files: 10, averageBytes: 20_000 });
  expect(await first.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0 });
});
afterAll(() => swarm?.dispose());

const namesAt = async (node: TestNode): Promise<(string | undefined)[]> =>
  (await node.ask(adminListResult, "admin", "list")).administrators.map(({ name }) => name);

async function member(name: string, site: string, token: string): Promise<TestNode> {
  const node = await TestNode.make({ home: join(swarm.directory, name), name, site }, token);
  swarm.nodes.push(node);
  await node.start();
  return node;
}

it("one administrator makes another, which every node hears of", async () => {
  expect(errorOf(await second.cli("admin", "add", "n2", "--json"))).toMatchObject({ status: 6 });
  await eventually("the second node has published its key", async () => {
    const ran = await first.cli("admin", "add", "n1", "--json");
    return ran.status === 0 && resultOf(ran, adminChangeResult).administrators === 2;
  });
  for (const node of swarm.nodes)
    await eventually(`${node.name} knows both`, async () => (await namesAt(node)).join() === "n0,n1");
  expect((await second.status()).alerts.map(({ code }) => code)).not.toContain("single-administrator");
});

it("without the first one's machine, others still join, and the second one invites", async () => {
  earlier = await first.invite("e");
  await eventually("others know the token", async () => {
    // Its home goes only when its last word is out.
    return (await second.cli("invite", "--site", "e", "--json")).status === 0;
  });
  await swarm.allAlive();
  await first.kill();
  rmSync(first.home, { recursive: true });
  swarm.nodes.splice(swarm.nodes.indexOf(first), 1);
  await member("n4", "e", earlier);
  await member("n5", "f", await second.invite("f"));
  await swarm.allAlive();
});

it("meanwhile another owner's machine burns, and comes back by its recovery key", async () => {
  const owner = swarm.node(1);
  expect(owner.name).toBe("n2");
  const tree = makeTree(swarm.scratch("n2"), { seed: "meanwhile", files: 10, averageBytes: 20_000 });
  const made = await owner.ask(snapshotResult, "snapshot", tree);
  expect(made).toMatchObject({ status: 0 });
  await owner.kill();
  rmSync(owner.home, { recursive: true });
  swarm.nodes.splice(swarm.nodes.indexOf(owner), 1);
  const home = join(swarm.directory, "n2-again");
  const how = ["--recovery-key", owner.keyFile, "--listen", "127.0.0.1:0", "--peer", second.address];
  const ran = await cairn(["--home", home, "recover", ...how, "--json"]);
  const { peerId, ownerId } = resultOf(ran, z.object({ peerId: z.string(), ownerId: z.string() }));
  const listen = z
    .object({ listen: z.array(z.string()) })
    .parse(JSON.parse(readFileSync(join(home, "settings.json"), "utf8"))).listen;
  const back = new TestNode({ home, name: "n2", site: "c" }, { peerId, ownerId, listen });
  swarm.nodes.push(back);
  await back.start();
  await restoreWhole(swarm, back, made.snapshotId, tree);
  // Whoever has the owner's node sees that its key was used.
  await eventually("its node tells of the use", async () => {
    const { alerts, recoveryUses } = await back.status();
    return alerts.some(({ code }) => code === "recovery-identity-used") && recoveryUses.length > 0;
  });
});

it("recovered, it is an administrator again, and a holder once the other one confirms it", async () => {
  const home = join(swarm.directory, "again");
  const args = [
    "--recovery-key",
    first.keyFile,
    "--name",
    "n0",
    "--listen",
    "127.0.0.1:0",
    "--capacity",
    "4GiB",
  ];
  const ran = await cairn(["--home", home, "recover", ...args, "--peer", second.address, "--json"]);
  const { peerId, ownerId } = resultOf(ran, z.object({ peerId: z.string(), ownerId: z.string() }));
  const settings = z
    .object({ listen: z.array(z.string()) })
    .parse(JSON.parse(readFileSync(join(home, "settings.json"), "utf8")));
  recovered = new TestNode({ home, name: "n0", site: "a" }, { peerId, ownerId, listen: settings.listen });
  swarm.nodes.push(recovered);
  await recovered.start();
  await swarm.allAlive();
  const list = await recovered.ask(adminListResult, "admin", "list");
  expect(list.administrators.filter(({ self }) => self).map(({ name }) => name)).toEqual(["n0"]);
  expect(await recovered.invite("g")).toMatch(/^cairn1-/);
  const seen = async () =>
    must(
      (await second.peers()).find((peer) => peer.peerId === peerId),
      "recovered",
    );
  expect(await seen()).toMatchObject({ holder: false, awaitsConfirmation: true });
  expect(await second.ask(confirmResult, "admin", "confirm", "n0")).toMatchObject({ peerId, status: 0 });
  expect(await seen()).toMatchObject({ holder: true });
});

it("two administrators remove a node at once, which one alone could take back", async () => {
  const announced = await recovered.ask(decisionResult, "remove", "n4", "--reason", "sold");
  expect(announced).toMatchObject({ status: 0, outcome: "announced", inEffect: false });
  const id = must(announced.pending, "pending").id;
  for (const node of swarm.nodes) {
    await eventually(`${node.name} says so`, () =>
      node.logged("removal-announced").some((line) => line["id"] === id && line["reason"] === "sold"),
    );
  }
  expect((await second.status()).swarm.pending).toMatchObject([{ kind: "removal", name: "n4" }]);
  expect((await second.cli("remove", "n4", "--cancel")).status).toBe(0);
  expect((await second.status()).swarm.pending).toEqual([]);
  await eventually(
    "the first one heard that",
    async () => (await recovered.status()).swarm.pending.length === 0,
  );
  const again = await recovered.ask(decisionResult, "remove", "n4");
  const next = must(again.pending, "pending").id;
  await eventually("the second one heard", () =>
    second.logged("removal-announced").some((line) => line["id"] === next),
  );
  expect(await second.ask(decisionResult, "remove", "n4")).toMatchObject({
    outcome: "confirmed",
    inEffect: true,
  });
  await eventually("it is out", async () =>
    (await recovered.peers()).every(({ name, state }) => name !== "n4" || state === "removed"),
  );
  const gone = must(
    swarm.nodes.find(({ name }) => name === "n4"),
    "n4",
  );
  await eventually("it knows", async () => (await gone.status()).standing.state === "removed");
  expect(errorOf(await gone.cli("invite", "--site", "x", "--json"))).toMatchObject({
    status: 6,
    code: "REMOVED",
  });
  expect(errorOf(await gone.cli("admin", "export", "--json"))).toMatchObject({ status: 6, code: "REMOVED" });
  const shown = (await recovered.peers()).find(({ name }) => name === "n4");
  expect(shown).toMatchObject({ state: "removed", removedAt: expect.stringMatching(/^20/) });
  await gone.stop();
  swarm.nodes.splice(swarm.nodes.indexOf(gone), 1);
});

it("exports its key under a passphrase, and another member's home takes it", async () => {
  const [passphrase, wrong, key] = ["passphrase", "wrong", "key"].map((name) => join(swarm.directory, name));
  writeFileSync(must(passphrase, "path"), "correct horse battery staple\n");
  writeFileSync(must(wrong, "path"), "incorrect horse\n");
  const out = ["--out", must(key, "path"), "--passphrase-file", must(passphrase, "path")];
  expect((await second.cli("admin", "export", ...out)).status).toBe(0);
  const other = swarm.node(1);
  expect(errorOf(await other.cli("admin", "export", ...out, "--json"))).toMatchObject({ status: 6 });
  const take = (file: string | undefined) =>
    other.cli("admin", "import", must(key, "path"), "--passphrase-file", must(file, "path"), "--json");
  expect(errorOf(await take(passphrase))).toMatchObject({ code: "HOME_LOCKED" });
  await other.stop();
  const removed = join(swarm.directory, "n4");
  const there = ["--home", removed, "admin", "import", must(key, "path")];
  expect(
    errorOf(await cairn([...there, "--passphrase-file", must(passphrase, "path"), "--json"])),
  ).toMatchObject({ status: 6, message: expect.stringContaining("cairn adopt") });
  expect((await take(wrong)).status).toBe(12);
  expect((await take(passphrase)).status).toBe(0);
  await other.start();
  expect(await other.invite("h")).toMatch(/^cairn1-/);
});

it("a removed administrator signs nothing more, and the members that it let in stay", async () => {
  const before = (await second.peers()).filter(({ state }) => state !== "removed").length;
  const { administrators } = await second.ask(adminListResult, "admin", "list");
  const key = must(
    administrators.find(({ name }) => name === "n0"),
    "n0",
  ).key;
  expect(await second.ask(adminChangeResult, "admin", "remove", key.slice(0, 12))).toMatchObject({
    outcome: "removed",
    administrators: 1,
  });
  await eventually("it heard", async () => (await recovered.cli("invite", "--site", "i")).status === 6);
  expect((await second.cli("admin", "remove", key.slice(0, 12))).status).not.toBe(0);
  expect((await recovered.peers()).filter(({ state }) => state !== "removed")).toHaveLength(before);
});
