import { wordlist } from "@scure/bip39/wordlists/english.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import {
  parseShares,
  type RecoveryShare,
  SHARE_WORDS,
  sharesToCombine,
  shareWords,
} from "../../../src/crypto/recovery-share.ts";

const share = (change: Partial<RecoveryShare> = {}): RecoveryShare => ({
  threshold: 3,
  shares: 5,
  number: 1,
  set: new Uint8Array(6).fill(7),
  hint: new Uint8Array(8).fill(9),
  x: 11,
  y: Uint8Array.from({ length: 32 }, (_, i) => i * 7),
  ...change,
});
const three = [1, 2, 3].map((number) => share({ number, x: number * 10 }));

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault && error.detail.code === "WRONG_KEY") return error.message;
    throw error;
  }
  return "none";
}

describe("a share in words", () => {
  it("comes back whatever is in it, numbered, in capitals, with remarks", () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    fc.assert(
      fc.property(bytes(6), bytes(8), bytes(32), fc.integer({ min: 1, max: 255 }), (set, hint, y, x) => {
        const given = share({ set, hint, y, x });
        const words = shareWords(given);
        expect(words).toHaveLength(SHARE_WORDS);
        const text = words.map((word, i) => `${i + 1}. ${word.toUpperCase()}`).join("\n");
        expect(parseShares(`# zoo zoo zoo\n${text}`)).toEqual([given]);
      }),
      { numRuns: 200 },
    );
  });

  it("is refused for every single word that is another one", () => {
    const words = shareWords(share());
    for (const [at, word] of words.entries()) {
      const other = must(wordlist[(wordlist.indexOf(word) + 1) % wordlist.length], "word");
      expect(reasonOf(() => parseShares(words.with(at, other).join(" ")))).toContain(
        "the checksum does not match",
      );
    }
  });

  it("is refused with what is wrong about it", () => {
    const words = shareWords(share());
    expect(reasonOf(() => parseShares(words.slice(1).join(" ")))).toContain(
      "39 words, and each share has 40",
    );
    expect(reasonOf(() => parseShares(words.with(6, "zzz").join(" ")))).toContain(
      "word 7 is not in the list",
    );
    const two = [...words, ...words.with(3, "zzz")].join(" ");
    expect(reasonOf(() => parseShares(two))).toContain("word 4 of share 2 is not in the list");
    expect(
      reasonOf(() =>
        parseShares(
          Array(17 * SHARE_WORDS)
            .fill("zoo")
            .join(" "),
        ),
      ),
    ).toContain("more than 16");
    expect(reasonOf(() => parseShares(" "))).toContain("0 words");
  });
});

describe("shares that are put together", () => {
  it("are as many as it takes, whichever were given, one given twice counting once", () => {
    const five = [5, 1, 4, 2, 3].map((number) => share({ number, x: number * 10 }));
    expect(sharesToCombine([...five, ...five]).map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  it.each([
    ["too few", three.slice(1), "takes 3 different ones of the 5, and here is only number 2, 3"],
    ["one of them twice", [...three.slice(1), ...three.slice(1)], "takes 3 different ones"],
    [
      "of two keys",
      [...three, share({ number: 4, x: 4, hint: new Uint8Array(8) })],
      "different recovery keys",
    ],
    ["of two splits", [...three, share({ number: 4, x: 4, set: new Uint8Array(6) })], "different splits"],
    ["of two thresholds", [...three, share({ number: 4, x: 4, threshold: 2 })], "different splits"],
    ["two with one number", [...three, share({ number: 2, x: 99 })], "two different ones with number 2"],
    ["one with another's place", [...three, share({ number: 4, x: 10 })], "the same piece"],
  ])("are refused with the reason: %s", (_, given, reason) => {
    expect(reasonOf(() => sharesToCombine(given))).toContain(reason);
  });
});
