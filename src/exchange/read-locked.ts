import { equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type OwnerId, type PeerId, publicKeyOfPeer, type SwarmId } from "../base/ids.ts";
import { sha256 } from "../crypto/hash.ts";
import { checkSigned } from "../crypto/signed.ts";
import { type LockedBody, lockBody, lockedBody } from "../wire/lock.ts";
import { decodeSigned } from "../wire/signed.ts";

/** What a holder signed about these statements, in their order; of each no more than it names. */
export function readLocked(
  envelope: Uint8Array,
  asked: {
    readonly swarm: SwarmId;
    readonly peer: PeerId;
    readonly owner: OwnerId;
    readonly locks: readonly Uint8Array[];
  },
): LockedBody["locks"] {
  const { swarm, peer, owner, locks } = asked;
  const signed = decodeSigned(envelope);
  checkSigned(signed, { type: "locked", swarm, signer: publicKeyOfPeer(peer) });
  const said = lockedBody.decode(signed.body);
  const isAbout = (statement: Uint8Array, bits: Uint8Array, lock: Uint8Array): boolean => {
    const wanted = lockBody.decode(decodeSigned(lock).body).bits;
    const isWithin =
      bits.length === wanted.length && bits.every((byte, at) => (byte & ~(wanted[at] ?? 0)) === 0);
    return isWithin && equalBytes(statement, sha256(lock));
  };
  const isMeant =
    said.owner === owner &&
    said.timeMs === signed.epoch &&
    said.locks.length === locks.length &&
    said.locks.every(({ statement, bits }, at) => isAbout(statement, bits, locks[at] ?? new Uint8Array(0)));
  if (!isMeant)
    throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "it says what it keeps of something else" });
  return said.locks;
}
