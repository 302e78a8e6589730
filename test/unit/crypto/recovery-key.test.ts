import { describe, expect, it } from "vitest";
import { utf8 } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import {
  deriveRecoveryKeys,
  parseRecoveryKey,
  recoveryWords,
  unwrapRoot,
  wrapRoot,
} from "../../../src/crypto/recovery-key.ts";

// From the test vectors of BIP39 (github.com/trezor/python-mnemonic, vectors.json), 256 bits, English.
const VECTORS: readonly [entropyHex: string, words: string][] = [
  ["00".repeat(32), `${"abandon ".repeat(23)}art`],
  [
    "7f".repeat(32),
    `${"legal winner thank year wave sausage worth useful ".repeat(2)}legal winner thank year wave sausage worth title`,
  ],
  ["ff".repeat(32), `${"zoo ".repeat(23)}vote`],
  [
    "68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c",
    "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length",
  ],
];
const ENTROPY = Buffer.from(VECTORS[3]?.[0] ?? "", "hex");
const WORDS = VECTORS[3]?.[1] ?? "";

function faultOf(action: () => unknown): Fault {
  try {
    action();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("recovery words", () => {
  it.each(VECTORS)("agree with BIP39: %s", (entropy, words) => {
    expect(recoveryWords(Buffer.from(entropy, "hex"))).toBe(words);
    expect(Buffer.from(parseRecoveryKey(words)).toString("hex")).toBe(entropy);
  });

  const list = WORDS.split(" ");
  const written: Record<string, string> = {
    "capitals and wide spaces": `  ${WORDS.toUpperCase().replaceAll(" ", "   ")}\n\n`,
    "one word a line, as Windows ends lines": list.join("\r\n"),
    "a numbered list": list.map((word, index) => `${index + 1}. ${word}`).join("\n"),
    "numbers without a space": list.map((word, index) => `${index + 1}.${word}`).join(" "),
    "numbers in a table": list
      .map((word, index) => `${index + 1}\t${word}${index % 4 === 3 ? "\n" : "\t"}`)
      .join(""),
    "numbers with brackets": list.map((word, index) => `${index + 1}) ${word},`).join(" "),
    "a comment above": `# cairn recovery key of branch-17\n  # keep it safe\n${WORDS}\n`,
    "a byte order mark and no-break spaces": `\ufeff${WORDS.replaceAll(" ", "\u00a0")}`,
  };
  it.each(Object.entries(written))("are understood with %s", (_, text) => {
    expect(Buffer.from(parseRecoveryKey(text))).toEqual(ENTROPY);
  });

  const wrong: Record<string, string> = {
    nothing: "",
    "a word missing": list.slice(1).join(" "),
    "a word too many": `${WORDS} zoo`,
    "a word that is none": WORDS.replace("diagram", "diagramm"),
    "two words exchanged": WORDS.replace("hamster diagram", "diagram hamster"),
    "another word": WORDS.replace("hamster", "zoo"),
    "a whole file": `${WORDS} `.repeat(100),
  };
  it.each(Object.entries(wrong))("are refused with %s", (_, text) => {
    expect(faultOf(() => parseRecoveryKey(text)).detail).toEqual({
      code: "WRONG_KEY",
      what: "recovery key",
    });
  });

  it("never repeats a word in the error", () => {
    const fault = faultOf(() => parseRecoveryKey(WORDS.replace("diagram", "diagramm")));
    const text = `${fault.message} ${String(fault.cause)}`;
    expect(text).toContain("word 2 is not in the list");
    expect(text).not.toContain("diagram");
  });
});

describe("the root in the swarm", () => {
  const root = new Uint8Array(32).fill(5);
  const random = new Uint8Array(32).fill(9);
  const context = utf8("swarm and owner");
  const { wrappingKey } = deriveRecoveryKeys(ENTROPY);

  it("comes back with the recovery key", () => {
    const wrapped = wrapRoot(wrappingKey, root, random, context);
    expect(Buffer.from(unwrapRoot(wrappingKey, wrapped, context))).toEqual(Buffer.from(root));
    expect(Buffer.from(wrapped).includes(Buffer.from(root))).toBe(false);
  });

  it("says that the key is the wrong one when it is", () => {
    const wrapped = wrapRoot(wrappingKey, root, random, context);
    const other = deriveRecoveryKeys(new Uint8Array(32)).wrappingKey;
    expect(faultOf(() => unwrapRoot(other, wrapped, context)).code).toBe("WRONG_KEY");
  });

  it("belongs to its context", () => {
    const wrapped = wrapRoot(wrappingKey, root, random, context);
    expect(faultOf(() => unwrapRoot(wrappingKey, wrapped, utf8("another swarm"))).code).toBe(
      "FORMAT_INVALID",
    );
  });

  it("has an identity that is not the wrapping key's business", () => {
    const keys = deriveRecoveryKeys(ENTROPY);
    expect(keys.identity.publicKey).toHaveLength(32);
    expect(Buffer.from(keys.identity.publicKey)).not.toEqual(
      Buffer.from(deriveRecoveryKeys(new Uint8Array(32)).identity.publicKey),
    );
  });
});
