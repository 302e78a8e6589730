import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import type { PeerId } from "../../../src/base/ids.ts";
import { DAY_MS } from "../../../src/base/units.ts";
import { type TrustStatement, trustOf } from "../../../src/upkeep/index.ts";
import { peerNamed } from "../placement/nodes.ts";
import { membersOf } from "./world.ts";

const members = membersOf([3, 3, 3]);
const target = must(members[0], "member");
const NOW_MS = 100 * DAY_MS;

function doubt(auditor: PeerId, atMs = NOW_MS): TrustStatement {
  return { kind: "doubt", auditor, target: target.peer, atMs };
}

function trust(...statements: TrustStatement[]) {
  return trustOf(target, statements, members, NOW_MS);
}

const [site1, site2, own] = ["1-0", "2-0", "0-1"].map(peerNamed) as [PeerId, PeerId, PeerId];
const conviction = {
  kind: "conviction",
  target: target.peer,
  atMs: NOW_MS - 5,
  reason: "a wrong leaf",
} as const;
const clearance = (atMs: number) => ({ kind: "clearance", target: target.peer, atMs }) as const;

describe("trust", () => {
  test("takes the words of two auditors at two other sites", () => {
    expect(trust(doubt(site1), doubt(site1))).toEqual({ kind: "trusted" });
    expect(trust(doubt(site1), doubt(own))).toEqual({ kind: "trusted" });
    expect(trust(doubt(site1), doubt(target.peer))).toEqual({ kind: "trusted" });
    expect(trust(doubt(site1), doubt(peerNamed("stranger")))).toEqual({ kind: "trusted" });
    expect(trust(doubt(site1), doubt(site2, NOW_MS - 9))).toEqual({
      kind: "doubted",
      sinceMs: NOW_MS - 9,
      auditors: [site1, site2].sort(),
    });
  });

  test("a doubt fades after a week, a conviction does not", () => {
    expect(trust(doubt(site1), doubt(site2, NOW_MS - 7 * DAY_MS)).kind).toBe("trusted");
    expect(trust({ ...conviction, atMs: 1 })).toEqual({
      kind: "suspect",
      sinceMs: 1,
      reason: "a wrong leaf",
    });
  });

  test("words alone, however many, never make a suspect", () => {
    expect(trust(...members.map(({ peer }) => doubt(peer))).kind).toBe("doubted");
  });

  test("an administrator clears what was said until then, not what is said later", () => {
    expect(trust(conviction, clearance(NOW_MS - 4)).kind).toBe("trusted");
    expect(trust(conviction, clearance(NOW_MS - 6)).kind).toBe("suspect");
    expect(trust(conviction, clearance(NOW_MS + 1)).kind).toBe("suspect");
  });

  test("in a swarm of three two auditors are enough, in one of two the other one", () => {
    const three = membersOf([1, 1, 1]);
    const by = [doubt(peerNamed("1-0")), doubt(peerNamed("2-0"))];
    expect(trustOf(target, by, three, NOW_MS).kind).toBe("doubted");
    expect(trustOf(target, by.slice(1), three, NOW_MS).kind).toBe("trusted");
    expect(trustOf(target, by.slice(0, 1), membersOf([1, 1]), NOW_MS).kind).toBe("doubted");
  });
});
