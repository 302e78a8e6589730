import { createHash } from "node:crypto";
import { decode } from "cborg";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { type BytePath, bytePath, bytePathOf } from "../../src/base/paths.ts";
import {
  type ContentPiece,
  catalogRootCodec,
  decodeIndexPage,
  decodePieces,
  decodeTree,
  encodeIndexPage,
  encodePieces,
  encodeTree,
  type IndexEntry,
  indexRunCodec,
  manifestCodec,
  SegmentSet,
  snapshotPageCodec,
  type TreeEntry,
} from "../../src/catalog/index.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const id = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const path = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const locatorOf = (byte: number, segment: number) => ({
  id: id(byte),
  incarnation: 1,
  class: 4,
  segment,
  frame: 2,
  offset: 4321,
  sealedBytes: 900,
  rawBytes: 2000,
  compressed: true,
});

const plain = {
  mode: 0o644,
  uid: 1000,
  gid: 100,
  mtimeNs: 1_800_000_000_123_456_789n,
  ctimeNs: 1_800_000_000_223_456_789n,
  inode: 4711n,
  size: 0,
  xattrs: [],
};
const pieces: ContentPiece[] = [
  { kind: "chunk", id: id(1), rawBytes: 300_000 },
  { kind: "hole", bytes: 2 ** 40 },
  { kind: "chunk", id: id(2), rawBytes: 5 },
];
const tree: TreeEntry[] = [
  { ...plain, name: bytePathOf("a dir"), type: "directory", mode: 0o1777, tree: [id(3), id(4)] },
  { ...plain, name: bytePathOf("block"), type: "block-device", major: 8, minor: 1 },
  { ...plain, name: bytePathOf("character"), type: "character-device", major: 1, minor: 3 },
  { ...plain, name: bytePathOf("empty"), type: "file", mtimeNs: -1n, content: { kind: "pieces", pieces: [] } },
  { ...plain, name: bytePathOf("fifo"), type: "fifo", mode: 0o600 },
  {
    ...plain,
    name: bytePathOf("file"),
    type: "file",
    mode: 0o4755,
    size: 300_005 + 2 ** 40,
    inode: 2n ** 63n + 1n,
    device: 66_306n,
    xattrs: [
      { name: bytePathOf("system.posix_acl_access"), value: Uint8Array.of(2, 0, 0, 0) },
      { name: bytePathOf("user.comment"), value: path("hello") },
    ],
    content: { kind: "pieces", pieces },
    changed: true,
  },
  {
    ...plain,
    name: bytePathOf("huge"),
    type: "file",
    size: 2 ** 45,
    content: { kind: "pages", pages: [id(5), id(6)] },
  },
  { ...plain, name: bytePathOf("link"), type: "symlink", mode: 0o777, target: bytePathOf("../else/where") },
  // Latin-1, no UTF-8: names are bytes.
  { ...plain, name: bytePath(Uint8Array.of(0xe9, 0x74, 0xe9)), type: "file", content: { kind: "pieces", pieces: [] } },
];

const entries: IndexEntry[] = [1, 2, 0xfe].map((byte, i) => ({
  id: id(byte),
  place: {
    incarnation: i === 2 ? 1 : 0,
    number: i === 1 ? 0x0102030405 : 7,
    frame: i + 1,
    offset: 100 + 1000 * i,
    sealedBytes: 1000,
    rawBytes: 4096 * (i + 1),
    compressed: i !== 0,
  },
}));

const needs = new SegmentSet();
for (const number of [4, 3, 9, 5]) needs.add({ incarnation: 1, number });
needs.add({ incarnation: 0, number: 0x0102030405 });

const manifest = manifestCodec.encode({
  v: 1,
  sequence: 7,
  timeMs: AT_MS,
  host: "store7",
  program: "cairn 0.1.0",
  paths: [path("/etc"), Uint8Array.of(0x2f, 0xe9)],
  tags: ["nightly"],
  excludes: [path("*.tmp")],
  root: [id(7)],
  files: 8,
  directories: 2,
  bytes: 123_456,
  unreadable: 1,
  changed: 1,
  partial: false,
  users: [[0, "root"], [1000, "ada"]],
  groups: [[100, "users"]],
  needs: needs.toRanges(),
});

const encodings: Record<string, Uint8Array> = {
  treePage: encodeTree(tree),
  emptyTreePage: encodeTree([]),
  contentPage: encodePieces(pieces),
  indexPage: encodeIndexPage(entries),
  indexRun: indexRunCodec.encode({
    v: 1,
    pages: [[id(1).slice(0, 8), locatorOf(0x51, 8)]],
    entries: 3,
    segments: [[0, [[7, 0], [0x0102030405, 1]]], [1, [[7, 4]]]],
  }),
  manifest,
  manifestHash: sha256(manifest),
  snapshotPage: snapshotPageCodec.encode({
    v: 1,
    snapshots: [
      {
        id: sha256(manifest),
        sequence: 7,
        timeMs: AT_MS,
        host: "store7",
        paths: [path("/etc"), Uint8Array.of(0x2f, 0xe9)],
        tags: ["nightly"],
        files: 8,
        directories: 2,
        bytes: 123_456,
        partial: false,
        manifest: locatorOf(0x52, 9),
      },
    ],
  }),
  catalogRoot: catalogRootCodec.encode({ v: 1, runs: [locatorOf(0x53, 8)], snapshots: [locatorOf(0x54, 9)] }),
};

