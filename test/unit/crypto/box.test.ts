import { hkdf } from "@noble/hashes/hkdf.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { EMPTY_BYTES, utf8 } from "../../../src/base/bytes.ts";
import { isFault } from "../../../src/base/fault.ts";
import { BOX_OVERHEAD_BYTES, openBox, sealBox, tryOpenBox } from "../../../src/crypto/box.ts";
import { hkdfSha512 } from "../../../src/crypto/kdf.ts";
import { deriveOwnerKeys } from "../../../src/crypto/keys.ts";

const KEY = new Uint8Array(32).fill(1);
const RANDOM = new Uint8Array(32).fill(2);
const AAD = utf8("head");
const TEXT = utf8("what only the owner may read");

describe("sealed boxes", () => {
  it("open again, empty ones too", () => {
    for (const plaintext of [TEXT, EMPTY_BYTES, new Uint8Array(100_000).fill(3)]) {
      const box = sealBox(KEY, plaintext, AAD, RANDOM);
      expect(box.length).toBe(plaintext.length + BOX_OVERHEAD_BYTES);
      expect(Buffer.from(openBox(KEY, box, AAD))).toEqual(Buffer.from(plaintext));
    }
  });

  it("do not open with any bit changed", () => {
    const box = sealBox(KEY, TEXT, AAD, RANDOM);
    for (let bit = 0; bit < box.length * 8; bit++) {
      const changed = box.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(tryOpenBox(KEY, changed, AAD).kind, `bit ${bit}`).not.toBe("opened");
    }
  });

  it("do not open cut off anywhere", () => {
    const box = sealBox(KEY, TEXT, AAD, RANDOM);
    for (let length = 0; length < box.length; length++) {
      expect(tryOpenBox(KEY, box.subarray(0, length), AAD).kind).not.toBe("opened");
    }
  });

  it("tell another key from damage", () => {
    const box = sealBox(KEY, TEXT, AAD, RANDOM);
    expect(tryOpenBox(new Uint8Array(32), box, AAD).kind).toBe("other-key");
    expect(tryOpenBox(KEY, box, utf8("other")).kind).toBe("damaged");
  });

  it("of a later version ask for an update", () => {
    const box = sealBox(KEY, TEXT, AAD, RANDOM);
    box[0] = 2;
    try {
      openBox(KEY, box, AAD, "head");
      expect.unreachable();
    } catch (error) {
      expect(isFault(error, "FORMAT_VERSION")).toBe(true);
    }
  });

  it("use another key for another message even when the random bytes repeat", () => {
    const one = sealBox(KEY, TEXT, AAD, RANDOM);
    const two = sealBox(KEY, utf8("what only the owner may rEad"), AAD, RANDOM);
    const otherAad = sealBox(KEY, TEXT, utf8("hea"), RANDOM);
    const salts = [one, two, otherAad].map((box) => Buffer.from(box.subarray(2, 34)).toString("hex"));
    expect(new Set(salts).size).toBe(3);
  });
});

describe("key derivation", () => {
  it("is HKDF-SHA-512 of RFC 5869", () => {
    for (const length of [1, 32, 64, 200]) {
      const mine = hkdfSha512(KEY, RANDOM, AAD, length);
      expect(Buffer.from(mine)).toEqual(Buffer.from(hkdf(sha512, KEY, RANDOM, AAD, length)));
    }
  });

  it("makes keys that all differ, and the same ones every time", () => {
    const keys = deriveOwnerKeys(KEY);
    const all = [
      keys.dataKey,
      keys.metadataKey,
      keys.chunkIdKey,
      keys.gearKey,
      keys.saltKey,
      keys.signer.publicKey,
      KEY,
    ];
    expect(new Set(all.map((key) => Buffer.from(key).toString("hex"))).size).toBe(all.length);
    expect(all.every((key) => key.length === 32)).toBe(true);
    expect(keys.owner).toBe(Buffer.from(keys.signer.publicKey).toString("hex"));
    expect(deriveOwnerKeys(KEY.slice()).owner).toBe(keys.owner);
    expect(deriveOwnerKeys(RANDOM).owner).not.toBe(keys.owner);
  });
});
