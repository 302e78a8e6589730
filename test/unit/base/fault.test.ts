import { describe, expect, test } from "vitest";
import { AssertionFailure, assert, must } from "../../../src/base/assert.ts";
import { describeFault, Fault, isFault, messageOf, type SegmentShortage } from "../../../src/base/fault.ts";
import { incarnationOf, ownerIdOf, type PeerId, peerIdOf } from "../../../src/base/ids.ts";

const owner = ownerIdOf(new Uint8Array(32).fill(0xab));
const incarnation = incarnationOf(new Uint8Array(16).fill(0xcd));
const peer = (number: number): PeerId => peerIdOf(new Uint8Array(32).fill(number));

describe("Fault", () => {
  test("carries code, detail, sentence and cause", () => {
    const cause = new Error("EIO");
    const fault = new Fault({ code: "PEER_TIMEOUT", peer: "x", afterMs: 5000 }, { cause });
    expect(fault.code).toBe("PEER_TIMEOUT");
    expect(fault.detail).toEqual({ code: "PEER_TIMEOUT", peer: "x", afterMs: 5000 });
    expect(fault.message).toBe("x did not answer within 5000 ms.");
    expect(fault.name).toBe("Fault");
    expect(fault.cause).toBe(cause);
    expect(fault).toBeInstanceOf(Error);
  });

  test("is told from other errors, and by its code", () => {
    const fault = new Fault({ code: "PEER_BUSY", peer: "x" });
    expect(isFault(fault)).toBe(true);
    expect(isFault(fault, "PEER_BUSY", "PEER_TIMEOUT")).toBe(true);
    expect(isFault(fault, "PEER_TIMEOUT")).toBe(false);
    expect(isFault(new Error("PEER_BUSY"))).toBe(false);
    expect(isFault({ detail: { code: "PEER_BUSY" } }, "PEER_BUSY")).toBe(false);
    expect(isFault(undefined)).toBe(false);
  });

  test("whatever was thrown has a message", () => {
    expect(messageOf(new Error("why"))).toBe("why");
    expect(messageOf("text")).toBe("text");
    expect(messageOf(undefined)).toBe("undefined");
  });
});

describe("describeFault", () => {
  test("says where shards are missing, the worst segment first, with holders to bring back", () => {
    const shortage = (number: number, have: number, holders: readonly PeerId[]): SegmentShortage => ({
      segment: { owner, incarnation, number },
      have,
      need: 3,
      holders,
    });
    const shortages = [shortage(4, 2, [peer(1)]), shortage(9, 0, [peer(1), peer(2)]), shortage(7, 1, [])];
    const text = describeFault({ code: "TOO_FEW_SHARDS", shortages });
    expect(text).toContain("for 3 segment(s)");
    expect(text).toContain("segment 9 has 0 of the 3 it needs");
    expect(text).toContain(`Bring back any of: ${peer(1)}, ${peer(2)}.`);
    expect(describeFault({ code: "TOO_FEW_SHARDS", shortages: [] })).toBe(
      "Not enough shards can be reached.",
    );
    expect(describeFault({ code: "TOO_FEW_SHARDS", shortages: [shortage(1, 0, [])] })).toContain(
      "(no holder known)",
    );
    const many = Array.from({ length: 20 }, (_, i) => peer(i));
    const bounded = describeFault({ code: "TOO_FEW_SHARDS", shortages: [shortage(1, 0, many)] });
    expect(bounded.split("12D3Koo")).toHaveLength(9);
  });

  test("names a shard briefly", () => {
    const shard = { owner, incarnation, number: 5, index: 2 };
    expect(describeFault({ code: "SHARD_MISSING", shard })).toBe(
      "Shard abababababab/cdcdcdcd/5#2 is not there.",
    );
    expect(describeFault({ code: "SHARD_CORRUPT", shard, peer: peer(1), reason: "its root differs" })).toBe(
      `Shard abababababab/cdcdcdcd/5#2 from ${peer(1)} is damaged: its root differs.`,
    );
  });
});

describe("assertions", () => {
  test("throw what no fault handler takes for a fault", () => {
    expect(() => assert(false, "the sky is up")).toThrow(AssertionFailure);
    expect(() => must(undefined, "ground")).toThrow("ground is missing");
    expect(() => must(null, "ground")).toThrow(AssertionFailure);
    for (const present of [0, "", false]) expect(must(present, "value")).toBe(present);
    expect(isFault(new AssertionFailure("x"))).toBe(false);
  });
});
