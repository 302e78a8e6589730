/**
 * The files of the machine we run on: what a snapshot reads and what a restore writes.
 *
 * Invariant: reading changes nothing and follows no symbolic link at the end of a path; writing stays within
 * the target directory, whatever a snapshot or somebody with a shell in that directory may try.
 *
 * What Node does not offer of the file system is called in libc (libc.ts); all calls are synchronous within
 * methods that give the event loop its turn every few milliseconds (turn.ts). It does not decide what is saved
 * or restored, knows nothing of chunks, and does not retry.
 */
export { createFileOpener } from "./opener.ts";
export { createFileTarget } from "./target.ts";
export { TEMPORARY_PREFIX } from "./temporary.ts";
export { createFileTree } from "./tree.ts";
