import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createFileOpener, createFileTarget, createFileTree } from "../../src/adapters/files/index.ts";
import { type BytePath, bytePathOf, joinPath } from "../../src/base/paths.ts";
import type { FileMetadata, FileStat, FileTarget, FileTree } from "../../src/ports/file-tree.ts";
import { contentsOf } from "../contract/file-target.ts";
import { at, extents, HARD_NAMES, HARD_TIMES, HARD_XATTRS } from "../contract/file-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";

// What only the disk has: other users, ACLs, devices, access times, mounts, and somebody who plays against us.

const scratch = scratchDirectories();
const isRoot = process.geteuid?.() === 0;
const p = bytePathOf;
const NOBODY = 65_534;
const OWN: FileMetadata = {
  mode: 0o644,
  uid: process.geteuid?.() ?? 0,
  gid: process.getegid?.() ?? 0,
  mtimeNs: 1n,
  xattrs: [],
};

const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: "utf8" });

describe("a copied tree", () => {
  it("is the same to rsync: owners, modes, times, links, ACLs, attributes, special files", async () => {
    const from = scratch();
    const to = join(scratch(), "copy");
    await buildHardTree(from);
    await copyTree(createFileTree(), p(from), await createFileTarget(p(to)));
    const flags = [
      "-aHAXn",
      "--itemize-changes",
      "--delete",
      "--modify-window=-1",
      "--devices",
      "--specials",
    ];
    expect(run("rsync", ...flags, "--checksum", `${from}/`, `${to}/`)).toBe("");
    // The check itself must be able to fail.
    const facl = run("setfacl", "-m", "u:7:r", join(to, "acl"));
    expect(facl + run("rsync", ...flags, `${from}/`, `${to}/`)).toContain("acl");
  });

  it("does not inherit what the target's directories hand down", async () => {
    const to = scratch();
    run("setfacl", "-m", "d:u:9:rwx,d:g:9:rwx,d:o::rwx", to);
    run("chmod", "2777", to);
    const target = await createFileTarget(p(to));
    await target.writeFile(p("file"), new Uint8Array(1), { ...OWN, mode: 0o640 });
    await target.makeDirectory(p("directory"));
    await target.setMetadata(p("directory"), { ...OWN, mode: 0o750 });
    expect(await target.xattrs(p("file"))).toEqual([]);
    expect(await target.xattrs(p("directory"))).toEqual([]);
    expect(await target.lstat(p("file"))).toMatchObject({ mode: 0o640, gid: OWN.gid });
    expect(await target.lstat(p("directory"))).toMatchObject({ mode: 0o750, gid: OWN.gid });
  });
});

