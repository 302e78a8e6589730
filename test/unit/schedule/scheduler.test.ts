import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { Log } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../../../src/base/units.ts";
import type { HookEnd, HookRequest, MetaStore } from "../../../src/ports/index.ts";
import { RunRecords, Scheduler, type SetSnapshot } from "../../../src/schedule/index.ts";

import { SetWatches } from "../../../src/watch/index.ts";
import { FakeWatcher, fakeTree } from "../../support/fake-watcher.ts";

const START_MS = Date.UTC(2026, 10, 21, 12);
const HOURLY = "version: 1\nsets:\n  shop: { paths: [/srv], schedule: { every: 1h } }\n";

interface Taken {
  readonly tags: readonly string[];
  readonly atMs: number;
}

/** A clock that somebody can set. */
class SetClock extends VirtualClock {
  offsetMs = 0;
  override wallMs(): number {
    return super.wallMs() + this.offsetMs;
  }
}

let clock: SetClock;
let store: MetaStore;
let text: string | undefined;
let taken: Taken[];
let hooks: HookRequest[];
let hookEnd: (request: HookRequest) => HookEnd;
let logged: { level: string; event: string; fields: Readonly<Record<string, unknown>> }[];
let mayRun: boolean;
let watcher: FakeWatcher;
/** What a snapshot does; throws what makes it impossible. */
let snapshot: (request: SetSnapshot<undefined>) => Promise<void>;

beforeEach(() => {
  clock = new SetClock(START_MS);
  const disk = new SimDisk({ clock, rng: new SeededRng("schedule"), totalBytes: 2 ** 30 });
  store = new SimMetaDisk(disk).open();
  text = HOURLY;
  taken = [];
  hooks = [];
  hookEnd = () => ({ ok: true });
  logged = [];
  mayRun = true;
  watcher = new FakeWatcher();
  snapshot = async () => {
    await clock.sleep(MINUTE_MS);
  };
});

const at =
  (level: string) =>
  (event: string, fields: Readonly<Record<string, unknown>> = {}) =>
    void logged.push({ level, event, fields });
const log: Log = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
const events = (event: string) => logged.filter((line) => line.event === event);

async function started(): Promise<
  Scheduler<undefined, { id: Uint8Array; state: string; unreadable: number }>
> {
  const scheduler = new Scheduler<undefined, { id: Uint8Array; state: string; unreadable: number }>({
    ...{ clock, log, seed: "node" },
    file: {
      read: async () => text,
      write: async (given) => {
        text = given;
      },
    },
    hooks: {
      run: async (request) => {
        hooks.push(request);
        return hookEnd(request);
      },
    },
    records: await RunRecords.open(store),
    watches: new SetWatches({ clock, log, watcher, tree: fakeTree(clock), leavesOut: () => () => false }),
    here: () => ({ site: "leipzig", node: "till-3" }),
    async snapshot(request) {
      const atMs = clock.wallMs();
      await snapshot(request);
      request.signal.throwIfAborted();
      taken.push({ tags: request.tags, atMs });
      return { id: new Uint8Array(32).fill(taken.length), state: "safe", unreadable: 0 };
    },
    taken: (one) => one,
    mayRun: () => mayRun,
  });
  await scheduler.start();
  return scheduler;
}

