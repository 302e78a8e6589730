/**
 * Copies that are one too many: what a node that came back still has after others made it anew, and what two repairs at once left.
 *
 * Invariant: nothing is dropped but by `upkeep`'s verdict on what this node itself saw within a day, and never what this node has
 * promised to keep, was asked for lately, or knows no map of.
 *
 * It frees disks and does nothing else: whether data is whole, and where, is repair's; deleting what nobody wants any more
 * is not in here.
 */
export * from "./promises.ts";
export * from "./sweeper.ts";
export * from "./witnesses.ts";
