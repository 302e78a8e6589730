/**
 * Since when a set of files has changes that are in no snapshot: told by a watcher, or found by looking again and again
 * where nothing can watch.
 *
 * Invariant: what it does not know counts as changed. It makes no snapshot and decides no time (policy/).
 */
export type { SetSight, SetWatch, WatchMode } from "./set-watch.ts";
export { SetWatches, type SetWatchesInit, type WatchedSet } from "./set-watches.ts";
