import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { compareTrees } from "../../../demo/compare.ts";
import { scan } from "../../../demo/tree.ts";
import { scratchDirectories } from "../../support/scratch.ts";

const scratch = scratchDirectories();
let root: string;
let target: string;
let copy: string;

const TIME = new Date(1_600_000_000_123);

beforeEach(() => {
  root = join(scratch(), "tree");
  mkdirSync(join(root, "sub"), { recursive: true });
  for (const name of ["a", "b", "sub/c"]) writeFileSync(join(root, name), `content of ${name}`);
  linkSync(join(root, "a"), join(root, "sub/a-too"));
  symlinkSync("a", join(root, "link"));
  target = scratch();
  copy = `${target}${root}`;
  mkdirSync(copy, { recursive: true });
  cpSync(root, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  rmSync(join(copy, "sub/a-too"));
  linkSync(join(copy, "a"), join(copy, "sub/a-too"));
  rmSync(join(copy, "link"));
  symlinkSync("a", join(copy, "link"));
  sameTimes();
});

function sameTimes(): void {
  for (const tree of [root, copy])
    for (const name of ["a", "b", "link", "sub/c", "sub", ""]) {
      const path = join(tree, name);
      if (existsSync(path)) lutimesSync(path, TIME, TIME);
    }
}

async function differences(meanwhile = (): void => {}, omitted: string[] = []): Promise<string[]> {
  const before = await scan([root]);
  meanwhile();
  const compared = await compareTrees({
    roots: [root],
    before,
    target,
    omitted: new Set(omitted.map((name) => join(root, name))),
    owners: true,
  });
  return compared.differences.map((line) => line.slice(root.length + 1)).sort();
}

describe("the demo's comparison", () => {
  it("finds no difference where there is none", async () => {
    expect(await differences()).toEqual([]);
  });

  it.each<[string, () => void, string[]]>([
    ["a byte", () => writeFileSync(join(copy, "b"), "Content of b"), ["b: other bytes"]],
    ["a length", () => appendFileSync(join(copy, "b"), "!"), ["b: 13 bytes instead of 12"]],
    ["a mode", () => chmodSync(join(copy, "b"), 0o600), ["b: mode 100600 instead of 100644"]],
    ["a missing file", () => rmSync(join(copy, "sub/c")), ["sub/c: is missing"]],
    ["a file too many", () => writeFileSync(join(copy, "new"), ""), ["new: was not in the source"]],
    [
      "a link's target",
      () => {
        rmSync(join(copy, "link"));
        symlinkSync("b", join(copy, "link"));
      },
      ["link: points elsewhere"],
    ],
    [
      "two files for one",
      () => {
        rmSync(join(copy, "a"));
        writeFileSync(join(copy, "a"), "content of a");
      },
      [
        "a: is another group of hard links than before",
        "sub/a-too: is another group of hard links than before",
      ],
    ],
    [
      "another type",
      () => {
        rmSync(join(copy, "b"));
        mkdirSync(join(copy, "b"));
      },
      ["b: is a directory, not a file"],
    ],
  ])("finds %s", async (_what, spoil, expected) => {
    spoil();
    sameTimes();
    expect(await differences()).toEqual(expected);
  });

  it("finds another time", async () => {
    lutimesSync(join(copy, "b"), TIME, new Date(TIME.getTime() + 1));
    expect(await differences()).toEqual([expect.stringMatching(/^b: time 16\d+ instead of 16\d+$/)]);
  });

  it("does not judge what changed in the source meanwhile, or was left out", async () => {
    appendFileSync(join(copy, "sub/c"), "spoilt, and left out");
    const found = await differences(() => {
      appendFileSync(join(root, "b"), " and more");
      rmSync(join(root, "sub/a-too"));
      writeFileSync(join(root, "new"), "");
    }, ["sub"]);
    expect(found).toEqual([]);
  });
});
