import { describe, expect, it } from "vitest";
import { HOME_MARKER, HOME_MARKER_NAME } from "../../src/base/home-marker.ts";
import { type BytePath, bytePath, bytePathOf, joinPath } from "../../src/base/paths.ts";
import type { FileOpener, FileTree, OpenFile, Xattr } from "../../src/ports/file-tree.ts";

/** What a test wants to find in the tree; directories come before what is in them. */
export interface PlantedNode {
  readonly path: BytePath;
  readonly type: "file" | "directory" | "symlink" | "fifo" | "hardlink";
  /** Pieces of a file's contents; between them, and up to `size`, nothing was ever written. */
  readonly pieces?: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  readonly size?: number;
  /** Of a symbolic link, or the other name of a hard link. */
  readonly to?: BytePath;
  readonly mode?: number;
  readonly mtimeNs?: bigint;
  readonly xattrs?: readonly Xattr[];
}

export interface TreeUnderTest {
  readonly tree: FileTree;
  readonly opener: FileOpener;
  /** An empty directory. */
  readonly root: BytePath;
  plant(nodes: readonly PlantedNode[]): Promise<void>;
}

/** Every byte that a name can have, in names that are not UTF-8, and the longest that there is. */
export const HARD_NAMES: readonly BytePath[] = [
  ...Array.from({ length: 255 }, (_, i) => i + 1)
    .filter((byte) => byte !== 0x2f && byte !== 0x2e)
    .map((byte) => bytePath(Uint8Array.of(byte))),
  bytePath(Uint8Array.of(0xe9, 0x0a, 0xff)),
  bytePathOf(" leading and trailing "),
  bytePathOf("-rf"),
  bytePathOf("..."),
  bytePathOf("line\nbreak\r\t"),
  bytePathOf("ünïcödé €"),
  bytePath(new Uint8Array(255).fill(0xfe)),
  bytePath(new Uint8Array(255).fill(0x61)),
];

/** The last whole second that ext4 has before 1902, just before 1970, the end of 32 bits, and 2112. */
export const HARD_TIMES: readonly bigint[] = [
  -2_147_483_646_999_999_999n,
  -5_000_000_001n,
  -1n,
  0n,
  1n,
  1_700_000_000_123_456_789n,
  2_147_483_648_999_999_999n,
  4_486_752_000_000_000_007n,
];

export const HARD_XATTRS: readonly Xattr[] = [
  { name: bytePathOf("user.binary"), value: Uint8Array.from({ length: 256 }, (_, i) => i) },
  { name: bytePathOf("user.empty"), value: new Uint8Array(0) },
  { name: bytePathOf("user.large"), value: new Uint8Array(3000).fill(0x7a) },
  { name: bytePath(Uint8Array.of(...Buffer.from("user."), 0xe9, 0x20, 0x0a)), value: Uint8Array.of(0) },
];

const KIB = 1024;

