import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { fromHex, utf8 } from "../../../src/base/bytes.ts";
import { signerFromSeed, verifySignature } from "../../../src/crypto/sign.ts";
import { CHECKOUT } from "../../support/cli.ts";

const bytes = (hex: string): Uint8Array => new Uint8Array(must(fromHex(hex), "hex"));

// RFC 8032, 7.1, test 1.
const SEED = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
const PUBLIC = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
const SIGNATURE = bytes(
  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
);
const NOTHING = new Uint8Array(0);

it("signs as RFC 8032 says", () => {
  const signer = signerFromSeed(SEED);
  expect(signer.publicKey).toEqual(PUBLIC);
  expect(new Uint8Array(signer.sign(NOTHING))).toEqual(SIGNATURE);
  expect(verifySignature(PUBLIC, NOTHING, SIGNATURE)).toBe(true);
});

it("accepts no signature with a bit changed, nor for another message or key", () => {
  for (let bit = 0; bit < SIGNATURE.length * 8; bit++) {
    const changed = SIGNATURE.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(verifySignature(PUBLIC, NOTHING, changed)).toBe(false);
  }
  expect(verifySignature(PUBLIC, utf8("x"), SIGNATURE)).toBe(false);
  expect(verifySignature(signerFromSeed(PUBLIC).publicKey, NOTHING, SIGNATURE)).toBe(false);
  for (const cut of [0, 32, 63])
    expect(verifySignature(PUBLIC, NOTHING, SIGNATURE.slice(0, cut))).toBe(false);
  expect(verifySignature(PUBLIC.slice(1), NOTHING, SIGNATURE)).toBe(false);
  expect(verifySignature(new Uint8Array(32).fill(255), NOTHING, SIGNATURE)).toBe(false);
});

it("takes no second form of a good signature: S + L in the place of S", () => {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  let s = order;
  SIGNATURE.subarray(32).forEach((byte, i) => {
    s += BigInt(byte) << BigInt(8 * i);
  });
  const other = SIGNATURE.slice();
  for (let i = 0; i < 32; i++) other[32 + i] = Number((s >> BigInt(8 * i)) & 255n);
  expect(verifySignature(PUBLIC, NOTHING, other)).toBe(false);
});

it("is no verifier of ZIP-215's kind, for which a key of small order has signed everything", () => {
  const key = bytes("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");
  const signature = new Uint8Array(64);
  signature[0] = 1;
  const accepted = Array.from({ length: 64 }, (_, i) =>
    verifySignature(key, utf8(`message ${i}`), signature),
  );
  expect(accepted).toContain(false);
});

it("is the only verifier there is", () => {
  const files = readdirSync(join(CHECKOUT, "src"), { recursive: true, encoding: "utf8" });
  const verifying = files.filter((file) => {
    if (!file.endsWith(".ts")) return false;
    const text = readFileSync(join(CHECKOUT, "src", file), "utf8");
    return /import [^;]*\bverify\b[^;]*from "node:crypto"|@noble\/(curves|ed25519)|createVerify/.test(text);
  });
  expect(verifying).toEqual(["crypto/sign.ts"]);
});
