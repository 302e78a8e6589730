/**
 * Hands shards and records to peers and gathers them back; the one place where both the way out and the way back
 * cross the network, and where a node answers for what it holds for others.
 *
 * Invariant: nothing a peer sends is passed on before its hash or signature was checked, and nothing is
 * acknowledged to a peer before it is synced. What is in a segment is not known here.
 */

export * from "./ask-all.ts";
export * from "./asked-for.ts";
export * from "./audit-answers.ts";
export * from "./class-chooser.ts";
export * from "./fence.ts";
export * from "./field.ts";
export * from "./gather.ts";
export * from "./head-keeper.ts";
export * from "./holder.ts";
export * from "./kept-maps.ts";
export * from "./kept-records.ts";
export * from "./own-quota.ts";
export * from "./owner-maps.ts";
export * from "./peer-client.ts";
export * from "./placer.ts";
export * from "./protection.ts";
export * from "./quota-ledger.ts";
export * from "./read-locked.ts";
export * from "./running-time.ts";
export * from "./segment-reader.ts";
export * from "./silent-peers.ts";
export * from "./split.ts";
export * from "./spool-keeper.ts";
export * from "./strays.ts";
export * from "./uplink-limit.ts";
export * from "./who-has.ts";
