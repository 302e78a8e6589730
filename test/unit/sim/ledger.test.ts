import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { planOf } from "../../../sim/full/generate.ts";
import { foldRecords, recordRun } from "../../../sim/full/ledger.ts";
import { scratchDirectories } from "../../support/scratch.ts";

const scratch = scratchDirectories();

function record(file: string, commit: string, seed: string, failed = false): void {
  const run = {
    plan: planOf(seed),
    violations: failed ? [{ oracle: "identical", message: "it is not", atMs: 0 }] : [],
    ...{ hash: "", checkpoints: [], events: 100, virtualMs: 3_600_000, lines: [] },
    labels: new Map([
      ["fault crash", 2],
      ["snapshot safe", 1],
    ]),
  };
  recordRun(file, commit, run, 1800);
}

test("a seed counts once for a commit, whatever record it comes from, and again for another one", () => {
  const folder = scratch();
  const [one, other] = [join(folder, "one"), join(folder, "other")];
  for (const seed of ["7", "9", "8", "7", "a word"]) record(one, "aaa", seed);
  record(other, "aaa", "8");
  record(other, "bbb", "8", true);
  record(other, "ccc with changes", "8");
  const [ledger, page] = [join(folder, "ledger.json"), join(folder, "ledger.md")];
  expect(foldRecords([one, other], ledger, page)).toBe(5);
  expect(foldRecords([other], ledger, page)).toBe(0);
  const text = readFileSync(page, "utf8");
  expect(text).toContain("In all: 5 seeds, 1 of them broke a rule");
  expect(text).toContain("| aaa | 4 | none | 0.00 | 400 |");
  expect(text).toContain("| bbb | 1 | 8 |");
  expect(text).toContain("| fault crash | 10 |");
  expect(text).not.toContain("ccc");
});

test("a ledger that somebody wrote by hand is not added to", () => {
  const folder = scratch();
  const ledger = join(folder, "ledger.json");
  writeFileSync(ledger, JSON.stringify({ v: 1, seeds: 100_000 }));
  expect(() => foldRecords([], ledger, join(folder, "page.md"))).toThrow();
});