describe("the repository's structures, version 1", () => {
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  const pinned = goldenJson("v1/catalog/encodings.json", hex);

  it("are the pinned bytes", () => {
    expect(hex).toEqual(pinned);
  });

  it("can be read back", () => {
    expect(decodeTree(must(encodings["treePage"], "tree"))).toEqual(tree);
    expect(decodeTree(must(encodings["emptyTreePage"], "tree"))).toEqual([]);
    expect(decodePieces(must(encodings["contentPage"], "content"))).toEqual(pieces);
    expect(decodeIndexPage(must(encodings["indexPage"], "index"))).toEqual(entries);
    expect(manifestCodec.decode(manifest).needs).toEqual([[0, [[0x0102030405, 1]]], [1, [[3, 3], [9, 1]]]]);
  });

  it.each([
    ["names out of order", [must(tree[1], "entry"), must(tree[0], "entry")]],
    ["a name twice", [must(tree[1], "entry"), must(tree[1], "entry")]],
    ["..", [{ ...must(tree[4], "entry"), name: ".." as BytePath }]],
    ["a name with a slash", [{ ...must(tree[4], "entry"), name: "a/b" as BytePath }]],
  ])("a tree with %s is refused", (_, list) => {
    expect(() => decodeTree(encodeTree(list))).toThrow(/Malformed tree/);
  });

  it("an index page out of order, cut off or of another version is refused", () => {
    const page = must(encodings["indexPage"], "index page");
    expect(() => decodeIndexPage(encodeIndexPage([...entries].reverse()))).toThrow(/not in order/);
    expect(() => decodeIndexPage(page.subarray(0, -1))).toThrow(/Malformed/);
    expect(() => decodeIndexPage(Uint8Array.of(2, ...page.subarray(1)))).toThrow(/format version 2/);
    expect(() => decodeTree(Buffer.from("820280", "hex"))).toThrow(/format version 2/);
  });
});

// A reader written from docs/format alone, on a CBOR decoder only.
describe("the repository as documented", () => {
  const read = (name: string): Buffer => Buffer.from(must(encodings[name], name));

  it("lists a directory", () => {
    const [version, list] = decode(read("treePage"));
    expect(version).toBe(1);
    const names = list.map(([name]: [Uint8Array]) => Buffer.from(name));
    expect([...names].sort(Buffer.compare)).toEqual(names);
    const byName = new Map<string, unknown[]>(list.map((entry: [Uint8Array]) => [Buffer.from(entry[0]).toString("latin1"), entry]));
    const file = must(byName.get("file"), "entry of a file");
    const [, type, mode, uid, gid, mtimeNs, , inode, size] = file;
    const extra = file[9] as Record<string, unknown[]>;
    expect([type, mode, uid, gid, inode, size]).toEqual([0, 0o4755, 1000, 100, 2n ** 63n + 1n, 300_005 + 2 ** 40]);
    expect(BigInt(mtimeNs as number)).toBe(1_800_000_000_123_456_789n);
    const lengths = must(extra["c"], "pieces").map((piece: unknown) => (Array.isArray(piece) ? piece[1] : piece));
    expect(lengths).toEqual([300_000, 2 ** 40, 5]);
    expect([extra["d"], extra["!"]]).toEqual([66_306, true]);
    const types = ["a dir", "block", "character", "empty", "fifo", "link"].map((name) => byName.get(name)?.[1]);
    expect(types).toEqual([1, 4, 5, 0, 3, 2]);
    expect(byName.get("block")?.[9]).toEqual({ r: [8, 1] });
    expect(byName.get("empty")?.slice(5)).toEqual([-1, expect.anything(), 4711, 0, { c: [] }]);
    expect(byName.get("\xe9t\xe9")).toBeDefined();
  });

  it("finds a chunk by fences and reads its place", () => {
    const { pages, entries: count, segments } = decode(read("indexRun"));
    const wanted = Buffer.from(id(2));
    const page = pages.findLast(([fence]: [Uint8Array]) => Buffer.compare(fence, wanted.subarray(0, 8)) <= 0);
    expect(page[1].segment).toBe(8);
    const bytes = read("indexPage");
    expect([bytes[0], (bytes.length - 1) / 61]).toEqual([1, count]);
    const entry = bytes.subarray(1 + 61, 1 + 2 * 61);
    expect(entry.subarray(0, 32)).toEqual(wanted);
    const fields = [32, 44, 48, 52, 56].map((at) => entry.readUInt32BE(at));
    expect(fields).toEqual([0, 2, 1100, 1000, 8192]);
    expect([entry.readBigUInt64BE(36), entry[60]]).toEqual([0x0102030405n, 1]);
    expect(segments[0]).toEqual([0, [[7, 0], [0x0102030405, 1]]]);
  });

  it("goes from the root to a manifest", () => {
    const root = decode(read("catalogRoot"));
    expect([root.v, root.runs.length, root.snapshots[0].segment]).toEqual([1, 1, 9]);
    const { snapshots } = decode(read("snapshotPage"));
    const manifestId = createHash("sha256").update(read("manifest")).digest();
    expect(Buffer.from(snapshots[0].id)).toEqual(manifestId);
    const { needs: ranges, root: pages } = decode(read("manifest"));
    expect(ranges).toEqual([[0, [[0x0102030405, 1]]], [1, [[3, 3], [9, 1]]]]);
    expect(Buffer.from(pages[0])).toEqual(Buffer.from(id(7)));
  });
});
