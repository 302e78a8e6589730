import { describe, expect, it } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { swarmIdOf } from "../../../src/base/ids.ts";
import { exportAdministrator, importAdministrator } from "../../../src/crypto/administrator-key.ts";
import { PASSPHRASE_SLOT_RANDOM_BYTES } from "../../../src/crypto/passphrase-slot.ts";

const SEED = new Uint8Array(32).fill(3);
const swarm = swarmIdOf(new Uint8Array(32).fill(1));
const text = exportAdministrator(SEED, {
  swarm,
  passphrase: "a b c",
  random: new Uint8Array(PASSPHRASE_SLOT_RANDOM_BYTES).fill(5),
  cost: { memoryKib: 64 * 1024, passes: 3, lanes: 1 },
});

const codeOf = (given: string, passphrase = "a b c", of = swarm): string => {
  try {
    return toHex(importAdministrator(given, { swarm: of, passphrase }));
  } catch (error) {
    if (error instanceof Fault) return error.code;
    throw error;
  }
};

describe("an exported administrator's key", () => {
  it("comes back with its passphrase, however the line was wrapped", () => {
    expect(codeOf(text)).toBe("03".repeat(32));
    expect(codeOf(`${text.slice(0, 40)}\n  ${text.slice(40)}\n`)).toBe("03".repeat(32));
  });

  it("does not come back otherwise, each with its reason", () => {
    expect(codeOf(text, "a b d")).toBe("WRONG_KEY");
    expect(codeOf(text, "a b c", swarmIdOf(new Uint8Array(32).fill(2)))).toBe("NOT_ALLOWED");
    expect(codeOf("something else")).toBe("FORMAT_INVALID");
    expect(codeOf(text.slice(0, 60))).toBe("FORMAT_INVALID");
    // A character of the public key, which the seal covers.
    const at = text.length - 150;
    const other = text[at] === "A" ? "B" : "A";
    expect(["FORMAT_INVALID", "WRONG_KEY"]).toContain(codeOf(text.slice(0, at) + other + text.slice(at + 1)));
  });
});
