import { type ShardId, shardKey } from "../base/ids.ts";
import type { Clock } from "../ports/index.ts";

/** Beyond, those of longest ago are forgotten, and all others count as asked for then. */
const REMEMBERED_MAX = 16_384;

/**
 * When receipts were last given for copies that were here already, by the steady clock of this process: whoever got one may be about to name this node for the shard.
 * What is not remembered was not asked for since the start, or since what was forgotten last.
 */
export class AskedFor {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #atMs = new Map<string, number>();
  #othersMs: number;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#othersMs = clock.monotonicMs();
  }

  note(shard: ShardId): void {
    const key = shardKey(shard);
    this.#atMs.delete(key);
    this.#atMs.set(key, this.#clock.monotonicMs());
    const [oldest] = this.#atMs;
    if (this.#atMs.size <= REMEMBERED_MAX || oldest === undefined) return;
    this.#atMs.delete(oldest[0]);
    this.#othersMs = oldest[1];
  }

  ageMs(shard: ShardId): number {
    return this.#clock.monotonicMs() - (this.#atMs.get(shardKey(shard)) ?? this.#othersMs);
  }
}
