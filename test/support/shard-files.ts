import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import { join, sep } from "node:path";
import { decodeTrailer, FOOTER_BYTES, trailerBytes } from "../../src/adapters/store/shard-codec.ts";
import { parseShardFile, QUARANTINE_DIRECTORY } from "../../src/adapters/store/shard-layout.ts";
import { must } from "../../src/base/assert.ts";
import type { ShardId, SwarmId } from "../../src/base/ids.ts";
import { shardNote } from "../../src/wire/data.ts";
import { readDescriptor } from "../../src/wire/descriptor.ts";
import type { TestNode } from "./daemons.ts";

export interface HeldShard {
  readonly node: TestNode;
  readonly id: ShardId;
  readonly path: string;
}

/** Shards of one owner as they lie in the homes of these nodes, running or not. */
export function shardsHeld(nodes: readonly TestNode[], ownerId: string): HeldShard[] {
  return nodes.flatMap((node) => {
    const root = join(node.home, "shards");
    return readdirSync(root, { recursive: true, encoding: "utf8" }).flatMap((name) => {
      if (name.startsWith(QUARANTINE_DIRECTORY)) return [];
      const [file = "", group = "", incarnation = "", owner = ""] = name.split(sep).reverse();
      const parsed = parseShardFile([owner, incarnation, group], file);
      if (parsed === undefined || parsed.temporary || parsed.id.owner !== ownerId) return [];
      return [{ node, id: parsed.id, path: join(root, name) }];
    });
  });
}

/** By segment number, of the newest incarnation there is only one of in these tests. */
export function bySegment(shards: readonly HeldShard[]): Map<number, HeldShard[]> {
  return Map.groupBy(shards, (shard) => shard.id.number);
}

/** Flips one bit of a file in place, as a disk does; again to undo it. The position is a share of its first half. */
export function flipBit(path: string, at = 0.5): void {
  flipByte(path, Math.floor((statSync(path).size / 2) * at));
}

export function flipByte(path: string, position: number): void {
  const file = openSync(path, "r+");
  try {
    const byte = new Uint8Array(1);
    readSync(file, byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ 0x10;
    writeSync(file, byte, 0, 1, position);
  } finally {
    closeSync(file);
  }
}

/** The format version of the descriptor that lies beside a shard. */
export function descriptorVersion({ path, id }: HeldShard, swarm: SwarmId): number {
  const file = readFileSync(path);
  const trailer = file.subarray(-must(trailerBytes(file.subarray(-FOOTER_BYTES), file.length), "trailer"));
  const { note } = must(decodeTrailer(trailer, id), "trailer of this shard");
  return readDescriptor(shardNote.decode(note).descriptor, swarm).v;
}
