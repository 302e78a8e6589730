import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { combine, split } from "shamir-secret-sharing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { combineKey } from "../../../src/cli/runtime-key-copies.ts";
import { deriveRecoveryKeys, recoveryWords } from "../../../src/crypto/recovery-key.ts";
import { parseShares, shareHintOf, shareWords } from "../../../src/crypto/recovery-share.ts";
import { runCairn } from "../../support/fake-world.ts";

const entropy = Uint8Array.from({ length: 32 }, (_, i) => 200 - i);
const hint = shareHintOf(deriveRecoveryKeys(entropy).identity.publicKey);
const set = new Uint8Array(6).fill(1);

async function sharesOf(threshold: number, shares: number): Promise<string[]> {
  const pieces = await split(entropy, shares, threshold);
  return pieces.map((piece, i) => {
    const x = must(piece.at(-1), "place");
    return shareWords({ threshold, shares, number: i + 1, set, hint, x, y: piece.slice(0, -1) }).join(" ");
  });
}

function* subsetsOf<T>(all: readonly T[]): Generator<T[]> {
  for (let mask = 1; mask < 2 ** all.length; mask++) yield all.filter((_, i) => (mask >> i) % 2 === 1);
}

describe("a recovery key that was split", () => {
  it.each([
    [2, 2],
    [2, 3],
    [3, 5],
    [4, 6],
    [5, 5],
  ])("%i of %i: every set of so many gives it back, no smaller one does", async (threshold, shares) => {
    const all = await sharesOf(threshold, shares);
    for (const some of subsetsOf(all)) {
      if (some.length >= threshold) {
        expect((await combineKey(some)).join(" ")).toBe(recoveryWords(entropy));
        continue;
      }
      await expect(combineKey(some)).rejects.toMatchObject({ code: "WRONG_KEY" });
      if (some.length < 2) continue;
      // Nor does the mathematics without our checks.
      const pieces = some.flatMap(parseShares).map(({ x, y }) => Uint8Array.from([...y, x]));
      expect(await combine(pieces)).not.toEqual(entropy);
    }
  });

  it("is never another key: a share that was altered, checksum and all, is found out", async () => {
    const [first = "", second = ""] = await sharesOf(2, 2);
    const share = must(parseShares(second)[0], "share");
    const altered = shareWords({ ...share, y: share.y.with(5, (share.y[5] ?? 0) ^ 1) }).join(" ");
    await expect(combineKey([first, altered])).rejects.toThrow("one of them was altered");
  });
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-key-copies-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const identity = { swarmId: "ab".repeat(32), ownerId: "cd".repeat(32), peerId: "12D3", name: "till" };
const WORDS = Array.from({ length: 24 }, () => "zoo");
const base = { identityOfHome: async () => identity };
const handlers = { peers: async () => ({ peers: [] }) };

describe("cairn key split", () => {
  const pieces = (n: number) => Array.from({ length: n }, (_, i) => Array(40).fill(`word${"abcdef"[i]}`));
  const local = {
    ...base,
    splitKey: async ({ shares }: { shares: number }) => ({
      ...identity,
      id: "0102030405ff",
      recoveryId: "ef".repeat(32),
      shares: pieces(shares),
    }),
  };

  it("writes a file for each share, for this user alone, with its number and nothing of the others", async () => {
    const out = join(folder, "share");
    const ran = await runCairn(["key", "split", "--shares", "2-of-3", "--out", out], {
      local,
      handlers,
      stdin: "w",
    });
    expect(ran).toMatchObject({ status: 0 });
    for (const number of [1, 2, 3]) {
      expect((await stat(`${out}-${number}`)).mode & 0o777).toBe(0o600);
      const page = await readFile(`${out}-${number}`, "utf8");
      expect(page).toContain(`Share ${number} of 3; any 2 make the recovery key`);
      const words = page.replace(/^#.*$/gm, "").match(/word./g);
      expect(words).toEqual(Array(40).fill(`word${"abc"[number - 1]}`));
    }
  });

  it("refuses what is no split, and files that are there, before it asks for the key", async () => {
    for (const wrong of ["1-of-3", "4-of-3", "3", "2-of-17", "two-of-3"])
      expect(await runCairn(["key", "split", "--shares", wrong], { local })).toMatchObject({ status: 2 });
    await writeFile(join(folder, "share-2"), "mine");
    const args = ["key", "split", "--shares", "2-of-3", "--out", join(folder, "share")];
    expect(await runCairn(args, { local })).toMatchObject({ status: 2 });
    await expect(stat(join(folder, "share-1"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("cairn key combine", () => {
  it("gives the words back from files or standard input, and says why it does not", async () => {
    const all = await sharesOf(2, 3);
    const files = await Promise.all(
      all.map(async (text, i) => {
        const file = join(folder, `s${i}`);
        await writeFile(file, `# Share ${i + 1} of 3\n${text}\n`);
        return file;
      }),
    );
    const local = { combineKey };
    const args = ["key", "combine", "--json", "--shares", files[0] ?? "", "--shares", files[2] ?? ""];
    expect(JSON.parse((await runCairn(args, { local })).stdout)).toEqual({
      words: recoveryWords(entropy).split(" "),
    });
    const typed = await runCairn(["key", "combine"], { local, stdin: `${all[1]}\n\n${all[2]}\n` });
    expect(typed.status).toBe(0);
    const few = await runCairn(["key", "combine", "--shares", files[0] ?? ""], { local });
    expect(few.status).toBe(12);
    expect(few.stderr).toContain("it takes 2 different ones of the 3, and here is only number 1");
  });
});

describe("cairn key add-passphrase and list", () => {
  it("writes a file that says what it is and leaves none behind when it fails", async () => {
    const passphrase = join(folder, "passphrase");
    await writeFile(passphrase, "correct horse\n");
    const out = join(folder, "sealed");
    const args = ["key", "add-passphrase", "--out", out, "--passphrase-file", passphrase, "--label", "safe"];
    const wrong = { ...base, sealKey: async () => Promise.reject(new Error("no")) };
    await runCairn(args, { local: wrong, stdin: WORDS.join(" ") }).catch(() => undefined);
    await expect(stat(out)).rejects.toMatchObject({ code: "ENOENT" });
    const asked: unknown[] = [];
    const local = {
      ...base,
      sealKey: async (options: unknown) => {
        asked.push(options);
        return { ...identity, id: "0102030405ff", recoveryId: "ef".repeat(32), sealed: "cairn-recovery1-x" };
      },
    };
    const ran = await runCairn([...args, "--json"], { local, stdin: WORDS.join(" ") });
    expect(ran.status).toBe(0);
    expect(asked).toMatchObject([{ passphrase: "correct horse", label: "safe" }]);
    expect(ran.stdout).not.toContain("cairn-recovery1-x");
    expect(await readFile(out, "utf8")).toMatch(/^# cairn: .*\n(#.*\n)+cairn-recovery1-x\n$/);
  });

  it("lists what opens the repository and what does not any more", async () => {
    const copy = { time: "2026-11-01T00:00:00.000Z", recoveryId: "ef".repeat(32) };
    const keys = {
      ...identity,
      recovery: { recoveryId: "ef".repeat(32), since: "2026-10-01T00:00:00.000Z" },
      passphrases: [{ ...copy, id: "aaaaaaaaaaaa", label: "safe\u001b[2J", inForce: true }],
      splits: [{ ...copy, id: "bbbbbbbbbbbb", inForce: false, threshold: 3, shares: 5 }],
    };
    const local = { keysOfHome: async () => keys };
    const shown = (await runCairn(["key", "list"], { local })).stdout;
    expect(shown).toMatch(/shares +bbbbbbbbbbbb .*any 3 of 5 +opens nothing: the key was replaced/);
    expect(shown).not.toContain("\u001b");
    expect(JSON.parse((await runCairn(["key", "list", "--json"], { local })).stdout)).toEqual(keys);
  });
});

describe("cairn recover", () => {
  it("takes the recovery key in exactly one way", async () => {
    const given: unknown[] = [];
    const local = {
      combineKey,
      unsealKey: async () => WORDS,
      recoverHome: async ({ words }: { words: readonly string[] }) => {
        given.push(words);
        throw new Error("enough");
      },
    };
    const run = (...args: string[]) =>
      runCairn(["recover", "--peer", "h:1", ...args], { local }).catch(() => undefined);
    expect(await run()).toMatchObject({ status: 2 });
    expect(await run("--recovery-key", "a", "--shares", "b")).toMatchObject({ status: 2 });
    expect(await run("--recovery-key", "a", "--passphrase-file", "b")).toMatchObject({ status: 2 });
    const [passphrase, sealed, shares] = ["p", "s", "x"].map((name) => join(folder, name));
    await writeFile(must(passphrase, "p"), "pass\n");
    await writeFile(must(sealed, "s"), "sealed");
    await writeFile(must(shares, "x"), (await sharesOf(2, 3)).slice(1).join("\n"));
    await run("--sealed-key", must(sealed, "s"), "--passphrase-file", must(passphrase, "p"));
    await run("--shares", must(shares, "x"));
    expect(given).toEqual([WORDS, recoveryWords(entropy).split(" ")]);
  });
});
