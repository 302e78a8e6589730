/**
 * Beats that cost next to nothing: a node signs the end of a chain of hashes in its status, and tells one value of it every
 * few minutes; members pass the newest value of everybody on over a few links each.
 *
 * Invariant: nobody but its origin can make a tick that was not told yet; an older one changes nothing.
 */
export { beatOfStatus, type Tick, TickBook } from "./book.ts";
export { OwnChain } from "./chain.ts";
export { TickGossip, type TickGossipComponents } from "./gossip.ts";
