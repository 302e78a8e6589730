import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { type BytePath, bytePath, bytePathOf, joinPath } from "../../src/base/paths.ts";
import type { FileMetadata, FileTarget } from "../../src/ports/file-tree.ts";
import { extents, HARD_NAMES, HARD_TIMES, HARD_XATTRS } from "./file-tree.ts";

export interface TargetUnderTest {
  readonly target: FileTarget;
  /** Who the test runs as: what it may give a file to without being root. */
  readonly uid: number;
  readonly gid: number;
}

const p = bytePathOf;
const bytesOf = utf8;
const CONTENTS = bytesOf("contents");

const code = (value: string, errno?: string): object =>
  errno === undefined ? { code: value } : { code: value, detail: { errno } };

export function describeFileTarget(what: string, create: () => Promise<TargetUnderTest>): void {
  const setUp = async (): Promise<{ target: FileTarget; metadata: FileMetadata }> => {
    const { target, uid, gid } = await create();
    return { target, metadata: { mode: 0o644, uid, gid, mtimeNs: 1_700_000_000_123_456_789n, xattrs: [] } };
  };

  describe(`FileTarget: ${what}`, () => {
    it("gives a file its bytes and its metadata", async () => {
      const { target, metadata } = await setUp();
      const wanted = { ...metadata, mode: 0o6751, xattrs: HARD_XATTRS };
      await target.makeDirectory(p("a"));
      expect(await target.writeFile(p("a/file"), CONTENTS, wanted)).toEqual([]);
      expect(await contentsOf(target, p("a/file"))).toEqual(CONTENTS);
      expect(await target.lstat(p("a/file"))).toMatchObject({
        type: "file",
        size: CONTENTS.length,
        mode: wanted.mode,
        uid: wanted.uid,
        gid: wanted.gid,
        mtimeNs: wanted.mtimeNs,
      });
      expect(await target.xattrs(p("a/file"))).toEqual(HARD_XATTRS);
      expect(await namesIn(target, p("a"))).toEqual([p("file")]);
    });

    it("writes empty files and files larger than one write", async () => {
      const { target, metadata } = await setUp();
      const large = Uint8Array.from({ length: 1_500_000 }, (_, i) => (i * 31 + (i >> 10)) & 0xff);
      await target.writeFile(p("empty"), new Uint8Array(0), metadata);
      await target.writeFile(p("large"), large, metadata);
      expect(await contentsOf(target, p("empty"))).toEqual(new Uint8Array(0));
      expect(Buffer.compare(await contentsOf(target, p("large")), large)).toBe(0);
      expect((await target.lstat(p("large")))?.mtimeNs).toBe(metadata.mtimeNs);
      expect(await namesIn(target, p(""))).toEqual([p("empty"), p("large")]);
    });

    it("takes every name that there can be", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("names"));
      for (const name of HARD_NAMES) await target.writeFile(joinPath(p("names"), name), CONTENTS, metadata);
      expect(await namesIn(target, p("names"))).toEqual([...HARD_NAMES].sort());
      const tooLong = bytePath(new Uint8Array(256).fill(0x61));
      await expect(target.writeFile(tooLong, CONTENTS, metadata)).rejects.toMatchObject(
        code("TARGET_FAILED", "ENAMETOOLONG"),
      );
    });

    it("sets times to the nanosecond, before 1970 and after 2038", async () => {
      const { target, metadata } = await setUp();
      for (const mtimeNs of HARD_TIMES) {
        await target.writeFile(p("file"), CONTENTS, { ...metadata, mtimeNs });
        expect((await target.lstat(p("file")))?.mtimeNs).toBe(mtimeNs);
      }
    });

    it("goes deeper than one path can name", async () => {
      const { target, metadata } = await setUp();
      let path = p("deep");
      await target.makeDirectory(path);
      while (path.length < 9000) {
        // Around the limit of 4,096 bytes a slash at every second place.
        const nearLimit = path.length > 4000 && path.length < 4200;
        path = joinPath(path, p("d".repeat(nearLimit ? 1 : 200)));
        await target.makeDirectory(path);
      }
      const file = joinPath(path, p("file"));
      expect(await target.writeFile(file, CONTENTS, { ...metadata, xattrs: HARD_XATTRS })).toEqual([]);
      expect(await contentsOf(target, file)).toEqual(CONTENTS);
      expect(await target.xattrs(file)).toEqual(HARD_XATTRS);
      expect(await target.setMetadata(path, { ...metadata, mode: 0o750 })).toEqual([]);
      expect((await target.lstat(path))?.mode).toBe(0o750);
      await target.remove(p("deep"), { recursive: true });
      expect(await target.lstat(p("deep"))).toBeUndefined();
    });

    it("replaces a file, a link and one of two names without touching what they lead to", async () => {
      const { target, metadata } = await setUp();
      await target.writeFile(p("victim"), bytesOf("untouched"), metadata);
      await target.symlink(p("link"), p("victim"), metadata);
      await target.hardlink(p("name"), p("victim"));
      for (const path of [p("link"), p("name")]) await target.writeFile(path, CONTENTS, metadata);
      expect(await contentsOf(target, p("victim"))).toEqual(bytesOf("untouched"));
      expect(await contentsOf(target, p("link"))).toEqual(CONTENTS);
      expect(await target.lstat(p("name"))).toMatchObject({ type: "file", links: 1 });
    });

    it("does not replace a directory by a file, and leaves nothing behind", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("d"));
      const part = await target.openPart(p("part"));
      await part.close();
      const refused = code("TARGET_FAILED");
      await expect(target.writeFile(p("d"), CONTENTS, metadata)).rejects.toMatchObject(refused);
      await expect(target.writeFile(p("d"), new Uint8Array(500_000), metadata)).rejects.toMatchObject(
        refused,
      );
      await expect(target.symlink(p("d"), p("x"), metadata)).rejects.toMatchObject(refused);
      await expect(target.hardlink(p("d"), p("part"))).rejects.toMatchObject(refused);
      await expect(target.commitPart(p("part"), p("d"), 0, metadata)).rejects.toMatchObject(refused);
      expect(await namesIn(target, p(""))).toEqual([p("d"), p("part")]);
      expect((await target.lstat(p("d")))?.type).toBe("directory");
    });

    it("makes directories once", async () => {
      const { target, metadata } = await setUp();
      expect(await target.makeDirectory(p("a"))).toEqual({ created: true });
      expect((await target.lstat(p("a")))?.mode).toBe(0o700);
      expect(await target.makeDirectory(p("a"))).toEqual({ created: false });
      expect(await target.makeDirectory(p(""))).toEqual({ created: false });
      await target.writeFile(p("file"), CONTENTS, metadata);
      await target.symlink(p("link"), p("a"), metadata);
      await expect(target.makeDirectory(p("file"))).rejects.toMatchObject(code("TARGET_FAILED", "EEXIST"));
      await expect(target.makeDirectory(p("link"))).rejects.toMatchObject(code("TARGET_UNSAFE"));
      await expect(target.makeDirectory(p("x/y"))).rejects.toMatchObject(code("TARGET_FAILED", "ENOENT"));
      await expect(target.makeDirectory(p("file/y"))).rejects.toMatchObject(code("TARGET_FAILED", "ENOTDIR"));
    });

    it("refuses names that lead elsewhere", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("a"));
      const bad = [
        "../x",
        "a/../../x",
        "a/..",
        "..",
        ".",
        "a/./x",
        "a//x",
        "/etc/x",
        "/",
        "a/",
        "a/x\0y",
        "\0",
      ];
      for (const path of bad.map(p)) await refusesAll(target, path, metadata);
      for (const operation of writesTo(target, p(""), metadata)) {
        await expect(operation()).rejects.toMatchObject(code("TARGET_UNSAFE"));
      }
    });

    it("goes through no symbolic link", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("inside"));
      await target.writeFile(p("inside/file"), bytesOf("untouched"), metadata);
      await target.symlink(p("up"), p(".."), metadata);
      await target.symlink(p("root"), p("/"), metadata);
      await target.symlink(p("here"), p("inside"), metadata);
      await target.symlink(p("dangling"), p("nowhere"), metadata);
      await target.symlink(p("loop"), p("loop"), metadata);
      for (const link of ["up", "root", "here", "dangling", "loop"]) {
        await refusesAll(target, p(`${link}/file`), metadata);
        await refusesAll(target, p(`${link}/inside/file`), metadata);
      }
      expect(await contentsOf(target, p("inside/file"))).toEqual(bytesOf("untouched"));
    });

    it("notices when a directory that it has used becomes a link", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("a"));
      await target.makeDirectory(p("a/b"));
      await target.makeDirectory(p("other"));
      await target.writeFile(p("a/b/file"), CONTENTS, metadata);
      await target.remove(p("a"), { recursive: true });
      await target.symlink(p("a"), p("other"), metadata);
      await target.makeDirectory(p("other/b"));
      await refusesAll(target, p("a/b/file"), metadata);
      await refusesAll(target, p("a/new"), metadata);
      expect(await namesIn(target, p("other/b"))).toEqual([]);
    });

    it("goes on with a part where it was left", async () => {
      const { target, metadata } = await setUp();
      const first = await target.openPart(p("part"));
      expect(first.size).toBe(0);
      await first.write(0, bytesOf("hello"));
      await first.write(5, new Uint8Array(400_000).fill(0x2e));
      await first.close();
      const again = await target.openPart(p("part"));
      expect(again.size).toBe(400_005);
      const into = new Uint8Array(6);
      expect(await again.read(0, into)).toBe(6);
      expect(into).toEqual(bytesOf("hello."));
      expect(await again.read(400_003, into)).toBe(2);
      await again.write(5, bytesOf(", world"));
      await again.close();
      const wanted = { ...metadata, mode: 0o4711, xattrs: HARD_XATTRS };
      expect(await target.commitPart(p("part"), p("whole"), 12, wanted)).toEqual([]);
      expect(await contentsOf(target, p("whole"))).toEqual(bytesOf("hello, world"));
      expect(await target.lstat(p("whole"))).toMatchObject({ mode: 0o4711, mtimeNs: metadata.mtimeNs });
      expect(await target.xattrs(p("whole"))).toEqual(HARD_XATTRS);
      expect(await namesIn(target, p(""))).toEqual([p("whole")]);
      await expect(target.commitPart(p("part"), p("whole"), 1, metadata)).rejects.toMatchObject(
        code("TARGET_FAILED", "ENOENT"),
      );
    });

    it("leaves holes where nothing was written", async () => {
      const { target, metadata } = await setUp();
      const piece = new Uint8Array(65_536).fill(9);
      const part = await target.openPart(p("part"));
      await part.write(1_048_576, piece);
      await part.write(2 ** 33, piece);
      await part.close();
      const size = 2 ** 34 + 17;
      await target.commitPart(p("part"), p("sparse"), size, metadata);
      const file = must(await target.openForRead(p("sparse")), "the sparse file");
      expect(file.stat().size).toBe(size);
      expect(extents(file)).toEqual([
        [1_048_576, 1_114_112],
        [2 ** 33, 2 ** 33 + 65_536],
      ]);
      file.close();
    });

    it("takes nothing for a part that is a link or has a second name", async () => {
      const { target, metadata } = await setUp();
      await target.writeFile(p("victim"), bytesOf("untouched"), metadata);
      await target.symlink(p("part-1"), p("victim"), metadata);
      await target.hardlink(p("part-2"), p("victim"));
      await target.makeNode(p("part-3"), "fifo", { major: 0, minor: 0 }, metadata);
      for (const name of ["part-1", "part-2", "part-3"]) {
        const part = await target.openPart(p(name));
        expect(part.size).toBe(0);
        await part.write(0, CONTENTS);
        await part.close();
        expect(await contentsOf(target, p(name))).toEqual(CONTENTS);
      }
      expect(await contentsOf(target, p("victim"))).toEqual(bytesOf("untouched"));
      await target.makeDirectory(p("part-4"));
      await expect(target.openPart(p("part-4"))).rejects.toMatchObject(code("TARGET_FAILED", "EISDIR"));
    });

    it("makes links of both kinds, replacing what was there", async () => {
      const { target, metadata } = await setUp();
      const odd = bytePath(Uint8Array.of(0x2f, 0xff, 0x0a, 0xe9));
      await target.writeFile(p("file"), CONTENTS, metadata);
      await target.writeFile(p("taken"), CONTENTS, metadata);
      for (const path of [p("link"), p("taken"), p("link")]) {
        expect(await target.symlink(path, odd, { ...metadata, mtimeNs: -1n })).toEqual([]);
        expect(await target.readlink(path)).toBe(odd);
        expect(await target.lstat(path)).toMatchObject({ type: "symlink", mtimeNs: -1n });
      }
      await target.hardlink(p("second"), p("file"));
      await target.hardlink(p("second"), p("file"));
      await target.hardlink(p("taken"), p("file"));
      expect(await target.lstat(p("file"))).toMatchObject({ links: 3 });
      await target.hardlink(p("second-link"), p("link"));
      expect(await target.readlink(p("second-link"))).toBe(odd);
      expect(await namesIn(target, p(""))).toEqual(["file", "link", "second", "second-link", "taken"].map(p));
      await expect(target.hardlink(p("x"), p("absent"))).rejects.toMatchObject(
        code("TARGET_FAILED", "ENOENT"),
      );
      await expect(target.symlink(p("x"), p("a\0b"), metadata)).rejects.toMatchObject(
        code("TARGET_FAILED", "EINVAL"),
      );
    });

    it("makes a FIFO with its metadata, replacing what was there", async () => {
      const { target, metadata } = await setUp();
      await target.writeFile(p("fifo"), CONTENTS, metadata);
      const wanted = { ...metadata, mode: 0o622 };
      expect(await target.makeNode(p("fifo"), "fifo", { major: 0, minor: 0 }, wanted)).toEqual([]);
      expect(await target.lstat(p("fifo"))).toMatchObject({
        type: "fifo",
        mode: 0o622,
        mtimeNs: metadata.mtimeNs,
      });
      expect(await namesIn(target, p(""))).toEqual([p("fifo")]);
      expect(await target.setMetadata(p("fifo"), { ...wanted, mode: 0o600 })).toEqual([]);
      expect((await target.lstat(p("fifo")))?.mode).toBe(0o600);
    });

    it("brings metadata of what is there to what is wanted, no more and no less", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("d"));
      await target.setMetadata(p("d"), { ...metadata, mode: 0o3775, xattrs: HARD_XATTRS });
      expect(await target.lstat(p("d"))).toMatchObject({ mode: 0o3775, mtimeNs: metadata.mtimeNs });
      expect(await target.xattrs(p("d"))).toEqual(HARD_XATTRS);
      const fewer = HARD_XATTRS.slice(1, 2);
      expect(await target.setMetadata(p("d"), { ...metadata, mode: 0o500, xattrs: fewer })).toEqual([]);
      expect(await target.xattrs(p("d"))).toEqual(fewer);
      expect((await target.lstat(p("d")))?.mode).toBe(0o500);
      await target.writeFile(p("f"), CONTENTS, metadata);
      await target.symlink(p("l"), p("f"), metadata);
      expect(await target.setMetadata(p("l"), { ...metadata, mode: 0o777, mtimeNs: 5n })).toEqual([]);
      expect((await target.lstat(p("l")))?.mtimeNs).toBe(5n);
      expect(await target.lstat(p("f"))).toMatchObject({ mode: 0o644, mtimeNs: metadata.mtimeNs });
      expect(await target.setMetadata(p(""), { ...metadata, mode: 0o711 })).toEqual([]);
      expect(await target.lstat(p(""))).toMatchObject({ mode: 0o711, mtimeNs: metadata.mtimeNs });
      await expect(target.setMetadata(p("absent"), metadata)).rejects.toMatchObject(
        code("TARGET_FAILED", "ENOENT"),
      );
    });

    it("reports what it could not set and goes on with the rest", async () => {
      const { target, metadata } = await setUp();
      const name = p("unknown.namespace");
      const xattrs = [{ name, value: CONTENTS }, ...HARD_XATTRS];
      const problems = await target.writeFile(p("file"), CONTENTS, { ...metadata, xattrs });
      expect(problems).toEqual([{ what: "xattr", errno: expect.any(String), name }]);
      expect(await target.xattrs(p("file"))).toEqual(HARD_XATTRS);
      expect((await target.lstat(p("file")))?.mtimeNs).toBe(metadata.mtimeNs);
    });

    it("opens for reading what is a file and nothing else", async () => {
      const { target, metadata } = await setUp();
      await target.writeFile(p("file"), CONTENTS, metadata);
      await target.symlink(p("link"), p("file"), metadata);
      await target.makeDirectory(p("d"));
      await target.makeNode(p("fifo"), "fifo", { major: 0, minor: 0 }, metadata);
      for (const path of ["absent", "absent/x", "file/x", "link", "d", "fifo"]) {
        expect(await target.openForRead(p(path))).toBeUndefined();
      }
      expect(await target.lstat(p("file/x"))).toBeUndefined();
    });

    it("removes without following, and does not mind what is gone", async () => {
      const { target, metadata } = await setUp();
      await target.makeDirectory(p("keep"));
      await target.writeFile(p("keep/file"), CONTENTS, metadata);
      await target.makeDirectory(p("gone"));
      await target.makeDirectory(p("gone/below"));
      await target.makeDirectory(p("gone/below/more"));
      await target.symlink(p("gone/below/link"), p("../../keep"), metadata);
      await target.hardlink(p("gone/name"), p("keep/file"));
      for (let i = 0; i < 300; i++) await target.writeFile(p(`gone/below/f${i}`), CONTENTS, metadata);
      await target.symlink(p("link"), p("keep"), metadata);
      await expect(target.remove(p("gone"))).rejects.toMatchObject(code("TARGET_FAILED", "EISDIR"));
      await target.remove(p("gone"), { recursive: true });
      await target.remove(p("link"), { recursive: true });
      await target.remove(p("gone"), { recursive: true });
      await target.remove(p("absent/x"));
      expect(await namesIn(target, p(""))).toEqual([p("keep")]);
      expect(await contentsOf(target, p("keep/file"))).toEqual(CONTENTS);
    });

    it("knows its free room and syncs", async () => {
      const { target, metadata } = await setUp();
      await target.writeFile(p("file"), CONTENTS, metadata);
      expect(await target.freeBytes()).toBeGreaterThan(0);
      await target.sync();
    });
  });
}

