/**
 * What to do so that data stays alive: who is up and who is believed, what the shards that are there are worth, what is
 * mended first, by whom, when nothing may be touched, and which repair holds.
 *
 * Invariant: everything here is a pure function of its arguments (the time is one of them). Offline, timed out and wrong
 * are three different things; only the last is proof of loss. A doubt always ends in waiting or keeping, never in
 * dropping, except where no shard can be lost any more: there what can be reached is copied.
 *
 * It does not act: it sends, stores, signs, verifies no signature and reads no clock. What it is told was opened and
 * checked where it came in.
 */
export * from "./assess.ts";
export * from "./budget.ts";
export * from "./deletion.ts";
export * from "./election.ts";
export * from "./facts.ts";
export * from "./grace.ts";
export * from "./hearings.ts";
export * from "./liveness.ts";
export * from "./observers.ts";
export * from "./own-sight.ts";
export * from "./queue.ts";
export * from "./removal-plan.ts";
export * from "./repair-check.ts";
export * from "./repair-ledger.ts";
export * from "./repair-record.ts";
export * from "./reports.ts";
export * from "./settings.ts";
export * from "./slot-work.ts";
export * from "./storm.ts";
export * from "./surplus.ts";
export * from "./trust.ts";
