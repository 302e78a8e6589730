/**
 * What exists in this owner's repository, as this machine knows it: snapshots, trees, chunk -> segment -> shard ->
 * peer, over the MetaStore port. It decides nothing about peers and moves no bytes.
 */
export * from "./catalog.ts";
export * from "./chunk-index.ts";
export { refKey, type SegmentRef, stateKey as stateKeyOf } from "./keys.ts";
export * from "./listing.ts";
export * from "./moves.ts";
export * from "./page-sizes.ts";
export * from "./path-cache.ts";
export * from "./range-owners.ts";
export * from "./range-set.ts";
export * from "./records.ts";
export * from "./segment-ranges.ts";
export * from "./segment-table.ts";
export type { RepositoryState } from "./state.ts";
export * from "./trail.ts";
export * from "./trail-check.ts";
export * from "./tree.ts";
export * from "./unread.ts";
