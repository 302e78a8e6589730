/**
 * The outside world as interfaces. Everything but adapters/, control/ and cli/ reaches time, randomness,
 * network, disk and other processors through these alone, so that the simulator can run the same core.
 * Each interface states its contract; one suite in test/contract/ holds every implementation to it.
 */
export type * from "./clock.ts";
export type * from "./compute.ts";
export type * from "./directory.ts";
export type * from "./file-tree.ts";
export type * from "./hook-runner.ts";
export type * from "./meta-store.ts";
export * from "./network.ts";
export type * from "./policy-file.ts";
export * from "./prefixed-meta-store.ts";
export * from "./rng.ts";
export type * from "./shard-store.ts";
export type * from "./spool.ts";
export type * from "./tree-watcher.ts";
