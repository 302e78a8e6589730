import { describe, expect, it } from "vitest";
import { displayPath } from "../../../src/base/paths.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import { effectiveSets, parsePolicy, type Whereabouts } from "../../../src/policy/index.ts";

const issues = (text: string): string[] => {
  const parsed = parsePolicy(text);
  return parsed.ok ? [] : parsed.issues.map(({ line, message }) => `${line}: ${message}`);
};

describe("a policy file that is wrong says where", () => {
  it.each([
    ["version: 2\n", ["1: version: this program reads version 1 of the policy file"]],
    ["sets: {}\n", ["1: version: this program reads version 1 of the policy file"]],
    ["version: 1\n\nset:\n  a: {}\n", ['3: "set" is not known here']],
    [
      "version: 1\nsets:\n  shop:\n    exclude: ['[a']\n    paths: [/srv]\n",
      ['4: sets.shop.exclude.0: "[a" is not a pattern: "[" without its "]".'],
    ],
    [
      "version: 1\nsets:\n  shop:\n    paths: [srv]\n",
      ['4: sets.shop.paths.0: "srv" is not an absolute path'],
    ],
    ["version: 1\nsets:\n  shop:\n    priority: 1\n", ["3: sets.shop.paths: a list of absolute paths"]],
    [
      "version: 1\ndefaults:\n  lock: 30\n",
      ["3: defaults.lock: lock is a duration in words, such as 36h or 30d"],
    ],
    ["version: 1\ndefaults:\n  lock: 401d\n", ["3: defaults.lock: lock is from 0 min to 400 d"]],
    [
      "version: 1\ndefaults:\n  schedule:\n    every: 1h\n    # a comment\n    jitter: 40min\n",
      ["6: defaults.schedule.jitter: jitter is at most half of every"],
    ],
    [
      "version: 1\ndefaults:\n  schedule: {every: 1h, cron: '0 3 * * *'}\n",
      ['3: defaults.schedule: a schedule has either "every" or "cron"'],
    ],
    [
      "version: 1\ndefaults:\n  schedule: {cron: '0 3 31 2 *'}\n",
      ['3: defaults.schedule.cron: "0 3 31 2 *" never comes'],
    ],
    ["version: 1\ndefaults:\n  keep: {dayly: 7}\n", ['3: "dayly" is not known here']],
    [
      "version: 1\ndefaults:\n  keep: {daily: -1}\n",
      ['3: defaults.keep.daily: a number from 0 to 100000, or "all"'],
    ],
    [
      "version: 1\ndefaults:\n  tags: ['set:x']\n",
      ['3: defaults.tags.0: tags that begin with "set:" or "cairn:" are given by cairn itself'],
    ],
    ["version: 1\nversion: 1\n", ["2: Map keys must be unique"]],
    [
      "version: 1\nsets: &x\n  y: *x\n",
      [
        "3: anchors and aliases are not used in a policy file",
        "3: anchors and aliases are not used in a policy file",
      ],
    ],
    ["version: 1\nsets:\n\t- x\n", ["3: Tabs are not allowed as indentation"]],
    ["- 1\n", ["1: Invalid input: expected object, received array"]],
    ["version: 1\nsets:\n  a b:\n    paths: [/a]\n", [expect.stringMatching(/^3: /)]],
  ])("%j", (text, expected) => {
    expect(issues(text)).toEqual(expected);
  });

  it("nothing of a file makes it throw, and a bomb is not opened", () => {
    for (const text of [
      "",
      "{",
      "\u0000",
      "? x",
      "%YAML 9",
      "!!js/function x",
      "a: ".repeat(5000),
      `${"[".repeat(3000)}`,
    ])
      expect(parsePolicy(text).ok).toBe(false);
  });
});

const POLICY = `
version: 1
defaults:
  exclude: ["*.tmp"]        # everywhere
  schedule: { every: 24h, jitter: 30min }
  keep: { daily: 7, weekly: 4 }
  lock: 30d
sites:
  leipzig:
    schedule: { cron: "0 3 * * *", time-zone: Europe/Berlin, catch-up: false }
nodes:
  till-3:
    exclude: ["/srv/cache"]
    priority: 5
sets:
  shop:
    paths: [/srv/shop, /etc]
    exclude: ["!keep.tmp"]
    profile: 6+3
    hooks: { before: [systemctl, stop, shop], time-limit: 2min }
  logs:
    paths: [/var/log]
    nodes: [till-4]
    schedule: none
  photos:
    paths: [/srv/photos]
    sites: [leipzig]
    keep: { yearly: all }
`;

function effective(here: Whereabouts) {
  const parsed = parsePolicy(POLICY);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return effectiveSets(parsed.policy, parsed.lineOf, here);
}

describe("what counts on a node", () => {
  it("is what the nearest level says, with where it says so", () => {
    const [shop, photos, ...rest] = effective({ site: "leipzig", node: "till-3" });
    expect(rest).toEqual([]);
    expect(photos?.name).toBe("photos");
    expect(photos?.keep).toEqual({ value: { yearly: "all" }, from: { level: "set photos", line: 28 } });
    expect(shop?.timing).toEqual({
      value: {
        kind: "cron",
        expression: "0 3 * * *",
        timeZone: "Europe/Berlin",
        jitterMs: 0,
        catchUp: false,
      },
      from: { level: "site leipzig", line: 10 },
    });
    expect(shop?.excludes.map(({ value, from }) => [displayPath(value), from.level, from.line])).toEqual([
      ["*.tmp", "defaults", 4],
      ["/srv/cache", "node till-3", 13],
      ["!keep.tmp", "set shop", 18],
    ]);
    expect(shop?.priority).toEqual({ value: 5, from: { level: "node till-3", line: 14 } });
    expect(shop?.lockMs).toEqual({ value: 30 * DAY_MS, from: { level: "defaults", line: 7 } });
    expect(shop?.profile).toEqual({ value: { k: 6, m: 3 }, from: { level: "set shop", line: 19 } });
    expect(shop?.oneFileSystem).toEqual({ value: false, from: { level: "built-in" } });
    expect(shop?.hooks.value).toEqual({ before: ["systemctl", "stop", "shop"], "time-limit": 2 * MINUTE_MS });
  });

  it("sets of other nodes and sites are not its own", () => {
    const there = effective({ site: "halle", node: "till-4" });
    expect(there.map(({ name }) => name)).toEqual(["shop", "logs"]);
    expect(there[0]?.timing.value).toEqual({
      ...{ kind: "interval", everyMs: 24 * HOUR_MS, jitterMs: 30 * MINUTE_MS, catchUp: true },
    });
    expect(there[1]?.timing).toEqual({ value: undefined, from: { level: "set logs", line: 24 } });
  });
});
