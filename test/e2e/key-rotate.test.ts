import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { restoreResult, snapshotResult } from "../../src/control/results.ts";
import { rotateResult } from "../../src/control/rotation-api.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { differences, makeTree } from "../support/trees.ts";

// A recovery key that somebody else may have seen is replaced. The same owner all the way through.

let swarm: DaemonSwarm;
let owner: TestNode;
let tree: string;
const at = (name: string) => join(swarm.directory, name);
const key = (...args: string[]) => cairn(["--home", owner.home, "key", ...args]);

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c", "d"] });
  owner = swarm.node(1);
  tree = makeTree(swarm.scratch("tree"), { seed: "rotate", files: 20, averageBytes: 50_000 });
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0 });
});
afterAll(() => swarm?.dispose());

const report = z.object({ ownerId: z.string(), peerId: z.string(), site: z.string(), snapshots: z.number() });
const recover = (home: string, words: string, via: TestNode, ...more: string[]) =>
  cairn(["--home", at(home), "recover", "--recovery-key", words, "--peer", via.address, "--json", ...more]);

it("words that open nothing here replace nothing, and --json needs a file for the new ones", async () => {
  const other = [
    "rotate",
    "--recovery-key",
    swarm.node(2).keyFile,
    "--recovery-key-out",
    at("never"),
    "--json",
  ];
  expect(errorOf(await key(...other))).toMatchObject({ status: 12, code: "WRONG_KEY" });
  expect(() => statSync(at("never"))).toThrow();
  expect((await key("rotate", "--recovery-key", owner.keyFile, "--json")).status).toBe(2);
});

it("the new words open the home from then on, the old ones do not; a member that was away hears of it later", async () => {
  const away = swarm.node(3);
  await away.stop();
  const args = ["rotate", "--recovery-key", owner.keyFile, "--recovery-key-out", at("new-words"), "--json"];
  const rotated = resultOf(await key(...args), rotateResult);
  expect(rotated).toMatchObject({ members: 3, connected: 2 });
  expect(statSync(at("new-words")).mode & 0o777).toBe(0o600);
  expect((await key("check", "--recovery-key", at("new-words"))).status).toBe(0);
  expect((await key("check", "--recovery-key", owner.keyFile)).status).toBe(12);
  await away.start();
  for (const node of [swarm.node(0), swarm.node(2), away]) {
    await eventually(`${node.name} has heard`, () => node.logged("recovery-key-replaced").length > 0);
  }
  // Before anything is written with the new key, and with the daemon's own start in between.
  await owner.stop();
  await owner.start();
  expect((await owner.status()).repository.readOnly).toBe(false);
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0 });
});

it("the old words are turned away by every member, and lead nowhere", async () => {
  for (const [i, via] of [swarm.node(0), swarm.node(2), swarm.node(3)].entries()) {
    for (const more of [[], ["--read-only"]]) {
      const refused = errorOf(await recover(`old-${i}${more.length}`, owner.keyFile, via, ...more));
      expect(refused).toMatchObject({ status: 12, code: "WRONG_KEY" });
      expect(refused.message).toContain("cairn key rotate");
    }
    expect(via.logged("replaced-recovery-key-used")).not.toEqual([]);
  }
});

it("the old words cannot be made the right ones again by those who have them", async () => {
  const args = ["rotate", "--recovery-key", owner.keyFile, "--recovery-key-out", at("back"), "--json"];
  expect(errorOf(await key(...args))).toMatchObject({ status: 12, code: "WRONG_KEY" });
});

it("the new words bring a lost machine back, whose old home is fenced, and which may rotate once it is confirmed", async () => {
  await owner.stop();
  const made = resultOf(await recover("fresh", at("new-words"), swarm.node(3), "--name", "fresh"), report);
  expect(made).toMatchObject({ ownerId: owner.ownerId, snapshots: 2 });
  const fresh = new TestNode(
    { home: at("fresh"), name: "fresh", site: made.site },
    { ...made, listen: ["/none"] },
  );
  await fresh.start();
  try {
    const target = at("restored");
    const restored = await fresh.ask(restoreResult, "restore", "latest", "--target", target);
    expect(restored).toMatchObject({ status: 0, verified: true });
    expect(differences(tree, target + tree)).toEqual([]);
    const rotate = (out: string) =>
      fresh.cli("key", "rotate", "--recovery-key", at("new-words"), "--recovery-key-out", at(out), "--json");
    const tooEarly = errorOf(await rotate("too-early"));
    expect(tooEarly).toMatchObject({ status: 6, code: "NOT_ALLOWED" });
    expect(tooEarly.message).toContain('"cairn admin confirm fresh"');
    expect((await swarm.node(0).cli("admin", "confirm", "fresh")).status).toBe(0);
    await eventually("the confirmation arrives", async () => (await rotate("third")).status === 0);
    expect(readFileSync(at("third"), "utf8")).not.toBe(readFileSync(at("new-words"), "utf8"));
    expect((await fresh.cli("key", "check", "--recovery-key", at("third"))).status).toBe(0);
    await eventually("it is refused", async () => {
      const ran = await recover(`late-${Math.random()}`, at("new-words"), swarm.node(2), "--read-only");
      return ran.status === 12;
    });
    await owner.start();
    await eventually("the old home is fenced", async () => (await owner.status()).repository.readOnly);
    const looked = resultOf(await recover("look", at("third"), swarm.node(2), "--read-only"), report);
    expect(looked.snapshots).toBe(2);
  } finally {
    await fresh.stop();
  }
});
