import { assert } from "../base/assert.ts";
import { type OwnerId, ownerIdOf } from "../base/ids.ts";
import { subkey } from "./kdf.ts";
import { type Signer, signerFromSeed } from "./sign.ts";

/** The random 256-bit root of all keys of one owner. Whoever has it can read everything and sign as the owner. */
export const ROOT_BYTES = 32;

/** All of 32 bytes; none can be computed from the others. */
export interface OwnerKeys {
  /** Seals segments: chunks of files and of metadata alike, so that holders cannot tell them apart. */
  readonly dataKey: Uint8Array;
  /** Seals what is not in segments: the owner's part of a head, settings. */
  readonly metadataKey: Uint8Array;
  /** Names chunks: id = HMAC-SHA-256(chunkIdKey, plaintext). */
  readonly chunkIdKey: Uint8Array;
  /** Makes the gear table of the chunker. */
  readonly gearKey: Uint8Array;
  /** Hedges the salts of segments against a random generator that repeats itself. */
  readonly saltKey: Uint8Array;
  /** Signs as the owner; its public key is the owner's id. */
  readonly signer: Signer;
  readonly owner: OwnerId;
  /** Signs as an administrator of the swarm, once it is one; comes back with the root. */
  readonly administrator: Signer;
}

/** Of the key with which an owner's node signs as an administrator; the root brings it back. */
export function administratorSeedOf(root: Uint8Array): Uint8Array {
  return subkey(root, "administrator-seed");
}

export function deriveOwnerKeys(root: Uint8Array): OwnerKeys {
  assert(root.length === ROOT_BYTES, "an owner's root has 32 bytes");
  const signer = signerFromSeed(subkey(root, "owner-seed"));
  return {
    dataKey: subkey(root, "data-key"),
    metadataKey: subkey(root, "metadata-key"),
    chunkIdKey: subkey(root, "chunk-id-key"),
    gearKey: subkey(root, "gear-key"),
    saltKey: subkey(root, "salt-key"),
    signer,
    owner: ownerIdOf(signer.publicKey),
    administrator: signerFromSeed(administratorSeedOf(root)),
  };
}
