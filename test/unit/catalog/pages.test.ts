import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareBytes, toHex, u32be } from "../../../src/base/bytes.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import { KIB, MIB } from "../../../src/base/units.ts";
import {
  decodeIndexPage,
  decodePieces,
  decodeTree,
  encodeIndexPage,
  encodePieces,
  pageSizesFor,
  pagesOfTree,
  SegmentSet,
  type TreeEntry,
} from "../../../src/catalog/index.ts";
import { sha256 } from "../../../src/crypto/hash.ts";

const SMALL = pageSizesFor(16 * KIB);
const idOf = (seed: number): Uint8Array => new Uint8Array(sha256(u32be(seed)));

function file(name: string, changes: Partial<TreeEntry> = {}): TreeEntry {
  return {
    name: bytePathOf(name),
    type: "file",
    mode: 0o644,
    uid: 1,
    gid: 2,
    mtimeNs: -1_500_000_001n,
    ctimeNs: 1_700_000_000_123_456_789n,
    inode: 2n ** 63n + 5n,
    xattrs: [],
    size: 3,
    content: { kind: "pieces", pieces: [{ kind: "chunk", id: idOf(name.length), rawBytes: 3 }] },
    ...changes,
  };
}

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `entry-${String(i).padStart(6, "0")}`);

describe("trees", () => {
  it("come back as they were, with everything an entry can have", () => {
    const entries: TreeEntry[] = [
      file("a", { device: 2n ** 40n, changed: true }),
      file("b", { content: { kind: "pages", pages: [idOf(0), idOf(1)] }, size: 2 ** 45 }),
      file("c", { content: { kind: "pieces", pieces: [{ kind: "hole", bytes: 2 ** 40 }] } }),
      special("d", { type: "symlink", target: bytePathOf("../\u00e9") }),
      special("e", { type: "block-device", major: 8, minor: 1 }),
      file("f", { xattrs: [{ name: bytePathOf("user.x"), value: new Uint8Array(0) }] }),
    ];
    const pages = pagesOfTree(entries, SMALL);
    expect(pages.flatMap(decodeTree)).toEqual(entries);
  });

  it("an empty directory has one page", () => {
    expect(pagesOfTree([], SMALL).map(decodeTree)).toEqual([[]]);
  });

  it("one entry more in a huge directory changes a few pages only", () => {
    const before = names(5000).map((name) => file(name));
    const after = [...before, file("entry-002500x")].sort((a, b) => (a.name < b.name ? -1 : 1));
    const old = new Set(pagesOfTree(before, SMALL).map((page) => toHex(sha256(page))));
    const now = pagesOfTree(after, SMALL);
    expect(now.length).toBeGreaterThan(100);
    expect(now.filter((page) => !old.has(toHex(sha256(page)))).length).toBeLessThan(25);
    for (const page of now) expect(page.length).toBeLessThan(16 * KIB);
  });

  it.each<[string, (i: number) => string]>([
    ["numbered", (i) => `IMG_${String(i).padStart(6, "0")}.JPG`],
    ["in steps of a power of two", (i) => `f${(i * 256).toString(16).padStart(8, "0")}`],
    ["of a mail directory", (i) => `${1_700_000_000 + i * 37}.M${i}P${1000 + (i % 7)}.host,S=${i % 100}:2,S`],
  ])(
    "a hundred thousand entries with names %s: pages of the format's size, one new name changes two",
    (_, nameOf) => {
      const full = pageSizesFor(4 * MIB);
      const before = Array.from({ length: 100_000 }, (__, i) => file(nameOf(i)));
      const pages = pagesOfTree(before, full);
      for (const page of pages.slice(0, -1)) {
        expect(page.length).toBeGreaterThan(full.treeBytesMin / 4);
        expect(page.length).toBeLessThan(full.treeBytesMax);
      }
      // 64 KiB of entries, and 256 more until a name ends the page: about a hundred pages, not a thousand or ten.
      expect(pages.length).toBeGreaterThan(60);
      expect(pages.length).toBeLessThan(300);
      const old = new Set(pages.map((page) => toHex(sha256(page))));
      for (const at of [1, 33_333, 99_999]) {
        const after = before.toSpliced(at, 0, file(`${nameOf(at - 1)}~`));
        const changed = pagesOfTree(after, full).filter((page) => !old.has(toHex(sha256(page))));
        expect(changed.length).toBeLessThanOrEqual(2);
      }
    },
  );

  it("names out of order, twice, or no names at all are refused", () => {
    expect(() => pagesOfTree([file("b"), file("a")], SMALL)).toThrow();
    const page = pagesOfTree([file("a"), file("b")], SMALL)[0] ?? new Uint8Array(0);
    const swapped = page.slice();
    swapped[swapped.lastIndexOf("b".charCodeAt(0))] = "a".charCodeAt(0);
    expect(() => decodeTree(swapped)).toThrow("not in order");
    for (const name of ["..", ".", "a/b"]) expect(() => decodeTree(treeWith(name))).toThrow();
  });

  function treeWith(name: string): Uint8Array {
    return pagesOfTree([file(name)], SMALL)[0] ?? new Uint8Array(0);
  }
});

function special(name: string, changes: Partial<TreeEntry>): TreeEntry {
  const { content: _, ...rest } = file(name);
  return { ...rest, ...changes };
}

it("content pages come back as they were", () => {
  const pieces = [
    { kind: "chunk" as const, id: idOf(0), rawBytes: 17 },
    { kind: "hole" as const, bytes: 2 ** 33 },
  ];
  expect(decodePieces(encodePieces(pieces))).toEqual(pieces);
});

it("index pages come back as they were, and a damaged one is refused", () => {
  const entries = Array.from({ length: 200 }, (_, i) => ({
    id: idOf(i),
    place: {
      incarnation: i % 3,
      number: 2 ** 40 + i,
      frame: i + 1,
      offset: i * 100,
      sealedBytes: 100,
      rawBytes: 4_000_000,
      compressed: i % 2 === 0,
    },
  })).sort((a, b) => compareBytes(a.id, b.id));
  const page = encodeIndexPage(entries);
  expect(decodeIndexPage(page)).toEqual(entries);
  expect(() => decodeIndexPage(page.subarray(0, -1))).toThrow();
  expect(() => decodeIndexPage(encodeIndexPage([...entries].reverse()))).toThrow("not in order");
});

it("page sizes are those of the format at its own chunk size", () => {
  expect(pageSizesFor(4 * MIB)).toEqual({
    treeBytesMin: 64 * KIB,
    treeBytesMax: 768 * KIB,
    treeBoundaryOneIn: 256,
    indexEntries: 1024,
    contentPieces: 4096,
    snapshots: 256,
  });
});

it("sets of segments come back from ranges", () => {
  const refs = fc.array(
    fc.record({ incarnation: fc.integer({ min: 0, max: 3 }), number: fc.integer({ min: 0, max: 200 }) }),
  );
  fc.assert(
    fc.property(refs, (list) => {
      const set = new SegmentSet();
      set.addAll(list);
      const again = SegmentSet.fromRanges(set.toRanges());
      expect(again.size).toBe(set.size);
      for (const ref of list) expect(again.has(ref)).toBe(true);
      for (const [, ranges] of set.toRanges()) {
        for (let i = 1; i < ranges.length; i++) {
          const [before, after] = [ranges[i - 1], ranges[i]];
          expect((before?.[0] ?? 0) + (before?.[1] ?? 0)).toBeLessThan(after?.[0] ?? 0);
        }
      }
    }),
  );
});
