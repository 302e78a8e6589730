/**
 * The path out: files to chunks, chunks to segments, segments to holders, and last of all the manifest and the head.
 *
 * Invariant: a head is signed only when everything that its newest manifest refers to is placed or in the spool. A
 * crash before that leaves segments nobody refers to, never a snapshot that lacks something. What a source will not
 * give is reported by path and left out; it does not stop the rest.
 */
export type { Copier } from "./copier.ts";
export { CaptureReport } from "./report.ts";
export { leavesOut } from "./rules.ts";
export {
  type SnapshotComponents,
  type SnapshotInit,
  type SnapshotOutcome,
  type SnapshotProgress,
  SnapshotRun,
} from "./snapshot.ts";
