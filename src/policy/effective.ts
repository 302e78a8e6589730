import { type BytePath, bytePathOf } from "../base/paths.ts";

import type { LineOf } from "./document.ts";
import { rulesText } from "./retention.ts";
import type { Forgets, Hooks, Keep, PolicyDocument, PolicyLevel, PolicySet, Uplink } from "./schema.ts";
import type { Timing } from "./timing.ts";
import type { UplinkRule } from "./uplink.ts";

/** Where a value was said: `built-in`, `defaults`, `site leipzig`, `node till-3`, `set shop`; and on which line. */
export interface Origin {
  readonly level: string;
  readonly line?: number;
}

export interface Sourced<T> {
  readonly value: T;
  readonly from: Origin;
}

/** Which node asks: the same file may lie on every machine. */
export interface Whereabouts {
  readonly site: string;
  readonly node: string;
}

/** What counts for one set on this node, each value with where it came from. */
export interface EffectiveSet {
  readonly name: string;
  readonly paths: Sourced<readonly BytePath[]>;
  /** Those of all levels, the widest first: a later pattern can take back an earlier one. */
  readonly excludes: readonly Sourced<BytePath>[];
  readonly oneFileSystem: Sourced<boolean>;
  /** `undefined`: auto. */
  readonly profile: Sourced<{ readonly k: number; readonly m: number } | undefined>;
  readonly tags: Sourced<readonly string[]>;
  /** `undefined`: only when told. */
  readonly timing: Sourced<Timing | undefined>;
  /** How soon after a change there should be a snapshot; `undefined`: changes begin none. */
  readonly continuousMs: Sourced<number | undefined>;
  readonly keep: Sourced<Keep>;
  readonly forgets: Sourced<Forgets>;
  readonly lockMs: Sourced<number>;
  readonly hooks: Sourced<Hooks>;
  readonly priority: Sourced<number>;
}

interface Layer {
  readonly name: string;
  readonly path: readonly string[];
  readonly values: PolicyLevel;
}

/** Sets of this node, in the order of the file. The nearest level that says something counts, key by key. */
export function effectiveSets(policy: PolicyDocument, lineOf: LineOf, here: Whereabouts): EffectiveSet[] {
  return Object.entries(policy.sets ?? {})
    .filter(([, set]) => isFor(set, here))
    .map(([name, set]) => effectiveSet(name, set, layersOf(policy, here, name, set), lineOf));
}

/** Whether the daemon acts on the rules of a set: where there are none, everything is kept. */
export function forgetsByItself({ keep, forgets }: Pick<EffectiveSet, "keep" | "forgets">): boolean {
  return forgets.value === "by-itself" && rulesText(keep.value) !== "";
}

/** What this node may send: what is said nearest to it, as a whole. `undefined`: nobody says anything. */
export function effectiveUplink(
  policy: PolicyDocument,
  lineOf: LineOf,
  here: Whereabouts,
): Sourced<UplinkRule> | undefined {
  const levels = [
    { level: `node ${here.node}`, path: ["nodes", here.node], uplink: policy.nodes?.[here.node]?.uplink },
    { level: `site ${here.site}`, path: ["sites", here.site], uplink: policy.sites?.[here.site]?.uplink },
    { level: "defaults", path: ["defaults"], uplink: policy.defaults?.uplink },
  ];
  for (const { level, path, uplink } of levels) {
    if (uplink === undefined) continue;
    const line = lineOf([...path, "uplink"]);
    return { value: ruleOf(uplink), from: line === undefined ? { level } : { level, line } };
  }
  return undefined;
}

function ruleOf({ "at-most": bitsPerSecond, "time-zone": timeZone, windows = [] }: Uplink): UplinkRule {
  return {
    bitsPerSecond,
    timeZone,
    windows: windows.map(({ from, to, days, "at-most": bits }) => {
      return { fromMinute: from, toMinute: to, days, bitsPerSecond: bits };
    }),
  };
}

function isFor({ sites, nodes }: PolicySet, here: Whereabouts): boolean {
  if (sites === undefined && nodes === undefined) return true;
  return sites?.includes(here.site) === true || nodes?.includes(here.node) === true;
}

/** The widest first. */
function layersOf(policy: PolicyDocument, here: Whereabouts, name: string, set: PolicySet): Layer[] {
  const site = policy.sites?.[here.site];
  const node = policy.nodes?.[here.node];
  return [
    ...(policy.defaults === undefined
      ? []
      : [{ name: "defaults", path: ["defaults"], values: policy.defaults }]),
    ...(site === undefined ? [] : [{ name: `site ${here.site}`, path: ["sites", here.site], values: site }]),
    ...(node === undefined ? [] : [{ name: `node ${here.node}`, path: ["nodes", here.node], values: node }]),
    { name: `set ${name}`, path: ["sets", name], values: set },
  ];
}

function effectiveSet(name: string, set: PolicySet, layers: readonly Layer[], lineOf: LineOf): EffectiveSet {
  const origin = (layer: Layer, ...path: PropertyKey[]): Origin => {
    const line = lineOf([...layer.path, ...path]);
    return line === undefined ? { level: layer.name } : { level: layer.name, line };
  };
  const nearest = <K extends keyof PolicyLevel, T>(
    key: K,
    otherwise: T,
    read: (value: NonNullable<PolicyLevel[K]>) => T,
  ): Sourced<T> => {
    for (const layer of [...layers].reverse()) {
      const value = layer.values[key];
      if (value !== undefined && value !== null) return { value: read(value), from: origin(layer, key) };
    }
    return { value: otherwise, from: { level: "built-in" } };
  };
  const own = layers.at(-1);
  const none: Hooks = {};
  return {
    name,
    paths: {
      value: set.paths.map(bytePathOf),
      from: own === undefined ? { level: `set ${name}` } : origin(own, "paths"),
    },
    excludes: layers.flatMap((layer) =>
      (layer.values.exclude ?? []).map((pattern, position) => ({
        value: bytePathOf(pattern),
        from: origin(layer, "exclude", position),
      })),
    ),
    oneFileSystem: nearest("one-file-system", false, (value) => value),
    profile: nearest("profile", undefined, profileOf),
    tags: nearest<"tags", readonly string[]>("tags", [], (value) => value),
    timing: nearest("schedule", undefined, timingOf),
    continuousMs: nearest("continuous", undefined, (value) => (value === "none" ? undefined : value)),
    keep: nearest("keep", {}, (value): Keep => value),
    forgets: nearest<"forget", Forgets>("forget", "by-itself", (value) => value),
    lockMs: nearest("lock", 0, (value) => value),
    hooks: nearest("hooks", none, (value) => value),
    priority: nearest("priority", 0, (value) => value),
  };
}

function profileOf(text: string): { k: number; m: number } | undefined {
  const match = /^(\d+)\+(\d+)$/.exec(text);
  return match === null ? undefined : { k: Number(match[1]), m: Number(match[2]) };
}

function timingOf(schedule: NonNullable<PolicyLevel["schedule"]>): Timing | undefined {
  if (schedule === "none") return undefined;
  const { every, cron, jitter = 0, "catch-up": catchUp = true, "time-zone": timeZone } = schedule;
  const common = { jitterMs: jitter, catchUp };
  if (every !== undefined) return { kind: "interval", everyMs: every, ...common };
  if (cron === undefined) return undefined;
  return { kind: "cron", expression: cron, ...(timeZone === undefined ? {} : { timeZone }), ...common };
}
