/**
 * Erasure coding: a segment's bytes into k data and m parity shards and back from any k of them, and the
 * Merkle tree that gives every shard its root.
 *
 * Invariant: what comes out depends on the arguments alone, byte for byte the same in every implementation of
 * `ErasureCodec` (docs/format.md, "Erasure coding"). Nothing here knows peers, keys or files, decides which
 * shards to make, or notices shards that are wrong: verify them against their roots before rebuilding.
 */
export * from "./codec.ts";
export * from "./merkle.ts";
export { createReferenceCodec } from "./reference-codec.ts";
export { createWasmCodec } from "./wasm-codec.ts";
