import type { PeerId } from "../../base/ids.ts";
import type { PeerRole } from "../../ports/network.ts";
import { CONNECTIONS_PER_PEER_MAX, GUEST_CONNECTIONS_MAX } from "./limits.ts";

interface Standing {
  readonly peer: PeerId;
}

/**
 * Which connections go now that `peer` has opened one more. `open` are all there are, oldest first. Of a peer that has too many
 * the oldest, which it may have lost; of guests that together have too many, the oldest of the one that has most.
 */
export function crowdedOut<C extends Standing>(
  peer: PeerId,
  open: Iterable<C>,
  roleOf: (peer: PeerId) => PeerRole,
): C[] {
  const all = [...open];
  const own = all.filter((one) => one.peer === peer);
  const out = own.slice(0, Math.max(0, own.length - CONNECTIONS_PER_PEER_MAX));
  if (!isGuest(roleOf(peer))) return out;
  const ofGuest = new Map<PeerId, C[]>();
  let guests = 0;
  for (const one of all) {
    if (out.includes(one) || !isGuest(roleOf(one.peer))) continue;
    guests++;
    ofGuest.set(one.peer, [...(ofGuest.get(one.peer) ?? []), one]);
  }
  if (guests <= GUEST_CONNECTIONS_MAX) return out;
  const [most] = [...ofGuest.values()].sort((a, b) => b.length - a.length);
  return [...out, ...(most ?? []).slice(0, 1)];
}

function isGuest(role: PeerRole): boolean {
  return role === "join-guest" || role === "recovery-guest";
}
