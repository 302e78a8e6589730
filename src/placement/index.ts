/**
 * Who should hold which shard, and what the holders that there are would survive: weighted rendezvous hashing under
 * the site rule, the choice of a profile, the placement map, and exact survival counts.
 *
 * Invariant: everything here is a pure function of its arguments, and everybody who sees the same roster and map
 * computes the same order, row and counts. A row puts at most `cap` shards of a segment at one site, at most one on a
 * node, and none on the owner's own node.
 *
 * It does not act: nothing is sent, stored, signed or timed here, and what a peer says about itself is judged
 * elsewhere before it becomes a flag of a `PlacementNode`.
 */
export * from "./apart.ts";
export * from "./auto.ts";
export * from "./map.ts";
export * from "./map-data.ts";
export * from "./profile.ts";
export * from "./rendezvous.ts";
export * from "./row.ts";
export * from "./slot-changes.ts";
export * from "./survives.ts";
