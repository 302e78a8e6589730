import { expect, it } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import type { FileStat } from "../../../src/ports/index.ts";
import { Fingerprint, isUnchanged } from "../../../src/snapshot/fingerprint.ts";

const STAT: FileStat = {
  type: "file",
  mode: 0o644,
  uid: 1,
  gid: 2,
  size: 3,
  mtimeNs: -4n,
  ctimeNs: 5n,
  device: 6n,
  inode: 7n,
  links: 1,
  major: 0,
  minor: 0,
  blocks: 8,
};

function printOf(...entries: [string, Partial<FileStat>][]): string {
  const print = new Fingerprint();
  for (const [name, changes] of entries) print.entry(bytePathOf(name), { ...STAT, ...changes });
  return toHex(print.digest());
}

it("differs when anything but the blocks does", () => {
  const changes: Partial<FileStat>[] = [
    { type: "fifo" },
    { mode: 0o645 },
    { uid: 2 },
    { gid: 1 },
    { uid: 2, gid: 1 },
    { size: 4 },
    { mtimeNs: 4n },
    { ctimeNs: 6n },
    { inode: 8n },
    { device: 7n },
    { links: 2 },
    { major: 1 },
    { minor: 1 },
  ];
  const prints = [printOf(["a", {}]), ...changes.map((change) => printOf(["a", change])), printOf(["b", {}])];
  expect(new Set(prints).size).toBe(prints.length);
  expect(printOf(["a", { blocks: 9 }])).toBe(printOf(["a", {}]));
});

it("tells lists of entries apart, whatever their names run together to", () => {
  const lists = [
    printOf(["a", {}], ["b", {}]),
    printOf(["b", {}], ["a", {}]),
    printOf(["ab", {}]),
    printOf(),
  ];
  expect(new Set(lists).size).toBe(lists.length);
});

it("a file is unchanged when size, times, inode and type are", () => {
  expect(isUnchanged(STAT, { ...STAT, links: 2, mode: 0 })).toBe(true);
  for (const change of [
    { size: 4 },
    { mtimeNs: 1n },
    { ctimeNs: 1n },
    { inode: 1n },
    { type: "fifo" as const },
  ])
    expect(isUnchanged(STAT, { ...STAT, ...change })).toBe(false);
});
