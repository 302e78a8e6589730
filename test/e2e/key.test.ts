import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { must } from "../../src/base/assert.ts";
import { cairn, errorOf, resultOf } from "../support/cli.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";

// The recovery key in people's hands: does it open this home, and a page to keep.

let swarm: DaemonSwarm;
let node: TestNode;
let words: string[];

beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b", "c"] });
  node = swarm.node(1);
  words = readFileSync(node.keyFile, "utf8").trim().split(" ");
});
afterAll(() => swarm?.dispose());

const check = (given: readonly string[]) =>
  cairn(["--home", node.home, "key", "check", "--json"], { input: given.join(" ") });

it("key check says yes to its own words, while the daemon runs", async () => {
  const said = resultOf(await check(words), z.object({ opens: z.literal(true), ownerId: z.string() }));
  expect(said.ownerId).toBe(node.ownerId);
});

it("key check says no to another node's words, and what is wrong with words that are no key", async () => {
  const other = readFileSync(swarm.node(2).keyFile, "utf8").trim().split(" ");
  expect(errorOf(await check(other))).toMatchObject({ status: 12, code: "WRONG_KEY" });
  const misspelt = words.map((word, i) => (i === 6 ? "zzz" : word));
  const typo = errorOf(await check(misspelt));
  expect(typo).toMatchObject({ status: 12, code: "WRONG_KEY" });
  expect(typo.message).toContain("word 7 is not in the list");
  expect(errorOf(await check(words.slice(1))).message).toContain("23 words instead of 24");
  const at = words.findIndex((word, i) => i > 0 && word !== words[0]);
  const swapped = words.map((word, i) => must(words[i === 0 ? at : i === at ? 0 : i], word));
  // One checksum in 256 fits by chance; the words are then another key, and the answer is no all the same.
  expect(errorOf(await check(swapped))).toMatchObject({ status: 12, code: "WRONG_KEY" });
});

const sheetResult = z.object({
  withWords: z.boolean(),
  file: z.string(),
  members: z.array(z.object({ site: z.string(), addresses: z.array(z.string()) })),
});

it("key sheet is written with the daemon running or stopped; loopback addresses help nobody", async () => {
  const file = join(swarm.directory, "sheet.html");
  const args = ["--home", node.home, "key", "sheet", "--json", "--out"];
  const made = resultOf(await cairn([...args, file, "--recovery-key", node.keyFile]), sheetResult);
  expect(made).toMatchObject({ withWords: true, members: [] });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const page = readFileSync(file, "utf8");
  for (const word of words) expect(page).toContain(word);
  expect(page).toContain(node.ownerId);
  await node.stop();
  const blank = resultOf(await cairn([...args, join(swarm.directory, "blank.txt")]), sheetResult);
  expect(blank.withWords).toBe(false);
  await node.start();
  expect((await node.status()).repository.readOnly).toBe(false);
});
