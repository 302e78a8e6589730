import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { snapshotResult } from "../../src/control/results.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";
import { makeTree } from "../support/trees.ts";

// A recovery key kept otherwise than as 24 words: under a passphrase, and in shares.

let swarm: DaemonSwarm;
let owner: TestNode;
let words: string;
let passphrase: string;
const at = (name: string) => join(swarm.directory, name);

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  owner = swarm.node(1);
  words = readFileSync(owner.keyFile, "utf8").trim();
  passphrase = at("passphrase");
  writeFileSync(passphrase, "correct horse battery\n");
  const tree = makeTree(swarm.scratch("tree"), { seed: "copies", files: 5, averageBytes: 20_000 });
  expect(await owner.ask(snapshotResult, "snapshot", tree)).toMatchObject({ status: 0, state: "full" });
});
afterAll(() => swarm?.dispose());

const report = z.object({ ownerId: z.string(), readOnly: z.boolean(), snapshots: z.number() });
const look = (name: string, ...source: string[]) => {
  const how = ["recover", "--read-only", "--peer", swarm.node(2).address, "--json"];
  return cairn(["--home", at(name), ...how, ...source]);
};
const key = (...args: string[]) => cairn(["--home", owner.home, "key", ...args, "--json"]);
const listed = z.object({
  recovery: z.object({ recoveryId: z.string() }),
  passphrases: z.array(z.object({ id: z.string(), label: z.string(), inForce: z.boolean() })),
  splits: z.array(
    z.object({ id: z.string(), threshold: z.number(), shares: z.number(), inForce: z.boolean() }),
  ),
});

it("a file and its passphrase bring the repository to another machine; another passphrase does not", async () => {
  const sealed = at("sealed");
  const given = ["--recovery-key", owner.keyFile, "--passphrase-file", passphrase];
  const made = resultOf(
    await key("add-passphrase", "--out", sealed, "--label", "in the safe", ...given),
    z.object({ id: z.string() }),
  );
  expect(statSync(sealed).mode & 0o777).toBe(0o600);
  // One word alone may be in what the file says of itself: "key" is one of the 2048.
  const each = words.split(" ");
  for (const [i, word] of each.slice(1).entries())
    expect(readFileSync(sealed, "utf8")).not.toContain(`${each[i]} ${word}`);
  const wrong = at("wrong");
  writeFileSync(wrong, "correct horse\n");
  expect(errorOf(await look("no", "--sealed-key", sealed, "--passphrase-file", wrong))).toMatchObject({
    status: 12,
    code: "WRONG_KEY",
  });
  const found = resultOf(
    await look("sealed-home", "--sealed-key", sealed, "--passphrase-file", passphrase),
    report,
  );
  expect(found).toMatchObject({ ownerId: owner.ownerId, readOnly: true, snapshots: 1 });
  const list = resultOf(await key("list"), listed);
  expect(list.passphrases).toMatchObject([{ id: made.id, label: "in the safe", inForce: true }]);
});

it("three of five shares bring it back, two and mixed ones do not", async () => {
  const split = async (name: string) =>
    resultOf(
      await key("split", "--shares", "3-of-5", "--recovery-key", owner.keyFile, "--out", at(name)),
      z.object({ id: z.string(), files: z.array(z.string()) }),
    );
  const [one, other] = [await split("one"), await split("other")];
  const shares = (...files: (string | undefined)[]) => files.flatMap((file) => ["--shares", file ?? ""]);
  const few = errorOf(await look("few", ...shares(one.files[0], one.files[3])));
  expect(few).toMatchObject({ status: 12, code: "WRONG_KEY" });
  expect(few.message).toContain("it takes 3 different ones of the 5");
  const mixed = errorOf(await look("mixed", ...shares(one.files[0], one.files[3], other.files[1])));
  expect(mixed.message).toContain("different splits");
  const found = resultOf(
    await look("shared-home", ...shares(one.files[4], one.files[1], one.files[2])),
    report,
  );
  expect(found).toMatchObject({ ownerId: owner.ownerId, snapshots: 1 });
  const combined = at("combined");
  const ran = await cairn([
    "key",
    "combine",
    ...shares(other.files[0], other.files[1], other.files[2]),
    "--out",
    combined,
  ]);
  expect(ran.status).toBe(0);
  expect(readFileSync(combined, "utf8").trim()).toBe(words);
  const list = resultOf(await key("list"), listed);
  expect(list.splits.map(({ id }) => id)).toEqual([one.id, other.id]);
});

it("nothing is sealed or split that does not open this home", async () => {
  const other = swarm.node(2).keyFile;
  const seal = [
    "add-passphrase",
    "--recovery-key",
    other,
    "--passphrase-file",
    passphrase,
    "--out",
    at("never"),
  ];
  expect(errorOf(await key(...seal))).toMatchObject({ status: 12, code: "WRONG_KEY" });
  expect(errorOf(await key("split", "--shares", "2-of-3", "--recovery-key", other))).toMatchObject({
    status: 12,
  });
  expect(() => statSync(at("never"))).toThrow();
});
