/**
 * The policy file of a home, and the commands that it names.
 *
 * Invariant: what others could have written is not used, because its commands run as this process's user. It does not
 * know what a policy means.
 */
export { createHookRunner } from "./hook-runner.ts";
export { openPolicyFile } from "./policy-file.ts";
