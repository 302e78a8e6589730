/**
 * The directory in which a node keeps everything: whose it is at the moment, and how it is recognised.
 *
 * Invariant: one process at a time uses a home; the lock is taken before anything in it is opened. It does not
 * know what is inside.
 */
export { type HomeLock, lockHome } from "./lock.ts";
export { isCairnHome, markHome } from "./marker.ts";
