import { describe, expect, test } from "vitest";
import { utf8 } from "../../../src/base/bytes.ts";
import { incarnationOf, ownerIdOf } from "../../../src/base/ids.ts";
import { MINUTE_MS } from "../../../src/base/units.ts";
import { sha256 } from "../../../src/crypto/hash.ts";
import { type RepairTarget, repairOrder, turnMs } from "../../../src/upkeep/index.ts";
import { node, peerNamed } from "../placement/nodes.ts";
import { holder, standing } from "./world.ts";

const NAMES = Array.from({ length: 9 }, (_, i) => `holder ${i}`);
const nodes = NAMES.map((name, i) => node(name, `site${i % 3}`, { weight: i + 1 }));
const holders = NAMES.map((name, i) => holder(name, `site${i % 3}`));

function target(changes: Partial<RepairTarget> = {}): RepairTarget {
  return {
    owner: ownerIdOf(sha256(utf8("owner"))),
    incarnation: incarnationOf(new Uint8Array(16)),
    at: { classId: 0, partition: 1, fromSegment: 1 },
    slot: 2,
    ownerVersion: 1,
    repairs: 0,
    ...changes,
  };
}

describe("who repairs", () => {
  test("everybody finds the same order, however the holders are listed", () => {
    const order = repairOrder({ target: target(), holders, nodes });
    expect(new Set(order)).toEqual(new Set(holders.map(({ peer }) => peer)));
    const reversed = repairOrder({
      target: target(),
      holders: [...holders].reverse(),
      nodes: [...nodes].reverse(),
    });
    expect(reversed).toEqual(order);
  });

  test("skips suspects, the doubted, the silent and strangers; who is leaving works on", () => {
    const state = [
      holder("holder 0", "s", { trust: { kind: "suspect", sinceMs: 0, reason: "lied" } }),
      holder("holder 1", "s", { trust: { kind: "doubted", sinceMs: 0, auditors: [] } }),
      holder("holder 2", "s", { liveness: standing("unreachable") }),
      holder("holder 3", "s", { liveness: standing("absent") }),
      holder("holder 4", "s", { liveness: standing("lost") }),
      holder("no member", "s"),
      holder("holder 5", "s", { liveness: standing("draining") }),
    ];
    expect(repairOrder({ target: target(), holders: state, nodes })).toEqual([peerNamed("holder 5")]);
  });

  test("the work is spread: over rows and slots each comes first about as often, whatever its quota", () => {
    const first = new Map<string, number>();
    for (let fromSegment = 0; fromSegment < 450; fromSegment++) {
      for (const slot of [0, 1]) {
        const at = { classId: 0, partition: 1, fromSegment };
        const [peer] = repairOrder({ target: target({ at, slot }), holders, nodes });
        first.set(peer ?? "", (first.get(peer ?? "") ?? 0) + 1);
      }
    }
    expect(first.size).toBe(9);
    for (const count of first.values()) expect(Math.abs(count - 100)).toBeLessThan(40);
  });

  test("a further repair of the same slot falls to others too", () => {
    const firsts = Array.from(
      { length: 20 },
      (_, repairs) => repairOrder({ target: target({ repairs }), holders, nodes })[0],
    );
    expect(new Set(firsts).size).toBeGreaterThan(4);
  });
});

describe("when it is whose turn", () => {
  const order = repairOrder({ target: target(), holders, nodes });
  const due = { dueMs: 1_000, margin: 2, workMs: 3 * MINUTE_MS };

  test("the first at once, each further one when those before it could be done", () => {
    const turns = order.map((peer) => turnMs(order, peer, due));
    expect(turns).toEqual(order.map((_, rank) => 1_000 + rank * 13 * MINUTE_MS));
    expect(turnMs(order, peerNamed("no holder"), due)).toBeUndefined();
  });

  test("with nothing left to lose they hardly wait", () => {
    const [, second = peerNamed("nobody")] = order;
    expect(turnMs(order, second, { ...due, margin: 0 })).toBe(1_000 + MINUTE_MS);
  });

  test("the wait is bounded", () => {
    const many = Array.from({ length: 60 }, (_, i) => peerNamed(`n${i}`));
    expect(turnMs(many, peerNamed("n59"), { ...due, workMs: 0 })).toBe(1_000 + 160 * MINUTE_MS);
  });
});
