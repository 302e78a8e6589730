import { describe, expect, it } from "vitest";
import { peerIdOf } from "../../../src/base/ids.ts";
import { clearedMs, statementsOf, type Word } from "../../../src/trust/index.ts";
import { signer } from "../membership/world.ts";

const target = peerIdOf(signer("target").publicKey);
const [p, q, r] = [signer("p"), signer("q"), signer("r")].map(({ publicKey }) => publicKey);

function word(kind: Word["kind"], by: Uint8Array | undefined, atMs: number): Word {
  return {
    kind,
    target,
    by: by ?? new Uint8Array(32),
    atMs,
    untilMs: Number.POSITIVE_INFINITY,
    reason: kind,
  };
}

const keys = [p, q, r].flatMap((key) => key ?? []);

describe("a clearance", () => {
  it("counts from the time at which so many administrators as it takes have said it", () => {
    const words = [word("clearance", p, 100), word("clearance", q, 300), word("clearance", r, 200)];
    expect(clearedMs(words, { keys, threshold: 1 })).toBe(300);
    expect(clearedMs(words, { keys, threshold: 2 })).toBe(200);
    expect(clearedMs(words, { keys, threshold: 3 })).toBe(100);
    expect(clearedMs(words.slice(1), { keys, threshold: 3 })).toBeUndefined();
  });

  it("of a key that is no administrator's any more, or never was, counts for nothing", () => {
    const words = [word("clearance", p, 100), word("clearance", signer("x").publicKey, 900)];
    expect(clearedMs(words, { keys, threshold: 1 })).toBe(100);
    expect(clearedMs(words, { keys: keys.slice(1), threshold: 1 })).toBeUndefined();
    expect(clearedMs(words, { keys, threshold: 2 })).toBeUndefined();
  });

  it("is one statement of the rules, whoever signed it", () => {
    const words = [word("clearance", p, 100), word("doubt", q, 300), word("conviction", r, 200)];
    expect(statementsOf(words, { keys, threshold: 1 })).toEqual([
      { kind: "doubt", auditor: peerIdOf(q ?? new Uint8Array()), target, atMs: 300 },
      { kind: "conviction", target, atMs: 200, reason: "conviction" },
      { kind: "clearance", target, atMs: 100 },
    ]);
  });
});
