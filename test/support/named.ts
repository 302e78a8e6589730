import { SeededRng } from "../../sim/rng.ts";
import { incarnationOf, ownerIdOf, type ShardId } from "../../src/base/ids.ts";

/** Shards of a few owners; in byte order of `n` for one owner. */
export function shardId(n: number, index = 0, owner = 1): ShardId {
  return {
    owner: ownerIdOf(new Uint8Array(32).fill(owner)),
    incarnation: incarnationOf(new Uint8Array(16).fill(7)),
    number: n,
    index,
  };
}

/** Bytes that depend on the name alone. */
export function bytesNamed(name: string, length: number): Uint8Array {
  return new SeededRng(name).bytes(length);
}
