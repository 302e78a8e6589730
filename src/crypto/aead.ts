import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  timingSafeEqual,
} from "node:crypto";
import { assert } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { hkdfSha512 } from "./kdf.ts";

export const AEAD_KEY_BYTES = 32;
export const AEAD_TAG_BYTES = 16;
export const COMMITMENT_BYTES = 32;
export const SALT_BYTES = 32;

/** The one suite so far: keys by HKDF-SHA-512, AES-256-GCM. Readers refuse others. */
export const SUITE_AES_256_GCM = 1;

/**
 * A key for one message or one segment, with a commitment that only this key has. AES-GCM alone lets somebody
 * make a ciphertext that opens under two keys; whoever compares the commitment first is safe from that.
 */
export interface CommittedKey {
  readonly key: KeyObject;
  readonly commitment: Uint8Array;
}

export function deriveCommittedKey(secret: Uint8Array, salt: Uint8Array, info: Uint8Array): CommittedKey {
  assert(secret.length === AEAD_KEY_BYTES, "a key to derive from has 32 bytes");
  assert(salt.length === SALT_BYTES, "a salt has 32 bytes");
  const derived = hkdfSha512(secret, salt, info, AEAD_KEY_BYTES + COMMITMENT_BYTES);
  return {
    key: createSecretKey(derived.subarray(0, AEAD_KEY_BYTES)),
    commitment: derived.subarray(AEAD_KEY_BYTES),
  };
}

/** In constant time. */
export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The 96-bit nonce that counts the messages of one key; each counter value is used once per key. */
export function counterNonce(counter: number): Uint8Array {
  assert(Number.isInteger(counter) && counter >= 0 && counter < 2 ** 32, "a nonce counter is 32 bits wide");
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(8, counter);
  return nonce;
}

/**
 * Encrypts the parts, one after the other, as one message into `out` at `offset`: ciphertext of the same length, then
 * the 16-byte tag. Returns the offset after the tag.
 */
export function encryptInto(
  out: Uint8Array,
  offset: number,
  key: KeyObject,
  counter: number,
  aad: Uint8Array,
  ...parts: readonly Uint8Array[]
): number {
  const cipher = createCipheriv("aes-256-gcm", key, counterNonce(counter));
  cipher.setAAD(aad);
  let at = offset;
  for (const part of parts) {
    const encrypted = cipher.update(part);
    out.set(encrypted, at);
    letGo(encrypted);
    at += part.length;
  }
  cipher.final();
  out.set(cipher.getAuthTag(), at);
  return at + AEAD_TAG_BYTES;
}

/** `sealed` is ciphertext and tag. `undefined` when it is not what this key sealed with this counter and AAD. */
export function decrypt(
  key: KeyObject,
  counter: number,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const ciphertextBytes = sealed.length - AEAD_TAG_BYTES;
  if (ciphertextBytes < 0) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", key, counterNonce(counter), {
    authTagLength: AEAD_TAG_BYTES,
  });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(ciphertextBytes));
  const plaintext = decipher.update(sealed.subarray(0, ciphertextBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  // Not as the Buffer it is: a Buffer's `slice` shares memory where a caller expects a copy.
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
}
