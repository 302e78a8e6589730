import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import type { Ed25519PrivateKey, PeerId as Libp2pPeerId } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { assert } from "../../base/assert.ts";
import { type PeerId, parsePeerId } from "../../base/ids.ts";

/** `undefined` for keys that are not Ed25519: nobody in a swarm has one. */
export function fromLibp2p(peer: Libp2pPeerId): PeerId | undefined {
  return parsePeerId(peer.toString());
}

export function toLibp2p(peer: PeerId): Libp2pPeerId {
  return peerIdFromString(peer);
}

export async function privateKeyOf(seed: Uint8Array): Promise<Ed25519PrivateKey> {
  assert(seed.length === 32, "an Ed25519 seed has 32 bytes");
  return await generateKeyPairFromSeed("Ed25519", seed);
}
