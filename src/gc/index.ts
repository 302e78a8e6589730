/**
 * A holder's part in deletion: which live set is in force for a segment, and what becomes of shards that it omits.
 *
 * Invariant: nothing is deleted but what a live set in force covers and omits, after the delay and the time in the trash, with no
 * lock on it and within the brake; whatever is not known keeps it.
 *
 * What an owner still wants is worked out elsewhere; copies too many of what is wanted are the sweep's.
 */
export * from "./brake.ts";
export * from "./collector.ts";
export * from "./live-set.ts";
export * from "./live-sets.ts";
export * from "./marks.ts";
export * from "./wanted.ts";
