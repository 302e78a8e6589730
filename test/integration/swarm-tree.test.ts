import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Fault } from "../../src/base/fault.ts";
import { bytePathOf } from "../../src/base/paths.ts";
import { DEFAULT_SIZES } from "../../src/node/index.ts";
import { expectSameTree } from "../support/same-tree.ts";
import { scratchDirectories } from "../support/scratch.ts";
import { buildHardTree, buildPlainTree, put } from "../support/source-tree.ts";
import { NINE_AT_THREE, Swarm } from "../support/swarm.ts";

const scratch = scratchDirectories();
const isRoot = process.geteuid?.() === 0;

/** A later moment than that of any file made before: what is fresh is not trusted. */
const LATER_MS = 1000;

describe("a snapshot and its restore", () => {
  it("give back everything that a file system can come up with", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const source = buildHardTree(join(scratch(), "src"), swarm.rng);
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.report.unreadable.listed).toEqual([]);
    expect(made.protection.state).toBe("full");
    const target = scratch();
    const { report } = await swarm.clock.during(owner.restore(target));
    expect(report.problems).toEqual([]);
    await expectSameTree(source, target + source);
    await swarm.stop();
  });

  it.runIf(isRoot)("give back special files and owners", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const source = join(scratch(), "src");
    mkdirSync(source);
    execFileSync("mkfifo", [join(source, "fifo")]);
    execFileSync("mknod", [join(source, "device"), "c", "1", "3"]);
    execFileSync("chown", ["-h", "1234:4321", put(source, "owned", "x")]);
    await swarm.clock.during(swarm.member(1).snapshot([source]));
    const target = scratch();
    await swarm.clock.during(swarm.member(1).restore(target));
    await expectSameTree(source, target + source, { specials: true });
    await swarm.stop();
  });

  it("work at the sizes of the format", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE, sizes: DEFAULT_SIZES });
    const owner = swarm.member(4);
    const source = buildHardTree(join(scratch(), "src"), swarm.rng);
    put(source, "large", swarm.rng.bytes(30 * 2 ** 20));
    await swarm.clock.advance(LATER_MS);
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.protection.state).toBe("full");
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    await expectSameTree(source, target + source);
    await swarm.clock.advance(LATER_MS);
    owner.opened.length = 0;
    put(source, "deep/deep/changed", "x");
    const second = await swarm.clock.during(owner.snapshot([source]));
    expect(owner.opened).toEqual([bytePathOf(join(source, "deep/deep/changed"))]);
    // Small ends are kept as copies: one segment of class `tail`.
    expect(second.segments).toBe(1);
    await swarm.stop();
  });

  it("take several paths, with what is above them", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const root = scratch();
    const one = buildPlainTree(join(root, "x/one"), swarm.rng, 5);
    const file = put(root, "y/file", "alone");
    put(root, "x/not-asked-for", "stays");
    await swarm.clock.during(swarm.member(0).snapshot([one, file, join(one, "d1")]));
    const target = scratch();
    await swarm.clock.during(swarm.member(0).restore(target));
    rmSync(join(root, "x/not-asked-for"));
    // The parents' times are those of the source at the time of the snapshot, before the removal.
    utimesSync(join(root, "x"), 1, 1);
    utimesSync(join(target + root, "x"), 1, 1);
    await expectSameTree(root, target + root);
    await swarm.stop();
  });
});

