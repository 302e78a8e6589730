import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { parseRecoveryKey as parseWords } from "../../src/cli/recovery-key.ts";
import { restoreResult, snapshotInfo, snapshotResult } from "../../src/control/results.ts";
import { parseRecoveryKey } from "../../src/crypto/index.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, eventually, TestNode } from "../support/daemons.ts";
import { shardsHeld } from "../support/shard-files.ts";
import { differences, makeTree } from "../support/trees.ts";

// A machine that everybody thought dead is plugged in again, with what it had not handed over yet; then it is taken
// back as a node of its own.

let swarm: DaemonSwarm;
let old: TestNode;
let other: TestNode;
let recovered: TestNode;
let tree: string;
let late: string;
let pending: string;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "a", "b", "b", "c"] });
  old = swarm.node(1);
  other = swarm.node(2);
  tree = makeTree(swarm.scratch("tree"), { seed: "lives", files: 20, averageBytes: 200_000 });
  // The old machine holds shards of others, which are to count again in the end.
  expect((await other.ask(snapshotResult, "snapshot", tree)).state).toBe("full");
  expect((await old.ask(snapshotResult, "snapshot", tree)).state).toBe("full");
});
afterAll(() => swarm?.dispose());

const report = z.object({
  ownerId: z.string(),
  peerId: z.string(),
  site: z.string(),
  members: z.number(),
  recoveryKeyFile: z.string().optional(),
});

const adopt = async (token: string, ...more: string[]) =>
  cairn(["--home", old.home, "adopt", token, "--json", ...more]);

it("is recovered on another machine while it is off; what it saves alone stays with it", async () => {
  const others = swarm.nodes.filter((node) => node !== old);
  await Promise.all(others.map((node) => node.stop()));
  late = makeTree(swarm.scratch("late"), { seed: "late", files: 5, averageBytes: 100_000 });
  const made = await old.ask(snapshotResult, "snapshot", late, "--wait", "queued");
  expect(made).toMatchObject({ state: "pending" });
  pending = made.snapshotId;
  await old.kill();
  await Promise.all(others.map((node) => node.start()));
  const home = join(swarm.directory, "recovered");
  const key = ["--recovery-key", old.keyFile, "--peer", other.address, "--listen", "127.0.0.1:0", "--json"];
  const said = resultOf(
    await cairn(["--home", home, "recover", ...key]),
    z.looseObject({ peerId: z.string() }),
  );
  recovered = new TestNode(
    { home, name: "recovered", site: "a" },
    { peerId: said.peerId, ownerId: old.ownerId, listen: [other.address] },
  );
  swarm.nodes.push(recovered);
  await recovered.start();
});

it("the old machine is plugged in again: within a minute after it meets the swarm it is read-only and says so", async () => {
  await old.start();
  await eventually("it has met somebody", () => old.logged("peer-connected").length > 0);
  await eventually("it says that it is fenced", () => old.logged("fenced").length > 0);
  expect(await old.status()).toMatchObject({
    status: 4,
    standing: { state: "fenced", by: recovered.peerId },
    repository: { readOnly: true },
  });
  expect(errorOf(await old.cli("snapshot", tree, "--json"))).toMatchObject({ status: 6, code: "FENCED" });
  // What is here only can be had from here.
  const target = join(swarm.directory, "from-the-spool");
  const restored = await old.ask(restoreResult, "restore", pending, "--partial", "--target", target);
  expect(restored).toMatchObject({ status: 0, problemCount: 0 });
  expect(differences(late, target + late)).toEqual([]);
  const refused = errorOf(await old.cli("restore", "latest", "--target", `${target}-2`, "--json"));
  expect(refused).toMatchObject({ status: 6, code: "FENCED" });
});

