import type { PeerId, ShardId } from "../base/ids.ts";
import { type GenerationAt, partitionOf } from "../placement/index.ts";
import type { RepairedMap } from "./judge.ts";

/** Copies that are known to be gone or wrong, each with who should have it. */
export interface LossFacts {
  readonly size: number;
  all(): AsyncIterable<{ readonly peer: PeerId; readonly shard: ShardId }>;
}

/**
 * Which holders of a row have lost a shard of some segment of it: a row is worth what its worst segment is. Taken from the facts once
 * for all rows, since there may be many of both.
 */
export class RowLosses {
  readonly #numbers = new Map<string, number[]>();

  static async of(facts: LossFacts): Promise<RowLosses> {
    const losses = new RowLosses();
    if (facts.size === 0) return losses;
    for await (const { peer, shard } of facts.all()) {
      const key = keyOf(shard, shard.index, peer);
      const numbers = losses.#numbers.get(key);
      if (numbers === undefined) losses.#numbers.set(key, [shard.number]);
      else numbers.push(shard.number);
    }
    return losses;
  }

  /** Whether this slot's holder has lost its shard of any segment of the generation. */
  hasLost(
    map: RepairedMap,
    { classId, partition, fromSegment }: GenerationAt,
    slot: number,
    peer: PeerId,
  ): boolean {
    const numbers = this.#numbers.get(keyOf(map, slot, peer));
    const rows = map.now.classes.get(classId);
    if (numbers === undefined || rows === undefined) return false;
    const later = (rows.rows[partition] ?? []).map((generation) => generation.fromSegment);
    const end = Math.min(...later.filter((from) => from > fromSegment), Number.POSITIVE_INFINITY);
    return numbers.some(
      (number) => number >= fromSegment && number < end && partitionOf(number, rows.partitions) === partition,
    );
  }
}

function keyOf(
  { owner, incarnation }: Pick<ShardId, "owner" | "incarnation">,
  index: number,
  peer: PeerId,
): string {
  return `${owner}/${incarnation}/${index}/${peer}`;
}
