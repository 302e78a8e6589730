/**
 * The command line: commands, their output and exit statuses. bin/cairn finds a Node that is new enough and
 * runs main.ts.
 *
 * Invariant: standard output has the result and nothing else; progress, warnings and errors go to standard
 * error. Arguments and names of files are bytes all the way. One file in commands/ is one command.
 *
 * It does no backup work: commands ask the daemon through src/control, and the few that need none go through
 * `LocalOperations`.
 */
export { EXIT, exitStatusOf } from "./exit-codes.ts";
export type * from "./local-operations.ts";
export { runCommandLine } from "./program.ts";
