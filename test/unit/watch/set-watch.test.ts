import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimFiles } from "../../../sim/files.ts";
import { must } from "../../../src/base/assert.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import type { Log } from "../../../src/base/log.ts";
import { bytePathOf } from "../../../src/base/paths.ts";
import { HOUR_MS, MINUTE_MS, SECOND_MS } from "../../../src/base/units.ts";
import { type SetWatch, SetWatches } from "../../../src/watch/index.ts";
import { FakeWatcher } from "../../support/fake-watcher.ts";

const EVERY_MS = 10 * MINUTE_MS;

let clock: VirtualClock;
let files: SimFiles;
let watcher: FakeWatcher;
let watches: SetWatches;
let events: string[];

beforeEach(() => {
  clock = new VirtualClock(Date.UTC(2026, 10, 21, 12));
  files = new SimFiles(() => clock.wallMs());
  files.write(bytePathOf("/srv/a"), utf8("a"));
  watcher = new FakeWatcher();
  events = [];
  const note = (event: string): void => void events.push(event);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  watches = new SetWatches({
    ...{ clock, log, watcher, tree: files.tree() },
    leavesOut: () => (path) => path.endsWith(".tmp"),
  });
});

async function watched(): Promise<SetWatch> {
  watches.follow([
    { name: "shop", everyMs: EVERY_MS, paths: [bytePathOf("/srv")], excludes: [], oneFileSystem: false },
  ]);
  await clock.advance(SECOND_MS);
  return must(watches.of("shop"), "a watch");
}

/** A snapshot was made; what is unsaved then. */
async function saved(watch: SetWatch, meanwhile: () => void = () => {}): Promise<unknown> {
  await clock.until(watch.begin(), MINUTE_MS);
  meanwhile();
  await clock.advance(5 * SECOND_MS);
  watch.end(true);
  return watch.sight.unsaved;
}

describe("a set that is watched", () => {
  it("has changes until a snapshot was begun while everything was seen", async () => {
    const watch = await watched();
    expect(watch.sight).toMatchObject({ mode: { how: "watching", directories: 7 }, unsaved: {} });
    expect(await saved(watch)).toBeUndefined();
    watcher.change();
    await clock.advance(MINUTE_MS);
    expect(watch.sight.unsaved?.firstAgoMs).toBeGreaterThan(50 * SECOND_MS);
    expect(await saved(watch, () => watcher.change())).toBeDefined();
    await clock.until(watches.stop(), HOUR_MS);
    expect(watcher.isOpen).toBe(false);
  });

  it("counts what went unseen as a change, and is made whole when the next snapshot begins, not before", async () => {
    const watch = await watched();
    await saved(watch);
    const before = watcher.renewals;
    watcher.lost = "the queue was full";
    await clock.advance(HOUR_MS);
    expect(watch.sight.unsaved).toBeDefined();
    expect(watcher.renewals).toBe(before);
    expect(events.filter((event) => event === "watch-lost")).toHaveLength(1);
    expect(await saved(watch)).toBeUndefined();
    expect(watcher.renewals).toBe(before + 1);
    // Lost while it is saved: what comes after that is not known.
    expect(await saved(watch, () => (watcher.lost = "again"))).toBeDefined();
    await clock.until(watches.stop(), HOUR_MS);
  });

  it("what begins while not everything is seen saves what was, and leaves the rest in doubt", async () => {
    const watch = await watched();
    await clock.advance(HOUR_MS);
    watcher.isBusy = true;
    expect(await saved(watch)).toBeDefined();
    // Since that one began, and not since whenever.
    expect(watch.sight.unsaved?.firstAgoMs).toBeLessThan(MINUTE_MS);
    watcher.isBusy = false;
    expect(await saved(watch)).toBeUndefined();
    await clock.until(watches.stop(), HOUR_MS);
  });

  it("is looked through again and again where it cannot be watched, and watched once it can", async () => {
    watcher.refusal = "there are too many directories";
    const watch = await watched();
    expect(watch.sight.mode).toEqual({ how: "rescanning", why: "there are too many directories" });
    expect(await saved(watch)).toBeUndefined();
    await clock.advance(20 * MINUTE_MS);
    files.write(bytePathOf("/srv/left-out.tmp"), utf8("?"));
    await clock.advance(20 * MINUTE_MS);
    expect(watch.sight.unsaved).toBeDefined(); // the time of the directory
    expect(await saved(watch)).toBeUndefined();
    await clock.advance(10 * MINUTE_MS);
    expect(watch.sight.unsaved).toBeUndefined();
    files.write(bytePathOf("/srv/a"), utf8("b"));
    await clock.advance(EVERY_MS / 2 + SECOND_MS);
    // It may have been changed as soon as the rescan before had looked.
    expect(watch.sight.unsaved?.firstAgoMs).toBeGreaterThanOrEqual(EVERY_MS / 2);
    watcher.refusal = undefined;
    await clock.advance(2 * HOUR_MS);
    expect(watch.sight.mode.how).toBe("watching");
    expect(await saved(watch)).toBeUndefined();
    expect(events.filter((event) => event === "watch-refused")).toHaveLength(1);
    await clock.until(watches.stop(), HOUR_MS);
  });

  it("a watch that cannot be made whole any more is given up, and nothing counts as saved by it", async () => {
    const watch = await watched();
    await saved(watch);
    watcher.refusal = "the limit was reached";
    expect(await saved(watch)).toBeDefined();
    await clock.advance(MINUTE_MS);
    expect(watch.sight.mode).toEqual({ how: "rescanning", why: "the limit was reached" });
    expect(watcher.isOpen).toBe(false);
    await clock.until(watches.stop(), HOUR_MS);
  });

  it("goes on when the policy is read again and says the same, and begins anew when it says something else", async () => {
    const watch = await watched();
    expect(await watched()).toBe(watch);
    watches.follow([
      { name: "shop", everyMs: EVERY_MS, paths: [bytePathOf("/etc")], excludes: [], oneFileSystem: false },
    ]);
    expect(watches.of("shop")).not.toBe(watch);
    expect(watches.sightOf("shop")).toMatchObject({ mode: { how: "opening" }, unsaved: {} });
    await clock.until(watches.stop(), HOUR_MS);
  });
});
