/**
 * The ports `Network` and `Directory` over libp2p: TCP, Noise, yamux, kad-dht.
 *
 * Invariants: a peer without a role meets no protocol; guests meet one of ours and nothing of libp2p's; nothing
 * is allocated for a request before role, count, lengths and bytes in memory have been looked at; no wait is
 * without a bound. It believes nothing about data: bytes go through as they are, addresses and pools are hints.
 *
 * What it does not do: decide who is a member, retry requests, detect failed peers (a connection is only closed
 * when nothing at all comes over it), or hide that a peer refuses us.
 */
export { DEFAULT_PORT, parseDialAddress, parseListenAddress } from "./addresses.ts";
export { createGuest, type Guest, type GuestInit } from "./guest.ts";
export { DEFAULT_LIMITS, type Libp2pLimits, PROTOCOL_LIMITS } from "./limits.ts";
export { createLibp2pNode, type Libp2pGauges, type Libp2pNode, type Libp2pNodeInit } from "./node.ts";
export { guardProcess, type ProcessGuardInit } from "./process-guard.ts";
