/**
 * Makes holders prove that they still hold what they gave receipts for: random leaves, Merkle proofs, signed answers.
 *
 * Invariant: a holder counts as wrong by its own signature or its own bytes alone; being late, away or of an older version
 * is never held against it. It finds out what is true; what follows for a segment is decided elsewhere.
 */
export * from "./auditor.ts";
export * from "./book.ts";
export * from "./conviction.ts";
export * from "./judge.ts";
export { PROVEN_FOR_MS, ProvenShards } from "./proven.ts";
export type { HolderRecord, Suspicion } from "./records.ts";
export * from "./rounds.ts";
export * from "./row-auditor.ts";
export * from "./shared-rows.ts";