describe("a second snapshot", () => {
  it("of the same opens no file and stores no data", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const source = buildHardTree(join(scratch(), "src"), swarm.rng);
    await swarm.clock.advance(LATER_MS);
    await swarm.clock.during(owner.snapshot([source]));
    owner.opened.length = 0;
    for (const state of ["second", "third"]) {
      const again = await swarm.clock.during(owner.snapshot([source]));
      expect(owner.opened, state).toEqual([]);
      expect(again.bytesNew, state).toBe(0);
      expect(again.segments, state).toBe(1);
      expect(again.report.bytesRead, state).toBe(0);
      expect(again.protection.state, state).toBe("full");
    }
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    await expectSameTree(source, target + source);
    const [first, , third] = await owner.node.repository.snapshots();
    expect(third).toMatchObject({
      files: first?.files,
      directories: first?.directories,
      bytes: first?.bytes,
    });
    await swarm.stop();
  });

  it("reads only what changed, and sees every kind of change", async () => {
    const swarm = await Swarm.create({ sites: NINE_AT_THREE });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng);
    const deep = put(source, `${"n/".repeat(12)}deep`, "before");
    await swarm.clock.advance(LATER_MS);
    await swarm.clock.during(owner.snapshot([source]));
    const changes: [string, () => void, string[]][] = [
      ["contents", () => writeFileSync(deep, "after!"), [deep]],
      ["touch", () => utimesSync(join(source, "d1/e1/f1"), 1, 1), [join(source, "d1/e1/f1")]],
      ["mode", () => chmodSync(join(source, "d1/e2/f5"), 0o600), [join(source, "d1/e2/f5")]],
      [
        "rename",
        () => renameSync(join(source, "d0/e0/f0"), join(source, "d0/e0/renamed")),
        [join(source, "d0/e0/renamed")],
      ],
      ["removal", () => rmSync(join(source, "d2/e2/f2")), []],
      ["a directory moved", () => renameSync(join(source, "d3"), join(source, "moved")), ["*"]],
      ["a directory's mode", () => chmodSync(join(source, "d1"), 0o700), []],
      ["a directory's xattr", () => setXattr(join(source, "d1/e1")), []],
    ];
    for (const [what, change, read] of changes) {
      change();
      await swarm.clock.advance(LATER_MS);
      owner.opened.length = 0;
      const made = await swarm.clock.during(owner.snapshot([source]));
      if (read[0] !== "*") expect(owner.opened, what).toEqual(read.map(bytePathOf));
      expect(made.bytesNew, what).toBeLessThan(10);
      const target = scratch();
      await swarm.clock.during(owner.restore(target));
      await expectSameTree(source, target + source);
    }
    await swarm.stop();
  });

  it("reads again what was too fresh to be trusted", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const owner = swarm.member(0);
    const source = join(scratch(), "src");
    const fresh = put(source, "fresh", "x");
    await swarm.clock.during(owner.snapshot([source]));
    owner.opened.length = 0;
    await swarm.clock.advance(LATER_MS);
    await swarm.clock.during(owner.snapshot([source]));
    expect(owner.opened).toEqual([bytePathOf(fresh)]);
    await swarm.stop();
  });
});

describe("a source that does not hold still", () => {
  it("is saved as far as it can be read, and what is wrong is said and tried again", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const owner = swarm.member(0);
    const source = buildPlainTree(join(scratch(), "src"), swarm.rng, 4);
    const secret = put(source, "secret", "x");
    const log = put(source, "log", swarm.rng.bytes(100_000));
    let isTroubled = true;
    await owner.stop();
    owner.wrapOpener = (opener) => ({
      open: (path) => {
        if (isTroubled && path === secret)
          throw new Fault({ code: "SOURCE_UNREADABLE", path, errno: "EACCES" });
        const file = opener.open(path);
        if (path !== log) return file;
        return {
          stat: () => file.stat(),
          nextData: (offset) => file.nextData(offset),
          nextHole: (offset) => file.nextHole(offset),
          close: () => file.close(),
          read: (offset, into) => {
            if (isTroubled) appendFileSync(log, "one line more");
            return file.read(offset, into);
          },
        };
      },
    });
    await owner.start();
    await swarm.settle();
    await swarm.clock.advance(LATER_MS);
    const made = await swarm.clock.during(owner.snapshot([source]));
    expect(made.report.unreadable.listed).toEqual([{ path: secret, errno: "EACCES" }]);
    expect(made.report.changed.listed).toEqual([{ path: log }]);
    expect(made.report.files).toBe(5);
    const target = scratch();
    await swarm.clock.during(owner.restore(target));
    const saved = readFileSync(target + log);
    expect(saved.length).toBeGreaterThanOrEqual(100_000);
    expect(readFileSync(log).subarray(0, saved.length).equals(saved)).toBe(true);
    expect(existsSync(target + secret)).toBe(false);
    isTroubled = false;
    await swarm.clock.advance(LATER_MS);
    owner.opened.length = 0;
    const again = await swarm.clock.during(owner.snapshot([source]));
    expect([...owner.opened].sort()).toEqual([log, secret].map(bytePathOf).sort());
    expect(again.report.unreadable.count + again.report.changed.count).toBe(0);
    await swarm.clock.during(owner.restore(target, { overwrite: "always" }));
    await expectSameTree(source, target + source);
    await swarm.stop();
  });

  it("that is not there makes no snapshot", async () => {
    const swarm = await Swarm.create({ sites: ["a", "b", "c"] });
    const owner = swarm.member(0);
    await expect(owner.snapshot([scratch(), "/not/there"])).rejects.toMatchObject({ code: "SOURCE_MISSING" });
    expect(await owner.node.repository.snapshots()).toEqual([]);
    await swarm.stop();
  });
});

function setXattr(path: string): void {
  execFileSync("setfattr", ["-n", "user.changed", "-v", "1", path]);
}
