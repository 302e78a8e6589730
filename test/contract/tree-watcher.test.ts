import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFileTree } from "../../src/adapters/files/index.ts";
import { createTreeWatcher } from "../../src/adapters/watch/index.ts";
import { must } from "../../src/base/assert.ts";
import { HOME_MARKER } from "../../src/base/home-marker.ts";
import { bytePathOf } from "../../src/base/paths.ts";
import type { TreeWatch } from "../../src/ports/index.ts";
import { leavesOut } from "../../src/snapshot/index.ts";

let folder: string;
let root: string;
let opened: TreeWatch[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-watch-"));
  root = join(folder, "root");
  mkdirSync(join(root, "a/b/c"), { recursive: true });
  mkdirSync(join(root, "cache/deep"), { recursive: true });
  writeFileSync(join(root, "a/b/c/file"), "1");
  opened = [];
});
afterEach(async () => {
  for (const watch of opened) watch.close();
  await rm(folder, { recursive: true, force: true });
});

async function opening(
  paths = [root],
  options: { directoriesMax?: number } = {},
  signal = new AbortController().signal,
) {
  const scope = {
    paths: paths.map(bytePathOf),
    oneFileSystem: false,
    leavesOut: leavesOut(["*.tmp", `${root}/cache`].map(bytePathOf)),
  };
  return await createTreeWatcher(createFileTree(), options).open(scope, signal);
}

/** Everything is seen from now on. */
async function watching(paths = [root]): Promise<TreeWatch> {
  const result = await opening(paths);
  if (!result.ok) throw new Error(result.reason);
  opened.push(result.watch);
  result.watch.look();
  return result.watch;
}

/** What happened is seen once, and is over with. */
function seen(watch: TreeWatch): boolean {
  const { changed } = watch.look();
  expect(watch.look().changed).toBe(false);
  return changed;
}

describe("a watch of directories", () => {
  it("sees what is made, written, renamed, removed or given another mode, however deep, and nothing else", async () => {
    const watch = await watching();
    expect(watch.look()).toEqual({ changed: false, complete: true });
    const file = join(root, "a/b/c/file");
    const changes = [
      () => appendFileSync(file, "2"),
      () => writeFileSync(join(root, "new"), ""),
      () => renameSync(file, join(root, "a/moved")),
      () => symlinkSync("nowhere", join(root, "a/link")),
      () => rmSync(join(root, "new")),
    ];
    for (const change of changes) {
      change();
      expect(seen(watch)).toBe(true);
      expect(watch.look()).toEqual({ changed: false, complete: true });
    }
  });

  it("does not see what a snapshot leaves out", async () => {
    const watch = await watching();
    writeFileSync(join(root, "a/scratch.tmp"), "left out");
    writeFileSync(join(root, "cache/deep/file"), "left out");
    writeFileSync(join(folder, "beside"), "not in scope");
    expect(seen(watch)).toBe(false);
    // Root, its parent, a, b, c.
    expect(watch.directories).toBe(5);
  });

  it("takes in directories that come, and loses those that go, without missing what happens in them", async () => {
    const watch = await watching();
    mkdirSync(join(root, "x/y/z"), { recursive: true });
    renameSync(join(root, "a"), join(root, "x/y/a"));
    expect(watch.look().complete).toBe(false);
    expect(await watch.renew()).toBeUndefined();
    watch.look();
    expect(watch.look()).toEqual({ changed: false, complete: true });
    for (const path of ["x/y/z/new", "x/y/a/b/c/file"]) {
      appendFileSync(join(root, path), "more");
      expect(seen(watch)).toBe(true);
    }
    rmSync(join(root, "x"), { recursive: true });
    expect(seen(watch)).toBe(true);
    expect(watch.directories).toBe(2);
    mkdirSync(join(folder, "outside/deep"), { recursive: true });
    renameSync(join(folder, "outside"), join(root, "inside"));
    watch.look();
    await watch.renew();
    expect(watch.directories).toBe(4);
    renameSync(join(root, "inside"), join(folder, "outside"));
    expect(seen(watch)).toBe(true);
    expect(watch.directories).toBe(2);
  });

  it("a root that is replaced, that is a file, or that comes later is noticed", async () => {
    const file = join(folder, "single");
    const later = join(folder, "later");
    writeFileSync(file, "1");
    const watch = await watching([root, file, later]);
    appendFileSync(file, "2");
    expect(seen(watch)).toBe(true);
    renameSync(root, join(folder, "old"));
    mkdirSync(join(root, "fresh"), { recursive: true });
    expect(watch.look()).toMatchObject({ changed: true, complete: false, lost: /replaced|moved/ });
    expect(await watch.renew()).toBeUndefined();
    watch.look();
    writeFileSync(join(root, "fresh/file"), "");
    expect(seen(watch)).toBe(true);
    mkdirSync(later);
    expect(watch.look()).toMatchObject({ changed: true, complete: false });
    await watch.renew();
    watch.look();
    writeFileSync(join(later, "file"), "");
    expect(seen(watch)).toBe(true);
  });

  it("says when more happens than the kernel keeps, and is whole again after that", async () => {
    const watch = await watching();
    const names = Array.from({ length: 20_000 }, (_, i) => join(root, "a", `f${i}`));
    for (const name of names) writeFileSync(name, "");
    expect(watch.look()).toMatchObject({ changed: true, complete: false, lost: /more was changed at once/ });
    expect(await watch.renew()).toBeUndefined();
    watch.look();
    appendFileSync(must(names.at(-1), "a file"), "more");
    expect(seen(watch)).toBe(true);
    expect(watch.look().complete).toBe(true);
  }, 60_000);

  it("keeps out of homes of cairn, which change all the time", async () => {
    const home = join(root, "a/home");
    mkdirSync(join(home, "shards"), { recursive: true });
    writeFileSync(join(home, "cairn-home"), HOME_MARKER);
    const watch = await watching();
    writeFileSync(join(home, "shards/one"), "");
    expect(seen(watch)).toBe(false);
  });

  it("ends in the middle of opening when it is told to, and does not come back to life", async () => {
    for (let i = 0; i < 2000; i++) mkdirSync(join(root, "many", `${i % 50}`, `${i}`), { recursive: true });
    const stop = new AbortController();
    const open = opening([root], {}, stop.signal);
    stop.abort();
    expect(await open).toEqual({ ok: false, reason: "it was closed" });
    const watch = await watching();
    watch.close();
    expect(await watch.renew()).toBe("it was closed");
    expect(watch.directories).toBe(0);
  });

  it("is refused where there are more directories than it may watch, at first and later on", async () => {
    expect(await opening([root], { directoriesMax: 4 })).toMatchObject({
      ok: false,
      reason: /max_user_watches/,
    });
    const result = await opening([root], { directoriesMax: 6 });
    if (!result.ok) throw new Error(result.reason);
    opened.push(result.watch);
    mkdirSync(join(root, "one/two"), { recursive: true });
    result.watch.look();
    expect(await result.watch.renew()).toMatch(/max_user_watches/);
    expect(result.watch.look().complete).toBe(false);
  });
});
