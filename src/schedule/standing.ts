import type { EffectiveSet, PolicyIssue } from "../policy/index.ts";
import type { SetSight } from "../watch/index.ts";
import type { RunRecord } from "./records.ts";

/** What is in force, and whether what lies in the file is. */
export type PolicyStanding =
  | { readonly state: "none" }
  | { readonly state: "valid"; readonly sets: readonly SetStanding[] }
  /** `sets`: of the last one that could be used since the start. */
  | {
      readonly state: "invalid";
      readonly issues: readonly PolicyIssue[];
      readonly sets: readonly SetStanding[];
    };

export interface SetStanding {
  readonly set: EffectiveSet;
  readonly isRunning: boolean;
  /** In the past: due, waiting for another set. Absent: never by itself. */
  readonly dueMs: number | undefined;
  readonly last: RunRecord | undefined;
  /** Of a continuous set. */
  readonly sight: SetSight | undefined;
}
