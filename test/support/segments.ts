import { createCipheriv } from "node:crypto";
import { hmacSha256 } from "../../src/crypto/hash.ts";
import { deriveOwnerKeys, type OwnerKeys } from "../../src/crypto/keys.ts";
import type { PreparedChunk } from "../../src/ports/compute.ts";
import { compressChunk, type SegmentIdentity } from "../../src/segments/index.ts";

/** The same pseudo-random bytes for the same seed, in every run: AES-CTR of zeros. */
export function noise(bytes: number, seed: number): Uint8Array {
  const stream = createCipheriv("aes-256-ctr", Buffer.alloc(32, seed), Buffer.alloc(16));
  return new Uint8Array(stream.update(Buffer.alloc(bytes)));
}

export function ownerKeys(seed: number): OwnerKeys {
  return deriveOwnerKeys(new Uint8Array(32).fill(seed));
}

export function identityOf(keys: OwnerKeys, segment = 0, incarnation = 1): SegmentIdentity {
  return {
    owner: keys.signer.publicKey,
    incarnation: new Uint8Array(16).fill(incarnation),
    segment,
  };
}

export function prepare(keys: OwnerKeys, raw: Uint8Array): PreparedChunk {
  return { id: hmacSha256(keys.chunkIdKey, raw), rawBytes: raw.length, ...compressChunk(raw) };
}
