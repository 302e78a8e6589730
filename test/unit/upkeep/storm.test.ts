import { describe, expect, test } from "vitest";
import type { PeerId } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS } from "../../../src/base/units.ts";
import {
  mayDrop,
  type NodeLiveness,
  permissionFor,
  type UpkeepMember,
  weatherOf,
} from "../../../src/upkeep/index.ts";
import { peerNamed } from "../placement/nodes.ts";
import { membersOf, standing } from "./world.ts";

const NOW_MS = 50 * DAY_MS;

/** All alive but those named, each silent for so many hours. */
function nodesWith(
  roster: readonly UpkeepMember[],
  silentHours: Readonly<Record<string, number>>,
  changes: Partial<NodeLiveness> = {},
): Map<PeerId, NodeLiveness> {
  const nodes = new Map(roster.map(({ peer }): [PeerId, NodeLiveness] => [peer, standing("alive")]));
  for (const [name, hours] of Object.entries(silentHours)) {
    nodes.set(peerNamed(name), standing("absent", NOW_MS - hours * HOUR_MS, changes));
  }
  return nodes;
}

function kindOf(shape: readonly number[], silentHours: Readonly<Record<string, number>>): string {
  const roster = membersOf(shape);
  return weatherOf(nodesWith(roster, silentHours), roster, NOW_MS).kind;
}

describe("weather", () => {
  test.each([
    { what: "nobody away", shape: [3, 3, 3], silent: {}, is: "calm" },
    { what: "two of one site", shape: [3, 3, 3], silent: { "0-0": 1, "0-1": 1 }, is: "calm" },
    { what: "one whole site", shape: [3, 3, 3], silent: { "0-0": 1, "0-1": 1, "0-2": 1 }, is: "calm" },
    { what: "three at two sites", shape: [3, 3, 3], silent: { "0-0": 1, "0-1": 2, "1-2": 3 }, is: "frozen" },
    {
      what: "three at two sites, one after the other",
      shape: [3, 3, 3],
      silent: { "0-0": 1, "0-1": 8, "1-2": 15 },
      is: "calm",
    },
    {
      what: "two whole sites of one node",
      shape: [1, 1, 1, 1, 1],
      silent: { "0-0": 1, "1-0": 2 },
      is: "frozen",
    },
    { what: "two sites, hours apart", shape: [1, 1, 1, 1, 1], silent: { "0-0": 1, "1-0": 10 }, is: "calm" },
    { what: "two nodes of larger sites", shape: [2, 2, 2], silent: { "0-0": 1, "1-0": 1 }, is: "calm" },
    {
      what: "three of thirty: not more than a tenth",
      shape: [10, 10, 10],
      silent: { "0-0": 1, "1-0": 1, "2-0": 1 },
      is: "calm",
    },
    {
      what: "four of thirty",
      shape: [10, 10, 10],
      silent: { "0-0": 1, "1-0": 1, "2-0": 1, "2-1": 1 },
      is: "frozen",
    },
    { what: "half of four", shape: [2, 2], silent: { "0-0": 1, "0-1": 1 }, is: "cut-off" },
    { what: "two of five at two sites", shape: [3, 2], silent: { "1-0": 1, "1-1": 1 }, is: "calm" },
    { what: "two of three", shape: [1, 1, 1], silent: { "1-0": 99, "2-0": 1 }, is: "cut-off" },
  ])("$what: $is", ({ shape, silent, is }) => {
    expect(kindOf(shape, silent)).toBe(is);
  });

  test("a frost ends 72 h after it began, and at once when enough are back", () => {
    const roster = membersOf([3, 3, 3]);
    const silent = { "0-0": 1, "0-1": 2, "1-2": 3 };
    const frozen = weatherOf(nodesWith(roster, silent), roster, NOW_MS);
    expect(frozen).toEqual({
      kind: "frozen",
      untilMs: NOW_MS + 71 * HOUR_MS,
      gone: [peerNamed("1-2"), peerNamed("0-1"), peerNamed("0-0")],
    });
    expect(weatherOf(nodesWith(roster, silent), roster, NOW_MS + 71 * HOUR_MS).kind).toBe("calm");
    expect(kindOf([3, 3, 3], { "0-0": 1, "1-2": 3 })).toBe("calm");
  });

  test("who announced an outage freezes nothing, and still is not seen", () => {
    const roster = membersOf([3, 3, 3]);
    const planned = { plannedUntilMs: NOW_MS + HOUR_MS };
    const three = nodesWith(roster, { "0-0": 1, "0-1": 1, "1-2": 1 }, planned);
    expect(weatherOf(three, roster, NOW_MS).kind).toBe("calm");
    const five = nodesWith(roster, { "0-0": 1, "0-1": 1, "0-2": 1, "1-1": 1, "1-2": 1 }, planned);
    expect(weatherOf(five, roster, NOW_MS)).toEqual({ kind: "cut-off", seen: 4, of: 9 });
  });

  test("lost nodes count in no share: four that are left of nine are not cut off", () => {
    const roster = membersOf([3, 3, 3]);
    const nodes = nodesWith(roster, { "2-2": 1 });
    for (const name of ["0-0", "1-0", "1-1", "2-0", "2-1"]) nodes.set(peerNamed(name), standing("lost"));
    expect(weatherOf(nodes, roster, NOW_MS).kind).toBe("calm");
  });

  test("nodes that were not heard since the start are not seen", () => {
    const roster = membersOf([2, 2]);
    const nodes = new Map(roster.map(({ peer }) => [peer, standing("alive", 0, { isHeard: false })]));
    expect(weatherOf(nodes, roster, NOW_MS)).toEqual({ kind: "cut-off", seen: 0, of: 4 });
  });
});

describe("what the weather permits", () => {
  const frozen = { kind: "frozen", untilMs: 9, gone: [] } as const;
  const away = { kind: "cut-off", seen: 1, of: 9 } as const;

  test("calm: everything", () => {
    expect(permissionFor({ kind: "calm" }, { margin: 9, ownerIsAlive: true })).toEqual({ kind: "repair" });
    expect(mayDrop({ kind: "calm" })).toBe(true);
  });

  test("frozen: margin 1 and below, and nothing is dropped", () => {
    expect(permissionFor(frozen, { margin: 2, ownerIsAlive: false })).toEqual({
      kind: "wait",
      why: "frozen",
      untilMs: 9,
    });
    expect(permissionFor(frozen, { margin: 1, ownerIsAlive: true })).toEqual({ kind: "repair" });
    expect(mayDrop(frozen)).toBe(false);
  });

  test("cut off: nothing, but with nothing left to lose and the owner dead what is in reach is copied", () => {
    expect(permissionFor(away, { margin: 0, ownerIsAlive: true }).kind).toBe("wait");
    expect(permissionFor(away, { margin: 1, ownerIsAlive: false }).kind).toBe("wait");
    expect(permissionFor(away, { margin: 0, ownerIsAlive: false }).kind).toBe("copy-what-is-reachable");
    expect(mayDrop(away)).toBe(false);
  });
});
