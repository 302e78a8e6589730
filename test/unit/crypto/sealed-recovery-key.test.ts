import { describe, expect, it } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { Fault } from "../../../src/base/fault.ts";
import { ownerIdOf, swarmIdOf } from "../../../src/base/ids.ts";
import { PASSPHRASE_SLOT_RANDOM_BYTES } from "../../../src/crypto/passphrase-slot.ts";
import { openRecoveryKey, sealRecoveryKey } from "../../../src/crypto/sealed-recovery-key.ts";

const text = sealRecoveryKey(new Uint8Array(32).fill(3), {
  swarm: swarmIdOf(new Uint8Array(32).fill(1)),
  owner: ownerIdOf(new Uint8Array(32).fill(2)),
  passphrase: "a b c",
  random: new Uint8Array(PASSPHRASE_SLOT_RANDOM_BYTES).fill(5),
  cost: { memoryKib: 64 * 1024, passes: 3, lanes: 1 },
});

const outcomeOf = (given: string, passphrase = "a b c"): string => {
  try {
    return toHex(openRecoveryKey(given, passphrase).entropy);
  } catch (error) {
    if (error instanceof Fault) return error.code;
    throw error;
  }
};

describe("a recovery key sealed with a passphrase", () => {
  it("comes back with it, however the line was wrapped and whatever stands before it", () => {
    expect(outcomeOf(`# remark\n${text.slice(0, 40)}\n  ${text.slice(40)}\n`)).toBe("03".repeat(32));
  });

  it("does not come back otherwise, each with its reason", () => {
    expect(outcomeOf(text, "a b d")).toBe("WRONG_KEY");
    expect(outcomeOf("something else")).toBe("FORMAT_INVALID");
    expect(outcomeOf(text.slice(0, 60))).toBe("FORMAT_INVALID");
    // A character of swarm, owner and recovery id each, which the seal covers.
    for (const at of [30, 70, 120]) {
      const other = text[at] === "A" ? "B" : "A";
      expect(outcomeOf(text.slice(0, at) + other + text.slice(at + 1))).not.toMatch(/^03/);
    }
  });
});