export function describeFileTree(what: string, create: () => Promise<TreeUnderTest>): void {
  describe(`FileTree: ${what}`, () => {
    it("lists hard names in byte order, exactly, without the dots", async () => {
      const { tree, root, plant } = await create();
      await plant(HARD_NAMES.map((name) => ({ path: joinPath(root, name), type: "file" })));
      const names = (await tree.list(root)).map((entry) => entry.name);
      const sorted = [...HARD_NAMES].sort((a, b) =>
        Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1")),
      );
      expect(names).toEqual(sorted);
      for (const name of HARD_NAMES) expect((await tree.lstat(joinPath(root, name))).type).toBe("file");
    });

    it("gives each entry the stat that lstat gives", async () => {
      const { tree, root, plant } = await create();
      await plant([
        { path: at(root, "directory"), type: "directory", mode: 0o1777 },
        { path: at(root, "fifo"), type: "fifo", mode: 0o600 },
        { path: at(root, "program"), type: "file", pieces: text("#!/bin/sh"), mode: 0o4755 },
        { path: at(root, "link"), type: "symlink", to: bytePathOf("nowhere") },
      ]);
      const entries = await tree.list(root);
      expect(entries.map(({ stat }) => stat?.type)).toEqual(["directory", "fifo", "symlink", "file"]);
      for (const { name, stat } of entries) expect(stat).toEqual(await tree.lstat(joinPath(root, name)));
      expect((await tree.lstat(at(root, "program"))).mode).toBe(0o4755);
      expect((await tree.lstat(at(root, "directory"))).mode).toBe(0o1777);
      expect((await tree.lstat(at(root, "program"))).size).toBe(9);
    });

    it("lists an empty directory as empty", async () => {
      const { tree, root, plant } = await create();
      await plant([{ path: at(root, "empty"), type: "directory" }]);
      expect(await tree.list(at(root, "empty"))).toEqual([]);
    });

    it("gives times to the nanosecond, before 1970 and after 2038", async () => {
      const { tree, root, plant } = await create();
      const path = (i: number): BytePath => at(root, `t${i}`);
      await plant(HARD_TIMES.map((mtimeNs, i) => ({ path: path(i), type: "file", mtimeNs })));
      for (const [i, mtimeNs] of HARD_TIMES.entries()) {
        expect((await tree.lstat(path(i))).mtimeNs).toBe(mtimeNs);
      }
    });

    it("shows that two names are one file", async () => {
      const { tree, root, plant } = await create();
      await plant([
        { path: at(root, "a"), type: "file", pieces: text("one") },
        { path: at(root, "b"), type: "hardlink", to: at(root, "a") },
        { path: at(root, "c"), type: "file", pieces: text("one") },
      ]);
      const [a, b, c] = await Promise.all(["a", "b", "c"].map((name) => tree.lstat(at(root, name))));
      expect([a?.inode, a?.device, a?.links]).toEqual([b?.inode, b?.device, 2]);
      expect([c?.inode === a?.inode, c?.links]).toEqual([false, 1]);
    });

    it("follows no symbolic link, and reads where it leads byte by byte", async () => {
      const { tree, opener, root, plant } = await create();
      const odd = bytePath(Uint8Array.of(0x2e, 0x2e, 0x2f, 0xff, 0x0a, 0xe9));
      const long = bytePathOf("x/".repeat(2000));
      await plant([
        { path: at(root, "directory"), type: "directory" },
        { path: at(root, "file"), type: "file", pieces: text("secret") },
        { path: at(root, "to-directory"), type: "symlink", to: bytePathOf("directory") },
        { path: at(root, "to-file"), type: "symlink", to: at(root, "file") },
        { path: at(root, "odd"), type: "symlink", to: odd },
        { path: at(root, "long"), type: "symlink", to: long },
      ]);
      expect((await tree.lstat(at(root, "to-directory"))).type).toBe("symlink");
      expect(await tree.readlink(at(root, "to-file"))).toBe(at(root, "file"));
      expect(await tree.readlink(at(root, "odd"))).toBe(odd);
      expect(await tree.readlink(at(root, "long"))).toBe(long);
      await expect(tree.list(at(root, "to-directory"))).rejects.toMatchObject({ code: "SOURCE_UNREADABLE" });
      await expect(tree.readlink(at(root, "file"))).rejects.toMatchObject({ code: "SOURCE_UNREADABLE" });
      expect(() => opener.open(at(root, "to-file"))).toThrow(
        expect.objectContaining({ code: "SOURCE_UNREADABLE" }),
      );
      expect(await tree.xattrs(at(root, "to-file"))).toEqual([]);
    });

    it("says what is not there and what cannot be read", async () => {
      const { tree, opener, root, plant } = await create();
      await plant([
        { path: at(root, "file"), type: "file" },
        { path: at(root, "fifo"), type: "fifo" },
      ]);
      const missing = expect.objectContaining({ code: "SOURCE_MISSING" });
      for (const path of [at(root, "absent"), at(root, "absent/below")]) {
        await expect(tree.lstat(path)).rejects.toEqual(missing);
        await expect(tree.list(path)).rejects.toEqual(missing);
        await expect(tree.readlink(path)).rejects.toEqual(missing);
        await expect(tree.xattrs(path)).rejects.toEqual(missing);
        expect(() => opener.open(path)).toThrow(missing);
      }
      await expect(tree.list(at(root, "file"))).rejects.toMatchObject({
        code: "SOURCE_UNREADABLE",
        detail: { errno: "ENOTDIR" },
      });
      // Without a writer an ordinary open of a FIFO waits for ever.
      for (const path of [root, at(root, "fifo")]) {
        expect(() => opener.open(path)).toThrow(expect.objectContaining({ code: "SOURCE_UNREADABLE" }));
      }
    });

    it("reads extended attributes sorted by name, empty and binary ones too", async () => {
      const { tree, root, plant } = await create();
      await plant([
        { path: at(root, "file"), type: "file", xattrs: [...HARD_XATTRS].reverse() },
        { path: at(root, "directory"), type: "directory", xattrs: HARD_XATTRS.slice(0, 1) },
        { path: at(root, "plain"), type: "file" },
      ]);
      expect(await tree.xattrs(at(root, "file"))).toEqual(HARD_XATTRS);
      expect(await tree.xattrs(at(root, "directory"))).toEqual(HARD_XATTRS.slice(0, 1));
      expect(await tree.xattrs(at(root, "plain"))).toEqual([]);
    });

    it("reads a file from anywhere, short only at its end", async () => {
      const { opener, root, plant } = await create();
      const bytes = Uint8Array.from({ length: 300 * KIB }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
      await plant([
        { path: at(root, "file"), type: "file", pieces: [{ offset: 0, bytes }] },
        { path: at(root, "empty"), type: "file" },
      ]);
      const file = opener.open(at(root, "file"));
      const into = new Uint8Array(1000);
      expect(file.stat().size).toBe(bytes.length);
      expect(file.read(12_345, into)).toBe(1000);
      expect(into).toEqual(bytes.slice(12_345, 13_345));
      expect(file.read(bytes.length - 10, into)).toBe(10);
      expect(file.read(bytes.length, into)).toBe(0);
      expect(file.read(bytes.length + 5, into)).toBe(0);
      file.close();
      file.close();
      const empty = opener.open(at(root, "empty"));
      expect([empty.read(0, into), empty.nextData(0), empty.nextHole(0)]).toEqual([0, undefined, 0]);
      empty.close();
    });

    it("knows a cairn home by the bytes of its marker", async () => {
      const { tree, root, plant } = await create();
      const marker = (name: string, bytes: Uint8Array): PlantedNode[] => [
        { path: at(root, name), type: "directory" },
        { path: joinPath(at(root, name), HOME_MARKER_NAME), type: "file", pieces: [{ offset: 0, bytes }] },
      ];
      await plant([...marker("home", HOME_MARKER), ...marker("notes", new Uint8Array(HOME_MARKER.length))]);
      expect(await tree.isHome(at(root, "home"))).toBe(true);
      expect(await tree.isHome(at(root, "notes"))).toBe(false);
      expect(await tree.isHome(root)).toBe(false);
    });

    it("tells data from holes", async () => {
      const { opener, root, plant } = await create();
      const piece = new Uint8Array(64 * KIB).fill(1);
      const size = 20 * 2 ** 30 + 5;
      await plant([
        {
          path: at(root, "sparse"),
          type: "file",
          pieces: [
            { offset: 128 * KIB, bytes: piece },
            { offset: 10 * 2 ** 30, bytes: piece },
          ],
          size,
        },
        { path: at(root, "only-hole"), type: "file", size: 1_000_000 },
      ]);
      const sparse = opener.open(at(root, "sparse"));
      expect(sparse.stat().size).toBe(size);
      expect(extents(sparse)).toEqual([
        [128 * KIB, 192 * KIB],
        [10 * 2 ** 30, 10 * 2 ** 30 + 64 * KIB],
      ]);
      expect(sparse.nextHole(0)).toBe(0);
      expect(sparse.nextHole(130 * KIB)).toBe(192 * KIB);
      expect(sparse.nextData(size)).toBeUndefined();
      sparse.close();
      const hole = opener.open(at(root, "only-hole"));
      expect(hole.nextData(0)).toBeUndefined();
      hole.close();
    });
  });
}

/** [begin, end) of everything that is data. */
export function extents(file: OpenFile): [number, number][] {
  const found: [number, number][] = [];
  for (let at = file.nextData(0); at !== undefined; ) {
    const end = file.nextHole(at);
    found.push([at, end]);
    at = file.nextData(end);
  }
  return found;
}

export function at(root: BytePath, name: string): BytePath {
  return joinPath(root, bytePathOf(name));
}

function text(contents: string): { offset: number; bytes: Uint8Array }[] {
  return [{ offset: 0, bytes: Buffer.from(contents) }];
}