describe("reading", () => {
  it("changes no access time, of files and of directories", async () => {
    const root = scratch();
    mkdirSync(join(root, "d"));
    writeFileSync(join(root, "d/file"), "contents");
    // Older than the modification: with relatime an ordinary read would set it.
    for (const path of ["d/file", "d"]) run("touch", "-a", "-d", "2001-01-01", join(root, path));
    const before = ["d", "d/file"].map((path) => statSync(join(root, path), { bigint: true }).atimeNs);
    const tree = createFileTree();
    await tree.list(at(p(root), "d"));
    await tree.xattrs(at(p(root), "d/file"));
    const file = createFileOpener().open(at(p(root), "d/file"));
    file.read(0, new Uint8Array(100));
    file.close();
    const after = ["d", "d/file"].map((path) => statSync(join(root, path), { bigint: true }).atimeNs);
    expect(after).toEqual(before);
    readdirSync(join(root, "d"));
    const control = statSync(join(root, "d"), { bigint: true }).atimeNs;
    if (control === before[0])
      console.log("this file system keeps no access times: the check above is empty");
  });

  it("finds what lies deeper than one path can name", async () => {
    const root = p(scratch());
    const target = await createFileTarget(root);
    let below = p("d");
    await target.makeDirectory(below);
    // Around the limit of 4,096 bytes a slash at every second place.
    while (below.length < 9000) {
      const nearLimit = below.length > 3800 && below.length < 4200;
      await target.makeDirectory((below = joinPath(below, p("e".repeat(nearLimit ? 1 : 211)))));
    }
    const path = joinPath(joinPath(root, below), p("file"));
    await target.writeFile(joinPath(below, p("file")), Buffer.from("deep"), { ...OWN, xattrs: HARD_XATTRS });
    await target.symlink(joinPath(below, p("link")), p("to"), OWN);
    const tree = createFileTree();
    expect((await tree.lstat(path)).size).toBe(4);
    expect(await tree.xattrs(path)).toEqual(HARD_XATTRS);
    expect(await tree.readlink(joinPath(joinPath(root, below), p("link")))).toBe("to");
    expect((await tree.list(joinPath(root, below))).map(({ name }) => name)).toEqual(["file", "link"]);
    const file = createFileOpener().open(path);
    expect(file.stat().size).toBe(4);
    file.close();
    const absent = joinPath(joinPath(root, below), p("absent"));
    await expect(tree.lstat(absent)).rejects.toMatchObject({ code: "SOURCE_MISSING" });
    await target.remove(p("d"), { recursive: true });
    await target.close();
  });

  it("agrees with Node's own stat, and knows sockets and devices", async () => {
    const root = scratch();
    const server = createServer().listen(join(root, "socket"));
    await once(server, "listening");
    if (isRoot) run("mknod", join(root, "device"), "b", "259", "70000");
    const tree = createFileTree();
    const paths = [join(root, "socket"), "/dev/null", "/etc/passwd", "/proc/self", root];
    for (const path of isRoot ? [...paths, join(root, "device")] : paths) {
      const ours = await tree.lstat(p(path));
      const theirs = statSync(path, { bigint: true });
      if (path === "/proc/self") continue;
      expect([ours.device, ours.inode, ours.size, ours.blocks, ours.links]).toEqual([
        theirs.dev,
        theirs.ino,
        Number(theirs.size),
        Number(theirs.blocks),
        Number(theirs.nlink),
      ]);
      expect([ours.mtimeNs, ours.ctimeNs, ours.uid, ours.gid, ours.mode]).toEqual([
        theirs.mtimeNs,
        theirs.ctimeNs,
        Number(theirs.uid),
        Number(theirs.gid),
        Number(theirs.mode) & 0o7777,
      ]);
    }
    expect((await tree.lstat(p(join(root, "socket")))).type).toBe("socket");
    expect(await tree.lstat(p("/dev/null"))).toMatchObject({ type: "character-device", major: 1, minor: 3 });
    if (isRoot) {
      const device = await tree.lstat(p(join(root, "device")));
      expect(device).toMatchObject({ type: "block-device", major: 259, minor: 70_000 });
    }
    server.close();
  });

  it("knows the names of users and groups", () => {
    const tree = createFileTree();
    expect([tree.userName(0), tree.groupName(0)]).toEqual(["root", "root"]);
    expect([tree.userName(3_999_999_999), tree.groupName(3_999_999_999)]).toEqual([undefined, undefined]);
  });
});

describe("somebody who plays against a restore", () => {
  for (const stepwise of [false, true]) {
    it(`cannot lead it out of the target (${stepwise ? "step by step" : "by the kernel"})`, async () => {
      const root = scratch();
      const outside = scratch();
      const target = await createFileTarget(p(root), { stepwise });
      await target.makeDirectory(p("d"));
      const flips =
        'const fs = require("node:fs"); const [d, aside, outside] = process.argv.slice(1);' +
        "for (;;) { fs.renameSync(d, aside); fs.symlinkSync(outside, d); fs.unlinkSync(d); fs.renameSync(aside, d); }";
      const player = spawn(process.execPath, ["-e", flips, join(root, "d"), join(root, "aside"), outside], {
        stdio: "ignore",
      });
      const ended = once(player, "exit");
      const outcomes = { written: 0, refused: 0 };
      const attempt = async (operation: Promise<unknown>): Promise<void> => {
        try {
          await operation;
          outcomes.written++;
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^TARGET_/) });
          outcomes.refused++;
        }
      };
      // As long as it takes to have lost the race often, within a bound.
      for (let i = 0; i < 60_000 && (outcomes.refused < 300 || outcomes.written < 300); i++) {
        await attempt(target.writeFile(p(`d/f${i % 50}`), new Uint8Array(10), OWN));
        await attempt(target.symlink(p("d/link"), p("x"), OWN));
        await attempt(target.remove(p("d/link")));
      }
      player.kill("SIGKILL");
      await ended;
      expect(outcomes.refused).toBeGreaterThan(0);
      expect(readdirSync(outside)).toEqual([]);
      await target.close();
    });
  }
});

