import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Fault } from "../../../src/base/fault.ts";
import { membersForSheet, sheetText } from "../../../src/cli/key-sheet.ts";
import { sheetHtml } from "../../../src/cli/key-sheet-html.ts";
import type { SheetMember } from "../../../src/cli/local-operations.ts";
import { runCairn } from "../../support/fake-world.ts";

const WORDS = Array.from({ length: 24 }, (_, i) => `word${"abcdefghijklmnopqrstuvwx"[i]}`);
const identity = {
  swarmId: "ab".repeat(32),
  ownerId: "cd".repeat(32),
  peerId: "12D3Koo",
  name: "<b>till</b>\x1b[2J",
};
const member = (name: string, site: string, isAlive = true): SheetMember => ({
  peerId: `12D3${name}`,
  name,
  site,
  addresses: ["/ip4/127.0.0.1/tcp/4001", `/ip4/192.0.2.${name.length}/tcp/4001`],
  isAlive,
});
const time = "2026-11-21T03:04:00.000Z";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-key-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("names five members at as many sites as there are, those that answer first, none that cannot be dialled", () => {
  const nowhere = { ...member("nowhere", "f"), addresses: ["/ip4/127.0.0.1/tcp/4001"] };
  const all = [
    member("a1", "a"),
    member("a2", "a"),
    member("a3", "a", false),
    member("b1", "b", false),
    member("b2", "b"),
    member("c1", "c"),
    nowhere,
  ];
  const names = membersForSheet(all).map(({ name }) => name);
  expect(names).toEqual(["a1", "b2", "c1", "a2", "b1"]);
  expect(membersForSheet([nowhere])).toEqual([]);
});

it("has the words only where they were given, else room for them", () => {
  const members = membersForSheet([member("a1", "a")]);
  const blank = sheetText({ identity, members, membersKnown: 1, time });
  expect(blank).toMatch(/ 1\. _+ .*\n/);
  expect(blank.match(/_{8,}/g)).toHaveLength(24);
  const filled = sheetText({ identity, members, membersKnown: 1, time, words: WORDS });
  for (const word of WORDS) expect(filled).toContain(word);
  expect(filled).not.toMatch(/____/);
  for (const text of [
    identity.ownerId,
    identity.swarmId,
    "2026-11-21 03:04 UTC",
    "/ip4/192.0.2.2/tcp/4001/p2p/12D3a1",
  ])
    expect(filled).toContain(text);
  expect(filled).toContain("cairn recover --recovery-key - --peer /ip4/192.0.2.2/tcp/4001/p2p/12D3a1");
  expect(filled).not.toContain("\x1b");
});

it("says why it names no member, on the page and to who makes it", async () => {
  const alone = { identity, members: [], membersKnown: 0, time };
  expect(sheetText(alone)).toContain("none is known yet");
  const unaddressed = { ...alone, membersKnown: 4 };
  for (const page of [sheetText(unaddressed), sheetHtml(unaddressed)])
    expect(page).toContain("none of the 4 known has an address that other machines can use");
  const nowhere = { ...member("nowhere", "f"), addresses: ["/ip4/127.0.0.1/tcp/4001"] };
  const known = { ...local, membersOfHome: async () => [nowhere] };
  const ran = await runCairn(["key", "sheet"], { local: known, handlers });
  expect(ran.status).toBe(0);
  expect(ran.stderr).toContain("Warning: there is no address on this sheet: none of the 1 known");
});

it("is a page that needs nothing else, and takes no markup from names", () => {
  const page = sheetHtml({
    identity,
    members: [member("<script>", "a")],
    membersKnown: 1,
    time,
    words: WORDS,
  });
  expect(page).not.toMatch(/<script|<b>till|https?:|src=/);
  expect(page).not.toContain("\x1b");
  expect(page).toContain("&lt;b&gt;till&lt;/b&gt;");
  expect(page.match(/<li><b>\d+<\/b>word/g)).toHaveLength(24);
  expect(page).toContain("@page");
});

const local = {
  identityOfHome: async () => identity,
  membersOfHome: async () => [member("home", "b", false)],
  checkKey: async ({ text }: { text: string }) => {
    if (text.includes("wrong"))
      throw new Fault({ code: "WRONG_KEY", what: "recovery key", reason: "word 3 is wrong" });
    return identity;
  },
};
const handlers = {
  peers: async () => {
    throw new Fault({ code: "DAEMON_NOT_RUNNING", home: "/h" });
  },
};

it("key check says yes or no, reads standard input by default, and says what is wrong with words that are none", async () => {
  const yes = await runCairn(["key", "check"], { local, stdin: WORDS.join(" ") });
  expect(yes).toMatchObject({ status: 0 });
  expect(yes.stdout).toMatch(/^Yes: these words open repository cdcdcdcdcdcd /);
  const no = await runCairn(["key", "check", "--json"], { local, stdin: "wrong" });
  expect(no.status).toBe(12);
  expect(JSON.parse(no.stdout)).toMatchObject({ error: { code: "WRONG_KEY" } });
  expect(no.stderr).toContain("That is no recovery key: word 3 is wrong.");
});

it("key sheet takes members from the home while no daemon runs, and writes a new file for this user alone", async () => {
  const printed = await runCairn(["key", "sheet"], { local, handlers });
  expect(printed.stdout).toContain("home at b");
  const key = join(folder, "key");
  await writeFile(key, WORDS.map((word, i) => `${i + 1}. ${word}`).join("\n"));
  const out = join(folder, "sheet.html");
  const argv = ["key", "sheet", "--recovery-key", key, "--out", out];
  expect(await runCairn(argv, { local, handlers })).toMatchObject({ status: 0 });
  expect((await stat(out)).mode & 0o777).toBe(0o600);
  const page = await readFile(out, "utf8");
  expect(page).toMatch(/^<!doctype html>/);
  for (const word of WORDS) expect(page).toContain(word);
  expect(await runCairn(argv, { local, handlers })).toMatchObject({ status: 2 });
});

it("key sheet prints no words that do not open the home", async () => {
  const key = join(folder, "key");
  await writeFile(key, "wrong");
  const out = join(folder, "sheet");
  const ran = await runCairn(["key", "sheet", "--recovery-key", key, "--out", out], { local, handlers });
  expect(ran.status).toBe(12);
  await expect(stat(out)).rejects.toMatchObject({ code: "ENOENT" });
});
