/**
 * Notices that files were changed, by inotify.
 *
 * Invariant: what may have gone unseen is said (`complete`), never guessed: a full queue, a root that was replaced, a
 * limit, a file system that others change. It does not decide what follows from a change, and remembers none of them.
 */
export { createTreeWatcher } from "./tree-watcher.ts";
