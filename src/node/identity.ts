import { type PeerId, peerIdOf } from "../base/ids.ts";
import {
  deriveOwnerKeys,
  deriveRecoveryKeys,
  type OwnerKeys,
  RECOVERY_ENTROPY_BYTES,
  type RecoveryKeys,
  ROOT_BYTES,
  recoveryWords,
} from "../crypto/index.ts";
import { SEED_BYTES, type Signer, signerFromSeed } from "../crypto/sign.ts";
import type { Rng } from "../ports/index.ts";

/** All secrets of a new member. The recovery key leaves the machine on paper and is kept nowhere. */
export interface Identity {
  readonly nodeSeed: Uint8Array;
  readonly node: Signer;
  readonly peer: PeerId;
  readonly root: Uint8Array;
  /** Of the recovery key. */
  readonly entropy: Uint8Array;
  readonly keys: OwnerKeys;
  readonly recovery: RecoveryKeys;
  /** The 24 words. */
  readonly words: readonly string[];
}

/** What an identity is made of. */
export interface IdentitySecrets {
  readonly nodeSeed: Uint8Array;
  readonly root: Uint8Array;
  /** Of the recovery key. */
  readonly entropy: Uint8Array;
}

export function newIdentity(rng: Pick<Rng, "bytes">): Identity {
  return identityOf({ nodeSeed: rng.bytes(SEED_BYTES), ...newOwnerSecrets(rng) });
}

export function newOwnerSecrets(rng: Pick<Rng, "bytes">): Omit<IdentitySecrets, "nodeSeed"> {
  return { root: rng.bytes(ROOT_BYTES), entropy: rng.bytes(RECOVERY_ENTROPY_BYTES) };
}

export function identityOf({ nodeSeed, root, entropy }: IdentitySecrets): Identity {
  const node = signerFromSeed(nodeSeed);
  return {
    nodeSeed,
    node,
    peer: peerIdOf(node.publicKey),
    root,
    entropy,
    keys: deriveOwnerKeys(root),
    recovery: deriveRecoveryKeys(entropy),
    words: recoveryWords(entropy).split(" "),
  };
}