async function namesIn(target: FileTarget, directory: BytePath): Promise<BytePath[]> {
  return (await target.list(directory)).map((entry) => entry.name);
}

export async function contentsOf(target: FileTarget, path: BytePath): Promise<Uint8Array> {
  const file = must(await target.openForRead(path), "file to read");
  const bytes = new Uint8Array(file.stat().size);
  expect(file.read(0, bytes)).toBe(bytes.length);
  file.close();
  return bytes;
}

function writesTo(target: FileTarget, path: BytePath, metadata: FileMetadata): (() => Promise<unknown>)[] {
  return [
    () => target.writeFile(path, CONTENTS, metadata),
    () => target.writeFile(path, new Uint8Array(200_000), metadata),
    () => target.openPart(path),
    () => target.symlink(path, bytePathOf("x"), metadata),
    () => target.hardlink(path, bytePathOf("inside")),
    () => target.hardlink(bytePathOf("new-name"), path),
    () => target.makeNode(path, "fifo", { major: 0, minor: 0 }, metadata),
    () => target.remove(path),
    () => target.remove(path, { recursive: true }),
    () => target.readlink(path),
    () => target.openForRead(path),
  ];
}

/** Every operation on this path is `TARGET_UNSAFE`. */
async function refusesAll(target: FileTarget, path: BytePath, metadata: FileMetadata): Promise<void> {
  const part = bytePathOf("a-part");
  await (await target.openPart(part)).close();
  const operations = [
    ...writesTo(target, path, metadata),
    () => target.commitPart(part, path, 0, metadata),
    () => target.commitPart(path, bytePathOf("committed"), 0, metadata),
    () => target.makeDirectory(path),
    () => target.setMetadata(path, metadata),
    () => target.lstat(path),
    () => target.list(path),
    () => target.xattrs(path),
  ];
  for (const operation of operations) {
    await expect(operation(), `${operation} of "${path}"`).rejects.toMatchObject({ code: "TARGET_UNSAFE" });
  }
  await target.remove(part);
}
