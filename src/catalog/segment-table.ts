import { z } from "zod";
import { must } from "../base/assert.ts";
import { readU64be } from "../base/bytes.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import type { PeerId } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesOf, bytesUpTo, codec, count, OWN_SHAPE, peerId } from "../wire/codec.ts";
import { SHARDS_MAX } from "../wire/descriptor.ts";
import { refKey, type SegmentRef, segmentKeyOf, tableRange } from "./keys.ts";

const slot = z
  .object({
    peer: peerId,
    timeMs: count,
    /** The holder's signature under its receipt; absent where it only said so (after a recovery). */
    signature: bytesOf(64).optional(),
  })
  .strict();
/** Who has acknowledged one shard. */
export type ShardSlot = z.output<typeof slot>;

const record = z
  .object({
    v: z.literal(1),
    class: z.int().min(0).max(65_535),
    k: z.int().min(1).max(SHARDS_MAX),
    /** For each shard index who holds it; `null` where nobody acknowledged it. */
    slots: z.array(slot.nullable()).min(1).max(SHARDS_MAX),
    /** Shard bytes of all n; 0 while it is not known. */
    shardBytes: count,
    /** Its signed descriptor, in its envelope; absent after a recovery until it was read. */
    descriptor: bytesUpTo(16 * 1024).optional(),
    /** The sealed segment's own header (salt, key commitment). */
    header: bytesUpTo(256).optional(),
    /** The sealed bytes are in this machine's spool. */
    spooled: z.boolean(),
    createdMs: count,
  })
  .strict();
export type SegmentRecord = Omit<z.output<typeof record>, "v">;

const recordCodec = codec("segment record", record, OWN_SHAPE);

/** What this owner knows of each of its segments: how it is coded and who has acknowledged which shard. */
export class SegmentTable {
  readonly #store: MetaStore;
  readonly #updates = new KeyedMutex();

  constructor(store: MetaStore) {
    this.#store = store;
  }

  get(ref: SegmentRef): SegmentRecord | undefined {
    const bytes = this.#store.get(segmentKeyOf(ref));
    return bytes === undefined ? undefined : decodeRecord(bytes);
  }

  /**
   * For counting: of a segment of which nothing is known (the index that describes it could not be read after a
   * recovery) a record that says that nobody holds it.
   */
  orUnknown(ref: SegmentRef): SegmentRecord {
    return this.get(ref) ?? UNKNOWN_SEGMENT;
  }

  putOp(ref: SegmentRef, value: SegmentRecord): MetaOp {
    return { type: "put", key: segmentKeyOf(ref), value: recordCodec.encode({ v: 1, ...value }) };
  }

  async put(ref: SegmentRef, value: SegmentRecord, options: { sync: boolean }): Promise<void> {
    await this.#store.write([this.putOp(ref, value)], options);
  }

  /**
   * One change of a record after the other, each made to what the one before has left; in one write with `ops`. What
   * `change` gives back unchanged is not written, and neither are the ops. The record afterwards; `undefined` where there
   * is none.
   */
  async update(
    ref: SegmentRef,
    change: (known: SegmentRecord) => SegmentRecord,
    options: { readonly sync: boolean | ((changed: SegmentRecord) => boolean) },
    ops: readonly MetaOp[] = [],
  ): Promise<SegmentRecord | undefined> {
    return this.#updates.run(refKey(ref), async () => {
      const known = this.get(ref);
      if (known === undefined) return undefined;
      const changed = change(known);
      if (changed === known) return known;
      const sync = typeof options.sync === "boolean" ? options.sync : options.sync(changed);
      await this.#store.write([...ops, this.putOp(ref, changed)], { sync });
      return changed;
    });
  }

  /**
   * What a holder had acknowledged it has no more, or not whole: from now on it does not count. Nothing when somebody
   * else has acknowledged the shard since. Whether it did count.
   */
  async forget(ref: SegmentRef, index: number, peer: PeerId): Promise<boolean> {
    let didCount = false;
    await this.update(
      ref,
      (known) => {
        if (known.slots[index]?.peer !== peer) return known;
        didCount = true;
        return { ...known, slots: known.slots.map((slot, at) => (at === index ? null : slot)) };
      },
      { sync: true },
    );
    return didCount;
  }

  /**
   * Nobody is counted on for it any more. The record stays for a while, for whoever is reading it just now; it is of this life's making
   * then, so that no one is asked who has it.
   */
  giveUpOp(ref: SegmentRef, known: SegmentRecord): MetaOp {
    const slots = known.slots.map(() => null);
    return this.putOp(ref, { ...known, slots, spooled: false, createdMs: Math.max(1, known.createdMs) });
  }

  removeOp(ref: SegmentRef): MetaOp {
    return { type: "delete", key: segmentKeyOf(ref) };
  }

  /** In the order of their numbers, life by life. */
  async *all({ reverse = false } = {}): AsyncGenerator<readonly [SegmentRef, SegmentRecord]> {
    for await (const [key, value] of this.#store.scan({ ...tableRange("segment"), reverse })) {
      const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
      const ref = { incarnation: view.getUint32(1), number: must(readU64be(key, 5), "segment number") };
      yield [ref, decodeRecord(value)];
    }
  }
}

const UNKNOWN_SEGMENT: SegmentRecord = {
  class: 0,
  k: 1,
  slots: [null],
  shardBytes: 0,
  spooled: false,
  createdMs: 0,
};

function decodeRecord(bytes: Uint8Array): SegmentRecord {
  const { v: _, ...value } = recordCodec.decode(bytes);
  return value;
}

/** Distinct holders' acknowledgements of a segment. */
export function holdersOf(segment: SegmentRecord): { index: number; peer: PeerId }[] {
  return segment.slots.flatMap((entry, index) => (entry === null ? [] : [{ index, peer: entry.peer }]));
}
