import { z } from "zod";
import { concatBytes } from "../base/bytes.ts";
import { idBytes, type OwnerId, parseShardIdBytes, type ShardId, shardIdBytes } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import type { GcState } from "../upkeep/index.ts";
import { codec, count } from "../wire/codec.ts";

const PREFIX = 3;

/** A shard on its way out. */
export const gcMark = codec(
  "mark of a shard that is not wanted",
  z
    .object({
      v: z.literal(1),
      /** `gone`: deleted, which is remembered for a while. */
      is: z.enum(["waiting", "trash", "gone"]),
      /** By this home's running time. */
      sinceMs: count,
      /** Of trash: its bytes, and the day of the brake that they were counted on. */
      bytes: count.exactOptional(),
      day: count.exactOptional(),
    })
    .strict(),
);
export type GcMark = ReturnType<(typeof gcMark)["decode"]>;

const HELD: GcState = { is: "held" };

/** How far shards are on their way out, on disk alone: one without a mark is held. */
export class GcMarks {
  readonly #store: MetaStore;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(shard: ShardId): GcMark | undefined {
    const value = this.#store.get(keyOf(shard));
    return value === undefined ? undefined : gcMark.decode(value);
  }

  state(shard: ShardId): GcState {
    const mark = this.get(shard);
    // What is looked at is here: it was put again after it had been deleted.
    return mark === undefined || mark.is === "gone" ? HELD : { is: mark.is, sinceMs: mark.sinceMs };
  }

  putOp(shard: ShardId, mark: Omit<GcMark, "v">): MetaOp {
    return { type: "put", key: keyOf(shard), value: gcMark.encode({ v: 1, ...mark }) };
  }

  deleteOp(shard: ShardId): MetaOp {
    return { type: "delete", key: keyOf(shard) };
  }

  /** Of one owner, or of all. */
  async *all(owner?: OwnerId): AsyncGenerator<readonly [ShardId, GcMark]> {
    const prefix = concatBytes(Uint8Array.of(PREFIX), ...(owner === undefined ? [] : [idBytes(owner)]));
    const to = concatBytes(prefix, new Uint8Array(64).fill(255));
    for await (const [key, value] of this.#store.scan({ from: prefix, to })) {
      const shard = parseShardIdBytes(key.slice(1));
      if (shard !== undefined) yield [shard, gcMark.decode(value)];
    }
  }
}

function keyOf(shard: ShardId): Uint8Array {
  return concatBytes(Uint8Array.of(PREFIX), shardIdBytes(shard));
}
