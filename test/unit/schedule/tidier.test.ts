import { beforeEach, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { SimDisk } from "../../../sim/disk.ts";
import { SimMetaDisk } from "../../../sim/meta-store.ts";
import { SeededRng } from "../../../sim/rng.ts";
import { must } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import type { Log } from "../../../src/base/log.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { effectiveSets, parsePolicy } from "../../../src/policy/index.ts";
import type { MetaStore } from "../../../src/ports/index.ts";
import { type Forgotten, type PolicyStanding, Tidier, TidyRecords } from "../../../src/schedule/index.ts";

const START_MS = Date.UTC(2026, 10, 21, 12);
const RULES = { forgetEveryMs: DAY_MS, forgetPauseMs: HOUR_MS, pruneEveryMs: DAY_MS };

let clock: VirtualClock;
let store: MetaStore;
let keep: string;
let savedMs: number | undefined;
let isValid: boolean;
let mayRun: boolean;
/** Hours since the start. */
let forgot: { atHours: number; sets: readonly string[] }[];
let pruned: number[];
let forget: () => Promise<Forgotten>;
let logged: string[];

const hours = (): number => (clock.wallMs() - START_MS) / HOUR_MS;
const at = (event: string): void => void logged.push(event);
const log: Log = { debug: at, info: at, warn: at, error: at };

beforeEach(() => {
  clock = new VirtualClock(START_MS);
  const disk = new SimDisk({ clock, rng: new SeededRng("tidier"), totalBytes: 2 ** 30 });
  store = new SimMetaDisk(disk).open();
  keep = "keep: { daily: 7 }";
  savedMs = undefined;
  isValid = true;
  mayRun = true;
  forgot = [];
  pruned = [];
  logged = [];
  forget = async () => ({ kept: 3, forgotten: 2 });
});

function policy(): PolicyStanding {
  const parsed = parsePolicy(
    `version: 1\nsets:\n  shop: { paths: [/srv], ${keep} }\n  all: { paths: [/all] }\n`,
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  const sets = effectiveSets(parsed.policy, parsed.lineOf, { site: "a", node: "n" }).map((set) => ({
    ...{ set, isRunning: false, dueMs: undefined, sight: undefined },
    last:
      savedMs === undefined
        ? undefined
        : { startedMs: savedMs, endedMs: savedMs, failures: 0, unreadable: 0 },
  }));
  return isValid ? { state: "valid", sets } : { state: "invalid", issues: [], sets };
}

function started(): Tidier {
  const tidier = new Tidier({
    ...{ clock, log, rules: RULES, seed: "node" },
    records: TidyRecords.open(store),
    policy: async () => policy(),
    async forget(sets, signal) {
      forgot.push({ atHours: hours(), sets: sets.map(({ name }) => name) });
      const done = await forget();
      signal.throwIfAborted();
      return done;
    },
    async prune() {
      pruned.push(hours());
      return { segments: 1, bytes: 100 };
    },
    mayRun: () => mayRun,
  });
  tidier.start();
  return tidier;
}

const stopped = (tidier: Tidier): Promise<void> => clock.until(tidier.stop(), DAY_MS);

it("forgets daily by the rules of the sets that have any, and prunes what that freed; over a restart too", async () => {
  const first = started();
  await clock.advance(3 * HOUR_MS);
  expect(forgot).toEqual([{ atHours: 1, sets: ["shop"] }]);
  expect(pruned).toHaveLength(1);
  await stopped(first);
  const second = started();
  await clock.advance(20 * HOUR_MS);
  expect(forgot).toHaveLength(1);
  await clock.advance(3 * HOUR_MS);
  expect([forgot.length, pruned.length]).toEqual([2, 2]);
  expect(second.standing(policy())).toMatchObject({
    sets: ["shop"],
    forget: { last: { kept: 3, forgotten: 2, failures: 0 } },
    prune: { last: { segments: 1, bytes: 100 } },
  });
  await stopped(second);
});

it("forgets after a snapshot of a set, at most once in a pause", async () => {
  const tidier = started();
  await clock.advance(90 * MINUTE_MS);
  savedMs = clock.wallMs();
  await clock.advance(31 * MINUTE_MS);
  expect(forgot.map(({ atHours }) => Math.floor(atHours))).toEqual([1, 2]);
  savedMs = clock.wallMs();
  await clock.advance(30 * MINUTE_MS);
  expect(forgot).toHaveLength(2);
  await clock.advance(31 * MINUTE_MS);
  expect(forgot).toHaveLength(3);
  await stopped(tidier);
});

it.each<[string, () => void]>([
  ["no set has a rule", () => (keep = "keep: { last: 0 }")],
  ["rules are to be acted on when told", () => (keep = "keep: { daily: 7 }, forget: when-told")],
  ["the file is not valid", () => (isValid = false)],
  ["the node may not act", () => (mayRun = false)],
])("forgets nothing where %s", async (_, given) => {
  given();
  const tidier = started();
  await clock.advance(25 * HOUR_MS);
  expect([forgot, pruned]).toEqual([[], []]);
  await stopped(tidier);
});

it("tells a failure, tries again, and prunes nothing meanwhile", async () => {
  forget = async () => {
    throw new Fault({ code: "NOT_ALLOWED", reason: "peers have seen a newer state" });
  };
  const tidier = started();
  await clock.advance(HOUR_MS + 6 * MINUTE_MS);
  expect(forgot).toHaveLength(2);
  expect(must(tidier.standing(policy()), "standing").forget.last).toMatchObject({ failures: 2 });
  expect(logged.filter((event) => event === "retention-failed")).toHaveLength(2);
  expect(pruned).toEqual([]);
  forget = async () => ({ kept: 5, forgotten: 0, held: "the clock is off" });
  await clock.advance(HOUR_MS);
  expect(must(tidier.standing(policy()), "standing").forget.last).toMatchObject({
    ...{ failures: 0, held: "the clock is off" },
  });
  expect(logged).toContain("retention-held");
  await stopped(tidier);
});
