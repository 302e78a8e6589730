/**
 * Shards made anew from others, without keys: what the signed descriptor of a segment says is enough.
 *
 * Invariant: no byte is put anywhere before it has the root that the segment's owner signed for it, and a shard counts as
 * placed when its new holder's receipt is here. Who acts twice, or dies half-way, leaves surplus shards and no other harm.
 *
 * It does not decide what is repaired, by whom or when: upkeep does.
 */

export * from "./book.ts";
export * from "./causes.ts";
export * from "./claims.ts";
export * from "./cut-off-copies.ts";
export * from "./door.ts";
export * from "./drainer.ts";
export * from "./former-maps.ts";
export * from "./heirs.ts";
export * from "./introductions.ts";
export * from "./inventory.ts";
export * from "./judge.ts";
export * from "./mender.ts";
export * from "./own-adoption.ts";
export * from "./own-census.ts";
export * from "./own-facts.ts";
export * from "./own-plan.ts";
export * from "./own-removal.ts";
export * from "./own-segment.ts";
export * from "./owner-repair.ts";
export * from "./pace.ts";
export * from "./peers.ts";
export * from "./rebuild.ts";
export * from "./records.ts";
export * from "./roster-at.ts";
export * from "./row-check.ts";
export * from "./row-choice.ts";
export * from "./row-losses.ts";
export * from "./row-progress.ts";
export * from "./row-repair.ts";
export * from "./spread.ts";
