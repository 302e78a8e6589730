/**
 * Who is up: drives the judgements of src/upkeep with what this node hears itself, with signed beats and with others'
 * signed reports of silence.
 *
 * Invariant: a node counts as heard by an exchange with it or by its own signature alone. What this node knows survives
 * its restart; what happened while it did not run is nobody's silence.
 *
 * It acts on nothing: who repairs, places or drops reads `PresenceView`.
 */
export { Intentions } from "./intentions.ts";
export type { PresenceCounts } from "./journal.ts";
export { listening } from "./listening.ts";
export { Presence, type PresenceComponents, type PresenceView, type Witnessed } from "./presence.ts";
