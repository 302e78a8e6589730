import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { assert, must } from "../base/assert.ts";
import { concatBytes, fromHex } from "../base/bytes.ts";

export const SIGNATURE_BYTES = 64;
export const SEED_BYTES = 32;

// DER around a raw Ed25519 key: RFC 8410, PKCS#8 for the seed and SubjectPublicKeyInfo for the public key.
const PKCS8_PREFIX = must(fromHex("302e020100300506032b657004220420"), "PKCS#8 prefix");
const SPKI_PREFIX = must(fromHex("302a300506032b6570032100"), "SPKI prefix");

/** An Ed25519 key pair made from its 32-byte seed (RFC 8032). */
export interface Signer {
  readonly publicKey: Uint8Array;
  sign(message: Uint8Array): Uint8Array;
}

export function signerFromSeed(seed: Uint8Array): Signer {
  assert(seed.length === SEED_BYTES, "an Ed25519 seed has 32 bytes");
  const privateKey = createPrivateKey({
    key: Buffer.from(concatBytes(PKCS8_PREFIX, seed)),
    format: "der",
    type: "pkcs8",
  });
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX.length));
  return { publicKey, sign: (message) => sign(null, message, privateKey) };
}

// Importing a key costs more than one verification; the same few keys sign nearly everything. Bounded, because
// the keys come from peers.
const KEY_CACHE_MAX = 4096;
const keyCache = new Map<string, KeyObject>();

function importPublicKey(publicKey: Uint8Array): KeyObject {
  const name = Buffer.from(publicKey).toString("latin1");
  const known = keyCache.get(name);
  if (known !== undefined) return known;
  const key = createPublicKey({
    key: Buffer.from(concatBytes(SPKI_PREFIX, publicKey)),
    format: "der",
    type: "spki",
  });
  if (keyCache.size >= KEY_CACHE_MAX) keyCache.clear();
  keyCache.set(name, key);
  return key;
}

/**
 * The one verifier of the program: OpenSSL's Ed25519 as `node:crypto` offers it. Others (ZIP-215) accept
 * small-order keys for any message, so a second verifier would be a second opinion about who signed.
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== 32 || signature.length !== SIGNATURE_BYTES) return false;
  try {
    return verify(null, message, importPublicKey(publicKey), signature);
  } catch {
    return false; // not a point on the curve
  }
}
