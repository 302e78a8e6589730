/**
 * The path back: from a head and any quorum of holders to files, and ways to look without restoring.
 *
 * Invariant: a byte is written to a target only after its frame was authenticated and its chunk's id checked, and no
 * path outside the target is ever written, whatever a tree says.
 */
export * from "./browse.ts";
export * from "./chunk-reader.ts";
export {
  askHolders,
  askPrompt,
  askUntilEnough,
  type Reachability,
  type ReachabilityComponents,
} from "./reachability.ts";
export { type RestoreProblem, RestoreReport } from "./report.ts";
export { type RestoreComponents, type RestoreInit, type RestoreProgress, RestoreRun } from "./restore.ts";
export type { Selection } from "./selection.ts";
export * from "./tree-reader.ts";
export * from "./verify.ts";
