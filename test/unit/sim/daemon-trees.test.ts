import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { changeFiles, contentsOf, differenceOf } from "../../../sim/daemons/tree.ts";
import { survivalOf } from "../../../sim/daemons/truth.ts";
import { must } from "../../../src/base/assert.ts";
import { parseIncarnation, parseOwnerId } from "../../../src/base/ids.ts";
import { scratchDirectories } from "../../support/scratch.ts";

const scratch = scratchDirectories();

it("the same changes of the same files make the same files, and others make others", () => {
  const [a, b] = [scratch(), scratch()];
  for (const seed of ["1", "2", "3"]) for (const directory of [a, b]) changeFiles(directory, seed);
  expect(contentsOf(a).size).toBeGreaterThan(0);
  expect(differenceOf(contentsOf(a), contentsOf(b))).toBeUndefined();
  changeFiles(b, "4");
  expect(differenceOf(contentsOf(a), contentsOf(b))).toBeDefined();
});

it("a byte, a missing file and one too many are each seen", () => {
  const directory = scratch();
  for (const seed of ["1", "2", "3"]) changeFiles(directory, seed);
  const before = contentsOf(directory);
  const path = must([...before.keys()][0], "a file");
  writeFileSync(join(directory, path), "other");
  expect(differenceOf(before, contentsOf(directory))).toBe(`${path} is not as it was`);
  rmSync(join(directory, path));
  expect(differenceOf(before, contentsOf(directory))).toBe(`${path} is missing`);
  const less = contentsOf(directory);
  writeFileSync(join(directory, path), "again");
  expect(differenceOf(less, contentsOf(directory))).toBe(`${before.size} files instead of ${less.size}`);
});

it("what a segment survives is counted over sites and over nodes, choice by choice", () => {
  const id = {
    owner: must(parseOwnerId("11".repeat(32)), "owner"),
    incarnation: must(parseIncarnation("22".repeat(16)), "incarnation"),
    number: 0,
  };
  const at = (index: number, peer: string, site: string) => ({ index, peer, site });
  const copies = [at(0, "p", "a"), at(1, "q", "a"), at(2, "r", "b"), at(3, "s", "c")];
  expect(survivalOf({ id, k: 2, copies })).toEqual({ sites: 1, nodes: 2 });
  // A copy of the same shard at another node is worth nothing beside it.
  expect(survivalOf({ id, k: 2, copies: [at(0, "p", "a"), at(0, "q", "b"), at(1, "r", "c")] })).toEqual({
    sites: 0,
    nodes: 0,
  });
  expect(survivalOf({ id, k: undefined, copies: [] })).toEqual({ sites: 0, nodes: 0 });
});
