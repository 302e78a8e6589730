/**
 * Makes the snapshots that the policy asks for, when it asks for them, with nobody watching.
 *
 * Invariant: one set at a time, and a set's failure is written down, told and tried again; it never ends the daemon. A
 * policy that cannot be used changes nothing: the one before stays in force, and status says so. It decides nothing about
 * times (policy/) and knows nothing of how a snapshot is made: it is handed a function.
 */

export { type RunOutcome, type RunRecord, RunRecords } from "./records.ts";
export { Scheduler, type SchedulerComponents, type SetSnapshot, type TakenSnapshot } from "./scheduler.ts";
export type { PolicyStanding, SetStanding } from "./standing.ts";
export { type Forgotten, Tidier, type TidierComponents, type TidyStanding } from "./tidier.ts";
export { type ForgetRun, type PruneRun, TidyRecords, type TidyState } from "./tidy-records.ts";
