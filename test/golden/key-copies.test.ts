import { createHash } from "node:crypto";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { ownerIdOf, swarmIdOf } from "../../src/base/ids.ts";
import { combineKey } from "../../src/cli/runtime-key-copies.ts";
import {
  deriveRecoveryKeys,
  openRecoveryKey,
  PASSPHRASE_SLOT_RANDOM_BYTES,
  recoveryWords,
  sealRecoveryKey,
  shareHintOf,
  shareWords,
} from "../../src/crypto/index.ts";
import { goldenJson } from "./golden-file.ts";

const entropy = Uint8Array.from({ length: 32 }, (_, index) => index * 8);
const recovery = deriveRecoveryKeys(entropy).identity.publicKey;
const ids = {
  swarm: swarmIdOf(new Uint8Array(32).fill(0x11)),
  owner: ownerIdOf(new Uint8Array(32).fill(0x22)),
};
const sealed = sealRecoveryKey(entropy, {
  ...ids,
  passphrase: "correct horse",
  random: new Uint8Array(PASSPHRASE_SLOT_RANDOM_BYTES).fill(0x99),
  cost: { memoryKib: 64 * 1024, passes: 3, lanes: 1 },
});

// Multiplication and polynomials as docs/format says, to share no code with what is tested.
function times(a: number, b: number): number {
  let product = 0;
  for (let [x, y] = [a, b]; y > 0; y >>= 1) {
    if ((y & 1) === 1) product ^= x;
    x = x & 0x80 ? ((x << 1) ^ 0x11b) & 0xff : x << 1;
  }
  return product;
}
const slope = Uint8Array.from({ length: 32 }, (_, index) => 0xa5 ^ (index * 3));
const shares = [0x35, 0xc2, 0x07].map((x, i) =>
  shareWords({
    threshold: 2,
    shares: 3,
    number: i + 1,
    set: new Uint8Array(6).fill(0x44),
    hint: shareHintOf(recovery),
    x,
    y: entropy.map((byte, at) => byte ^ times(slope[at] ?? 0, x)),
  }),
);

describe("copies of a recovery key, version 1", () => {
  const actual = { words: recoveryWords(entropy), sealed, passphrase: "correct horse", shares: shares.map((s) => s.join(" ")) };

  it("are the pinned texts", () => {
    expect(goldenJson("v1/keys/copies.json", actual)).toEqual(actual);
  });

  it("lead to the words, any two of the shares", async () => {
    expect(toHex(openRecoveryKey(sealed, "correct horse").entropy)).toBe(toHex(entropy));
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ] as const)
      expect((await combineKey([a, b].map((i) => (shares[i] ?? []).join(" ")))).join(" ")).toBe(recoveryWords(entropy));
  });

  it("have the layout that is documented", () => {
    const bits = (shares[2] ?? []).map((word) => wordlist.indexOf(word).toString(2).padStart(11, "0")).join("");
    const bytes = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
    expect(bytes).toHaveLength(55);
    expect([...bytes.subarray(0, 4)]).toEqual([1, 2, 3, 3]);
    expect(bytes.subarray(4, 10)).toEqual(Buffer.alloc(6, 0x44));
    expect(bytes.subarray(10, 18).equals(recovery.subarray(0, 8))).toBe(true);
    expect(bytes[18]).toBe(0x07);
    const check = createHash("sha256").update("cairn/1/recovery-share\0").update(bytes.subarray(0, 51)).digest();
    expect(bytes.subarray(51)).toEqual(check.subarray(0, 4));
  });
});