describe("the scheduler", () => {
  it("saves a set as often as it should be, over a restart too", async () => {
    const first = await started();
    await clock.advance(5 * HOUR_MS + 30 * MINUTE_MS);
    expect(taken.map(({ atMs }) => (atMs - START_MS) / HOUR_MS)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(taken[0]?.tags).toEqual(["set:shop"]);
    await clock.until(first.stop(), DAY_MS);
    const second = await started();
    await clock.advance(20 * MINUTE_MS);
    expect(taken).toHaveLength(6);
    await clock.advance(20 * MINUTE_MS);
    expect(taken).toHaveLength(7);
    await clock.until(second.stop(), DAY_MS);
  });

  it("one set at a time, the more important first", async () => {
    text = `version: 1
sets:
  low: { paths: [/a], schedule: { every: 1h } }
  high: { paths: [/b], priority: 5, schedule: { every: 1h } }
`;
    let underWay = 0;
    snapshot = async () => {
      expect(++underWay).toBe(1);
      await clock.sleep(40 * MINUTE_MS);
      underWay--;
    };
    const scheduler = await started();
    await clock.advance(80 * MINUTE_MS);
    expect(taken.map(({ tags }) => tags[0])).toEqual(["set:high", "set:low"]);
    // Longer than both together fit: each still has its turn.
    await clock.advance(20 * HOUR_MS);
    const turns = taken.filter(({ tags }) => tags[0] === "set:low").length;
    expect(turns).toBeGreaterThan(5);
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("a failure is written down, told, and tried again; it ends nothing", async () => {
    let fails = 2;
    snapshot = async () => {
      if (fails-- > 0) throw new Fault({ code: "SPOOL_FULL", usedBytes: 1, maxBytes: 1 });
    };
    const scheduler = await started();
    await clock.advance(MINUTE_MS);
    const { standing } = scheduler;
    expect(standing.state === "valid" && standing.sets[0]?.last).toMatchObject({
      failures: 1,
      reason: /spool is full/,
    });
    expect(events("set-failed")).toMatchObject([
      { level: "error", fields: { set: "shop", retryInMs: 5 * MINUTE_MS } },
    ]);
    await clock.advance(20 * MINUTE_MS);
    expect(taken).toHaveLength(1);
    expect(scheduler.standing).toMatchObject({ sets: [{ last: { failures: 0 } }] });
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("a policy that is not valid changes nothing, is said once, and is used when it was mended", async () => {
    const scheduler = await started();
    await clock.advance(2 * MINUTE_MS);
    text = "version: 1\nsets: 5\n";
    await clock.advance(3 * HOUR_MS);
    expect(taken).toHaveLength(4);
    expect(scheduler.standing).toMatchObject({
      state: "invalid",
      issues: [{ line: 2 }],
      sets: [{ set: { name: "shop" } }],
    });
    expect(events("policy-invalid")).toHaveLength(1);
    await expect(scheduler.replace("sets: {}")).rejects.toMatchObject({ detail: { code: "POLICY_INVALID" } });
    expect(text).toBe("version: 1\nsets: 5\n");
    text = HOURLY.replace("shop", "office");
    await clock.advance(MINUTE_MS);
    expect(scheduler.standing).toMatchObject({ state: "valid", sets: [{ set: { name: "office" } }] });
    expect(events("policy-removed")).toEqual([]);
    text = undefined;
    await clock.advance(2 * MINUTE_MS);
    expect(scheduler.standing).toEqual({ state: "none" });
    expect(events("policy-removed")).toHaveLength(1);
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("a clock set back a year, and one set forward, cost one snapshot each and stop nothing", async () => {
    const scheduler = await started();
    await clock.advance(90 * MINUTE_MS);
    expect(taken).toHaveLength(2);
    clock.offsetMs = -365 * DAY_MS;
    await clock.advance(2 * MINUTE_MS);
    expect(taken).toHaveLength(3);
    await clock.advance(61 * MINUTE_MS);
    expect(taken).toHaveLength(4);
    clock.offsetMs = 365 * DAY_MS;
    await clock.advance(2 * MINUTE_MS);
    expect(taken).toHaveLength(5);
    await clock.advance(61 * MINUTE_MS);
    expect(taken).toHaveLength(6);
    expect(events("clock-stepped")).toHaveLength(2);
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("begins nothing while it may not, and ends what is under way when it is told to stop", async () => {
    mayRun = false;
    const scheduler = await started();
    await clock.advance(3 * HOUR_MS);
    expect(taken).toEqual([]);
    mayRun = true;
    snapshot = ({ signal }) => clock.sleep(DAY_MS, signal);
    await clock.advance(MINUTE_MS);
    await clock.until(scheduler.stop(), MINUTE_MS);
    expect(taken).toEqual([]);
    // Neither a failure nor a success: begun again at the next start.
    expect((await RunRecords.open(store)).of("shop")).toBeUndefined();
  });
});

describe("hooks", () => {
  const HOOKED = `version: 1
sets:
  shop:
    paths: [/srv]
    schedule: { every: 1h }
    hooks: { before: [stop, shop], after: [start, shop], time-limit: 2min }
`;

  it("run before and after, told what came of it", async () => {
    text = HOOKED;
    const scheduler = await started();
    await clock.advance(2 * MINUTE_MS);
    expect(
      hooks.map(({ argv, timeLimitMs, environment }) => [argv.join(" "), timeLimitMs, environment]),
    ).toEqual([
      ["stop shop", 2 * MINUTE_MS, { CAIRN_SET: "shop", CAIRN_PHASE: "before" }],
      [
        ...["start shop", 2 * MINUTE_MS],
        { CAIRN_SET: "shop", CAIRN_PHASE: "after", CAIRN_RESULT: "done", CAIRN_SNAPSHOT: "01".repeat(32) },
      ],
    ]);
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("one that fails before stops the snapshot; what it may have stopped is started again", async () => {
    text = HOOKED;
    hookEnd = ({ argv }) =>
      argv[0] === "stop" ? { ok: false, reason: "it exited with status 1", said: "busy" } : { ok: true };
    const scheduler = await started();
    await clock.advance(2 * MINUTE_MS);
    expect(taken).toEqual([]);
    expect(hooks.map(({ argv }) => argv[0])).toEqual(["stop", "start"]);
    expect(hooks[1]?.environment).toMatchObject({ CAIRN_RESULT: "failed" });
    expect(scheduler.standing).toMatchObject({ sets: [{ last: { failures: 1 } }] });
    expect(events("hook-failed")).toMatchObject([{ fields: { phase: "before", said: "busy" } }]);
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("one that fails afterwards takes no snapshot back, and is not hidden", async () => {
    text = HOOKED;
    hookEnd = ({ argv }) =>
      argv[0] === "start" ? { ok: false, reason: "it exited with status 1", said: "" } : { ok: true };
    const scheduler = await started();
    await clock.advance(2 * MINUTE_MS);
    expect(taken).toHaveLength(1);
    expect(scheduler.standing).toMatchObject({
      sets: [
        {
          last: {
            failures: 0,
            reason: "the snapshot was made, but the hook after it failed: it exited with status 1",
          },
        },
      ],
    });
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("the one after also runs when the daemon stops in the middle", async () => {
    text = HOOKED;
    snapshot = ({ signal }) => clock.sleep(DAY_MS, signal);
    const scheduler = await started();
    await clock.advance(2 * MINUTE_MS);
    await clock.until(scheduler.stop(), MINUTE_MS);
    expect(hooks.map(({ argv }) => argv[0])).toEqual(["stop", "start"]);
  });
});

it("a node without a policy says nothing of it", async () => {
  text = undefined;
  const scheduler = await started();
  await clock.advance(DAY_MS);
  expect(logged).toEqual([]);
  await clock.until(scheduler.stop(), DAY_MS);
});

it("a set can be saved by hand at any time, and one that is not there cannot", async () => {
  text = "version: 1\nsets:\n  shop: { paths: [/srv] }\n";
  const scheduler = await started();
  await clock.advance(DAY_MS);
  expect(taken).toEqual([]);
  const options = { signal: new AbortController().signal, onProgress: () => {} };
  await clock.until(scheduler.runNow("shop", options), HOUR_MS);
  expect(taken).toHaveLength(1);
  await expect(scheduler.runNow("ship", options)).rejects.toMatchObject({ detail: { code: "SET_UNKNOWN" } });
  await clock.until(scheduler.stop(), DAY_MS);
});

it("records of sets that went are bounded, and what cannot be read is no loss", async () => {
  const records = await RunRecords.open(store);
  const run = { startedMs: 1, failures: 0, unreadable: 0 };
  for (let i = 0; i < 300; i++) await records.save(`set${i}`, { ...run, endedMs: i });
  await store.write([{ type: "put", key: utf8("set299"), value: utf8("?") }], { sync: true });
  const again = await RunRecords.open(store);
  expect(again.of("set43")).toBeUndefined();
  expect(again.of("set44")).toMatchObject({ endedMs: 44 });
  expect(again.of("set299")).toBeUndefined();
});

describe("a continuous set", () => {
  const minutes = () => taken.map(({ atMs }) => (atMs - START_MS) / MINUTE_MS);
  beforeEach(() => {
    text = "version: 1\nsets:\n  shop: { paths: [/srv], continuous: 5min }\n";
    snapshot = async () => {
      await clock.sleep(10 * SECOND_MS);
    };
  });

  it("saves what has changed soon after it, nothing while nothing does, and once a day all the same", async () => {
    const scheduler = await started();
    await clock.advance(MINUTE_MS);
    expect(taken).toHaveLength(1);
    await clock.advance(6 * HOUR_MS);
    expect(taken).toHaveLength(1);
    watcher.change();
    await clock.advance(MINUTE_MS);
    expect(taken).toHaveLength(2);
    await clock.advance(25 * HOUR_MS);
    expect(taken).toHaveLength(3);
    await clock.until(scheduler.stop(), DAY_MS);
    expect(watcher.isOpen).toBe(false);
  });

  it("saves what changes all the time as often as it should, and no more often", async () => {
    const scheduler = await started();
    for (let seconds = 0; seconds < 3600; seconds++) {
      watcher.change();
      await clock.advance(SECOND_MS);
    }
    expect(taken.length).toBeGreaterThanOrEqual(12);
    expect(taken.length).toBeLessThanOrEqual(13);
    const gaps = minutes().map((at, i) => at - (minutes()[i - 1] ?? at - 5));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5);
    await clock.until(scheduler.stop(), DAY_MS);
  });

  it("counts as unsaved what was changed while it was saved, and everything when that failed", async () => {
    let fails = false;
    snapshot = async () => {
      watcher.change();
      await clock.sleep(10 * SECOND_MS);
      if (fails) throw new Fault({ code: "SPOOL_FULL", usedBytes: 1, maxBytes: 1 });
    };
    const scheduler = await started();
    await clock.advance(MINUTE_MS);
    expect(taken).toHaveLength(1);
    const sight = () => {
      const { standing } = scheduler;
      return standing.state === "valid" ? standing.sets[0]?.sight : undefined;
    };
    expect(sight()?.unsaved).toBeDefined();
    fails = true;
    await clock.advance(5 * MINUTE_MS);
    expect(events("set-failed")).toHaveLength(1);
    expect(sight()?.unsaved?.firstAgoMs).toBeGreaterThan(5 * MINUTE_MS);
    await clock.until(scheduler.stop(), DAY_MS);
  });
});
