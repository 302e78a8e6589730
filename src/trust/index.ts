/**
 * Whom to believe: evidence, doubts and clearances, signed, on every node's disk and spread to all.
 *
 * Invariant: nobody is suspect for the swarm but by words that it signed itself and that anybody can check; what others
 * say of it makes it doubted at most, and only when enough of them do. An administrators' clearance answers what was said
 * before it, and nothing later.
 *
 * It audits nobody and moves no data: it says how far each member is believed, and placement and upkeep act on that.
 */
export * from "./book.ts";
export * from "./record-rules.ts";
export * from "./statements.ts";
export * from "./voice.ts";
