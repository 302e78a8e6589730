/**
 * Which copies are known to be gone: told by their holders, or found out by audits. Facts for repair, on disk and bounded.
 *
 * Invariant: a loss is noted of the holder that said it itself, or that an audit caught, and of nobody else; and only of shards
 * that this node has to do with. A later proof or receipt takes it back.
 *
 * It repairs nothing.
 */
export * from "./desk.ts";
export * from "./known-lost.ts";
export * from "./teller.ts";
