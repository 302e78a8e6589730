/**
 * Locks: for how long holders keep what a snapshot needs, whoever asks them to drop it. `HolderLocks` is the holder's side,
 * `OwnerLocks` the owner's.
 *
 * Invariant: a lock is counted by the holder's own running time, is never made shorter, and is on disk before it is acknowledged; the
 * head that it is for is kept as long.
 *
 * Nothing is dropped in here: whoever would drop a shard asks `SegmentLocks` first.
 */
export * from "./holder-locks.ts";
export * from "./kept-locks.ts";
export * from "./lock-bearer.ts";
export * from "./lock-table.ts";
export * from "./lock-tag.ts";
export * from "./locked-heads.ts";
export * from "./own-book.ts";
export * from "./own-plan.ts";
export * from "./owner-locks.ts";
export * from "./row-bits.ts";