it("adopt refuses while the daemon runs, with a token of nobody, and what would lose a snapshot", async () => {
  const token = await swarm.node(0).invite("d");
  expect(errorOf(await adopt(token))).toMatchObject({ status: 1, code: "HOME_LOCKED" });
  await old.stop();
  expect(errorOf(await adopt("cairn1-nonsense"))).toMatchObject({ status: 6, code: "TOKEN_INVALID" });
  const refused = errorOf(await adopt(token));
  expect(refused).toMatchObject({ status: 6, code: "NOT_ALLOWED" });
  expect(refused.message).toContain(pending.slice(0, 12));
  expect(refused.message).toContain("--discard-pending");
  // A node that is a member is not taken in again.
  await recovered.stop();
  const member = errorOf(await cairn(["--home", recovered.home, "adopt", token, "--json"]));
  expect(member).toMatchObject({ status: 6, code: "NOT_ALLOWED" });
  await recovered.start();
  // Nothing of this has changed the old home.
  await old.start();
  expect((await old.status()).standing.state).toBe("fenced");
  await old.stop();
});

it("adopt makes it a member under its own key, with an empty repository, and its shards count again", async () => {
  const held = shardsHeld([old], other.ownerId).length;
  expect(held).toBeGreaterThan(0);
  expect((await other.status()).protection.state).not.toBe("full");
  const keyFile = join(swarm.directory, "new-key");
  const token = await swarm.node(0).invite("d");
  const ran = await adopt(token, "--discard-pending", "--recovery-key-out", keyFile);
  const said = resultOf(ran, report);
  expect(said).toMatchObject({ peerId: old.peerId, site: "d", recoveryKeyFile: keyFile });
  expect(said.ownerId).not.toBe(old.ownerId);
  expect(readdirSync(old.home)).not.toContain("adopting");
  // The old owner's keys are put aside, not lost.
  const aside = join(old.home, "former", old.ownerId.slice(0, 16));
  expect(readdirSync(aside).sort()).toEqual(["owner.key", "recovery.slot"]);
  await old.start();
  await swarm.allAlive();
  expect(await old.status()).toMatchObject({ standing: { state: "member" }, repository: { snapshots: 0 } });
  expect(shardsHeld([old], other.ownerId).length).toBe(held);
  await eventually(
    "the shards at it count again",
    async () => (await other.status()).protection.state === "full",
  );
  expect((await other.cli("verify", "--read-data")).status).toBe(0);
  expect((await old.ask(snapshotResult, "snapshot", tree)).status).toBe(0);
  // Its old repository is the other machine's, whole.
  const target = join(swarm.directory, "target");
  expect((await recovered.cli("restore", "latest", "--target", target)).status).toBe(0);
  expect(differences(tree, target + tree)).toEqual([]);
  const shown = resultOf(await recovered.cli("snapshots", "--json"), z.array(snapshotInfo));
  expect(shown.map(({ snapshotId }) => snapshotId)).not.toContain(pending);
  // And its new recovery key opens the new repository.
  const look = join(swarm.directory, "look");
  const key = ["--recovery-key", keyFile, "--peer", other.address, "--read-only", "--json"];
  const looked = await cairn(["--home", look, "recover", ...key]);
  expect(resultOf(looked, z.looseObject({ ownerId: z.string() })).ownerId).toBe(said.ownerId);
});

it("an adoption that was broken off is finished by the next run, with the same words", async () => {
  // As it is after the swarm's answer and before the words were handed over.
  await old.stop();
  const keyFile = join(swarm.directory, "new-key");
  const staged = join(old.home, "adopting");
  mkdirSync(staged);
  const copy = (from: string, to: string) =>
    writeFileSync(join(staged, to), readFileSync(join(old.home, from)));
  copy("keys/owner.key", "owner.key");
  copy("keys/recovery.slot", "recovery.slot");
  writeFileSync(
    join(staged, "recovery.key"),
    parseRecoveryKey(parseWords(readFileSync(keyFile, "utf8")).join(" ")),
  );
  await expect(old.start()).rejects.toThrow(/cairn adopt TOKEN/);
  renameSync(keyFile, `${keyFile}.before`);
  const said = resultOf(await adopt(await swarm.node(0).invite("d"), "--recovery-key-out", keyFile), report);
  expect(said).toMatchObject({ peerId: old.peerId, site: "d" });
  expect(readFileSync(keyFile, "utf8")).toBe(readFileSync(`${keyFile}.before`, "utf8"));
  expect(existsSync(staged)).toBe(false);
  await old.start();
  expect((await old.status()).standing.state).toBe("member");
  expect(
    must(
      (await old.peers()).find(({ peerId }) => peerId === old.peerId),
      "itself",
    ).state,
  ).toBe("self");
});