describe.runIf(isRoot)("a user who is not root", () => {
  it("reads what may be read, and is told about owners, setuid and devices", () => {
    const readable = scratch();
    chmodSync(readable, 0o755);
    writeFileSync(join(readable, "open"), "anybody");
    writeFileSync(join(readable, "closed"), "root only", { mode: 0o600 });
    mkdirSync(join(readable, "locked"), { mode: 0o700 });
    const writable = scratch();
    chownSync(writable, NOBODY, NOBODY);
    const script = join(import.meta.dirname, "../support/files-as-user.ts");
    const result = spawnSync(process.execPath, [script, readable, writable], {
      uid: NOBODY,
      gid: NOBODY,
      encoding: "utf8",
      env: {},
    });
    if (result.error !== undefined || result.stdout === "") {
      const why = result.error?.message ?? result.stderr.slice(0, 300);
      console.log(`another user cannot run this checkout, so it was not tried: ${why}`);
      return;
    }
    expect(JSON.parse(result.stdout)).toEqual({
      names: ["closed", "locked", "open"],
      open: "anybody",
      closed: "EACCES",
      locked: "EACCES",
      foreign: [
        { what: "owner", errno: "EPERM" },
        { what: "mode", errno: "EPERM" },
        { what: "xattr", errno: "EPERM", name: "trusted.x" },
      ],
      foreignMode: 0o755,
      own: [],
      ownMode: 0o6755,
      readOnly: [],
      readOnlyMode: 0o444,
      readOnlyXattrs: ["user.x"],
      device: "EPERM",
      outside: "EACCES",
    });
  });
});

describe.runIf(isRoot)("another file system", () => {
  it("that is full is said to be, and one below is not removed", async () => {
    const root = scratch();
    mkdirSync(join(root, "mounted"));
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=512k", "none", join(root, "mounted")]);
    if (mount.status !== 0) {
      console.log("mounting is not permitted here, so a full file system was not tried");
      return;
    }
    try {
      const target = await createFileTarget(p(root));
      const full = { code: "DISK_FULL" };
      const large = new Uint8Array(1_000_000);
      await target.writeFile(p("mounted/small"), new Uint8Array(100), OWN);
      await expect(target.writeFile(p("mounted/f"), large, OWN)).rejects.toMatchObject(full);
      const part = await target.openPart(p("mounted/part"));
      await expect(part.write(0, large)).rejects.toMatchObject(full);
      await part.close();
      await target.remove(p("mounted/part"));
      expect(readdirSync(join(root, "mounted"))).toEqual(["small"]);
      const across = { code: "TARGET_FAILED", detail: { errno: "EXDEV" } };
      await expect(target.hardlink(p("link"), p("mounted/small"))).rejects.toMatchObject(across);
      // A mount point, and a directory that has one in it: what is mounted there stays as it is.
      await target.makeDirectory(p("above"));
      await target.makeDirectory(p("above/mounted"));
      run("mount", "--bind", join(root, "mounted"), join(root, "above/mounted"));
      try {
        for (const path of ["above", "above/mounted", "mounted"]) {
          const removal = target.remove(p(path), { recursive: true });
          await expect(removal).rejects.toMatchObject({ code: "TARGET_UNSAFE" });
        }
      } finally {
        run("umount", join(root, "above/mounted"));
      }
      expect(readdirSync(join(root, "mounted"))).toEqual(["small"]);
      await target.close();
    } finally {
      run("umount", join(root, "mounted"));
    }
  });
});

