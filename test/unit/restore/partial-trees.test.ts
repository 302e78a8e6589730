import { expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import { incarnationOf, ownerIdOf } from "../../../src/base/ids.ts";
import { type BytePath, bytePathOf } from "../../../src/base/paths.ts";
import type { ChunkPlace, TreeEntry } from "../../../src/catalog/index.ts";
import { PartialTrees } from "../../../src/restore/partial-trees.ts";

const TOP = bytePathOf("/top");
const page = (number: number): Uint8Array => Uint8Array.of(number);

function entry(number: number): TreeEntry {
  return {
    name: `file-${number}` as BytePath,
    type: "fifo",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    ctimeNs: 0n,
    inode: 1n,
    size: 0,
    xattrs: [],
  };
}

/** Each page lies in the segment of its tens and names one file; `lost` segments cannot be read. */
function world(lost: Set<number>, cached = new Set<number>()) {
  const asked: number[] = [];
  const place = (number: number): ChunkPlace => ({
    incarnation: 0,
    number: Math.floor(number / 10),
    frame: 0,
    offset: 0,
    sealedBytes: 1,
    rawBytes: 1,
    compressed: false,
  });
  const shortage = (number: number) => {
    const segment = {
      owner: ownerIdOf(new Uint8Array(32)),
      incarnation: incarnationOf(new Uint8Array(16)),
      number,
    };
    return new Fault({ code: "TOO_FEW_SHARDS", shortages: [{ segment, have: 1, need: 2, holders: [] }] });
  };
  const trees = {
    placeOfMissing: ([number]: Uint8Array) => {
      const known = must(number, "page");
      return cached.has(known) ? undefined : place(known);
    },
    entries: async (pages: readonly Uint8Array[]) => {
      const numbers = pages.map(([number]) => must(number, "page"));
      asked.push(...numbers);
      const missing = numbers.find((number) => !cached.has(number) && lost.has(place(number).number));
      if (missing !== undefined) throw shortage(place(missing).number);
      return numbers.map(entry);
    },
  };
  return { partial: new PartialTrees({ trees }), asked };
}

const names = (entries: readonly TreeEntry[]) => entries.map(({ name }) => name);

it("reads a directory as far as its pages can be had, and asks for a lost segment once", async () => {
  const { partial, asked } = world(new Set([2]));
  const pages = [11, 21, 22, 31].map(page);
  expect(names(await partial.read(TOP, pages, undefined))).toEqual(["file-11", "file-31"]);
  expect([...partial.losses.keys()]).toEqual([TOP]);
  expect(asked.filter((number) => number === 22)).toHaveLength(1);
  asked.length = 0;
  expect(names(await partial.read(TOP, pages, undefined))).toEqual(["file-11", "file-31"]);
  expect(asked).toEqual([11, 31]);
});

it("uses the pages of a lost segment that this machine has", async () => {
  const { partial } = world(new Set([2]), new Set([22]));
  expect(names(await partial.read(TOP, [21, 22].map(page), undefined))).toEqual(["file-22"]);
});

it("what does not come from a loss ends the restore", async () => {
  const { partial } = world(new Set());
  const broken = new PartialTrees({
    trees: {
      placeOfMissing: () => undefined,
      entries: async () => {
        throw new Fault({ code: "INTERRUPTED" });
      },
    },
  });
  await expect(broken.read(TOP, [page(11)], undefined)).rejects.toMatchObject({ code: "INTERRUPTED" });
  expect(await partial.read(TOP, [page(11)], undefined)).toHaveLength(1);
  expect(partial.losses.size).toBe(0);
});