async function buildHardTree(root: string): Promise<void> {
  const target = await createFileTarget(p(root));
  const write = (name: BytePath, extra: Partial<FileMetadata> = {}): Promise<unknown> =>
    target.writeFile(name, Buffer.from(`contents of ${name}`), {
      ...OWN,
      mtimeNs: 1_600_000_000_000_000_001n,
      ...extra,
    });
  await target.makeDirectory(p("names"));
  for (const name of HARD_NAMES) await write(joinPath(p("names"), name));
  await target.makeDirectory(p("times"));
  for (const mtimeNs of HARD_TIMES) await write(p(`times/${mtimeNs}`), { mtimeNs });
  await target.makeDirectory(p("modes"));
  for (const mode of [0, 0o400, 0o644, 0o777, 0o1777, 0o2755, 0o4755, 0o7777]) {
    await write(p(`modes/f${mode}`), { mode });
    await target.makeDirectory(p(`modes/d${mode}`));
    await target.setMetadata(p(`modes/d${mode}`), { ...OWN, mode, mtimeNs: BigInt(mode) * 1_000_000_007n });
  }
  await write(p("attributes"), { xattrs: HARD_XATTRS });
  await target.makeDirectory(p("links"));
  for (const to of ["../attributes", "/", "nowhere", "..", "links"]) {
    await target.symlink(p(`links/to-${to.replaceAll("/", "_")}`), p(to), { ...OWN, mtimeNs: 12_345n });
  }
  for (const name of ["one", "two", "links/three"]) await target.hardlink(p(name), p("attributes"));
  await target.makeNode(p("fifo"), "fifo", { major: 0, minor: 0 }, { ...OWN, mode: 0o620 });
  const part = await target.openPart(p("sparse"));
  await part.write(1 << 20, new Uint8Array(5000).fill(1));
  await part.close();
  await target.commitPart(p("sparse"), p("sparse"), (1 << 22) + 1, OWN);
  await write(p("acl"));
  run("setfacl", "-m", "u:1234:rwx,g:77:r,m::rx", join(root, "acl"));
  await target.makeDirectory(p("default-acl"));
  run("setfacl", "-m", "u:3:rwx,d:u:5:rx,d:g:6:rwx", join(root, "default-acl"));
  await write(p("default-acl/inherits"));
  if (isRoot) {
    await write(p("owned"), { uid: 1234, gid: 4_000_000_000, mode: 0o6755 });
    await target.symlink(p("owned-link"), p("x"), { ...OWN, uid: 77, gid: 78 });
    const xattrs = [
      {
        name: p("security.capability"),
        value: Buffer.from("0100000200040000000000000000000000000000", "hex"),
      },
      { name: p("trusted.cairn"), value: Buffer.from([0, 1, 2]) },
    ];
    await write(p("capable"), { xattrs });
    try {
      await target.makeNode(p("null"), "character-device", { major: 1, minor: 3 }, { ...OWN, mode: 0o666 });
      await target.makeNode(p("disk"), "block-device", { major: 259, minor: 70_000 }, { ...OWN, uid: 5 });
    } catch {
      console.log("device nodes are not permitted here, so none was copied");
    }
  }
  await target.setMetadata(p("names"), { ...OWN, mode: 0o750, mtimeNs: 4_102_444_800_123_456_789n });
  await target.close();
}

/** What a restore does, without anything in between. */
async function copyTree(tree: FileTree, root: BytePath, target: FileTarget): Promise<void> {
  const opener = createFileOpener();
  const seen = new Map<bigint, BytePath>();
  const noProblems = async (result: Promise<unknown>): Promise<void> => expect(await result).toEqual([]);

  const copy = async (source: BytePath, path: BytePath, stat: FileStat): Promise<void> => {
    const { mode, uid, gid, mtimeNs } = stat;
    const metadata = { mode, uid, gid, mtimeNs, xattrs: await tree.xattrs(source) };
    const known = seen.get(stat.inode);
    if (known !== undefined) return target.hardlink(path, known);
    if (stat.links > 1 && stat.type !== "directory") seen.set(stat.inode, path);
    switch (stat.type) {
      case "directory":
        if (path !== "") await target.makeDirectory(path);
        for (const entry of await tree.list(source)) {
          const child = path === "" ? entry.name : joinPath(path, entry.name);
          if (entry.stat !== undefined) await copy(joinPath(source, entry.name), child, entry.stat);
        }
        return noProblems(target.setMetadata(path, metadata));
      case "symlink":
        return noProblems(target.symlink(path, await tree.readlink(source), metadata));
      case "file": {
        const file = opener.open(source);
        const part = await target.openPart(p(".cairn-part-test"));
        for (const [begin, end] of extents(file)) {
          const bytes = new Uint8Array(end - begin);
          expect(file.read(begin, bytes)).toBe(Math.min(bytes.length, stat.size - begin));
          await part.write(begin, bytes);
        }
        file.close();
        await part.close();
        return noProblems(target.commitPart(p(".cairn-part-test"), path, stat.size, metadata));
      }
      case "socket":
        return;
      default:
        return noProblems(target.makeNode(path, stat.type, stat, metadata));
    }
  };
  await copy(root, p(""), await tree.lstat(root));
  expect((await contentsOf(target, p("attributes"))).length).toBeGreaterThan(0);
  await target.close();
}
