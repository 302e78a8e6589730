import { must } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { ByteBudget, Semaphore } from "../base/concurrency.ts";
import { idBytes, type SwarmId } from "../base/ids.ts";
import type { Catalog, IndexEntry, SegmentRecord, SegmentRef } from "../catalog/index.ts";
import type { OwnerKeys } from "../crypto/keys.ts";
import { signStatement } from "../crypto/signed.ts";
import {
  joinShards,
  type OwnerMaps,
  type OwnQuota,
  type Placer,
  quotaBytesOf,
  type SpoolKeeper,
} from "../exchange/index.ts";
import type { Clock, Compute, MetaOp, Rng, SealedSegment } from "../ports/index.ts";
import { type ClosedSegment, SEGMENT_HEADER_BYTES, type SegmentSizes } from "../segments/index.ts";
import { descriptorCodec } from "../wire/descriptor.ts";
import { encodeSigned } from "../wire/signed.ts";

export interface StorerComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly placer: Placer;
  readonly spool: SpoolKeeper;
  readonly compute: Pick<Compute, "seal">;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly quota: Pick<OwnQuota, "take">;
}

export interface StorerInit {
  readonly swarm: SwarmId;
  readonly keys: OwnerKeys;
  readonly sizes: SegmentSizes;
  /** Class ids, in the current map, for whole segments and for tails. */
  readonly classes: { readonly whole: number; readonly tail: number; readonly formatVersion: number };
  /** `queued`: everything goes into the spool, and the daemon places it from there. */
  readonly wait: "safe" | "queued";
  readonly signal: AbortSignal;
  readonly onStored: (bytes: number) => void;
}

/**
 * Shards in memory at a time, in segments of full size: two segments at 6+3. Of wider codes, 3+3 and such, the next
 * segment is sealed when the one before is placed, and the workers have files to read meanwhile.
 */
const SHARDS_MAX_SEGMENTS = 3;

/** A segment that has its record. */
export interface EnteredSegment {
  readonly ref: SegmentRef;
  readonly closed: ClosedSegment;
  /** Where its chunks will be. */
  readonly entries: readonly IndexEntry[];
}

/** Seals closed segments, has them placed, and spools what could not be placed at once. */
export class SegmentStorer {
  readonly #c: StorerComponents;
  readonly #init: StorerInit;
  /** One at a time: it takes four times a segment's memory for a moment, and is faster than placing. */
  readonly #sealing = new Semaphore(1);
  readonly #shardBytes: ByteBudget;

  constructor(components: StorerComponents, init: StorerInit) {
    this.#c = components;
    this.#init = init;
    this.#shardBytes = new ByteBudget(SHARDS_MAX_SEGMENTS * init.sizes.fullBytes);
  }

  /** Writes the segment's record. What is known of its chunks stays as it is until they are there. */
  async enter(ref: SegmentRef, closed: ClosedSegment): Promise<EnteredSegment> {
    const classId = closed.tail ? this.#init.classes.tail : this.#init.classes.whole;
    const of = this.#c.maps.class(ref.incarnation, classId);
    const record: SegmentRecord = {
      class: classId,
      k: of.k,
      slots: Array.from({ length: of.k + of.m }, () => null),
      shardBytes: 0,
      spooled: false,
      createdMs: this.#c.clock.wallMs(),
    };
    // Manifests, lists and pages of the index are among them: an index run tells of what class a segment is by its entries.
    const entries = closed.chunks.map((chunk, i): IndexEntry => {
      const { id, rawBytes, compressed } = chunk;
      return { id, place: { ...ref, ...must(closed.places[i], "place of a chunk"), rawBytes, compressed } };
    });
    await this.#c.catalog.segments.put(ref, record, { sync: false });
    return { ref, closed, entries };
  }

  /** Waits until there is room in memory for the shards of a segment that was entered. It goes to `store`. */
  async reserve({ ref, closed }: EnteredSegment): Promise<ShardRoom> {
    const { k, slots } = must(this.#c.catalog.segments.get(ref), "segment record");
    const bytes = Math.ceil(closed.segmentBytes / k) * slots.length;
    await this.#shardBytes.acquire(bytes);
    return new ShardRoom(this.#shardBytes, bytes);
  }

  /**
   * Resolves when the segment is placed as far as anybody takes it, and what is missing is in the spool; the room is given
   * back then. Its chunks' places are written last: some lie in older segments too, of which too little is left for new
   * snapshots to lean on, and whose places older snapshots need for as long as there is no better one.
   * `also`: to be written with them.
   */
  async store(
    { ref, closed, entries }: EnteredSegment,
    room: ShardRoom,
    also: () => readonly MetaOp[] = () => [],
  ): Promise<void> {
    try {
      await this.#storeWithin(room, ref, closed);
    } finally {
      room.giveBackAll();
    }
    const { catalog } = this.#c;
    await catalog.store.write([...catalog.chunks.putOps(entries, false), ...also()], { sync: false });
  }

  async #storeWithin(room: ShardRoom, ref: SegmentRef, closed: ClosedSegment): Promise<void> {
    this.#init.signal.throwIfAborted();
    const entered = must(this.#c.catalog.segments.get(ref), "segment record");
    const sealed = await this.#seal(ref, entered, closed);
    this.#c.quota.take(quotaBytesOf({ ...entered, shardBytes: sealed.shardBytes }));
    const data = sealed.shards.slice(0, entered.k);
    const record: SegmentRecord = {
      ...entered,
      shardBytes: sealed.shardBytes,
      descriptor: this.#describe(ref, entered, sealed),
      header: joinShards(data, SEGMENT_HEADER_BYTES),
    };
    await this.#c.catalog.segments.put(ref, record, { sync: false });
    const { signal, onStored } = this.#init;
    if (this.#init.wait === "safe") {
      const tries = sealed.shards.map(() => 0);
      const shard = (index: number): Uint8Array => {
        tries[index] = (tries[index] ?? 0) + 1;
        return must(sealed.shards[index], "shard");
      };
      // Tried once and acknowledged: nothing of it waits on its way to some other, slower peer.
      const letGoIfIdle = (index: number): void => {
        if (tries[index] === 1) letGo(must(sealed.shards[index], "shard"));
      };
      const placed = await this.#c.placer.place({
        ref,
        shard,
        signal,
        onStored: (bytes, index) => {
          onStored(bytes);
          // Data shards are kept: the spool is written from them if another one finds no place.
          if (index < entered.k) return;
          letGoIfIdle(index);
          room.giveBack(bytes);
        },
      });
      if (placed.slots.every((slot) => slot !== null)) {
        for (const index of data.keys()) letGoIfIdle(index);
        return;
      }
    }
    await this.#c.spool.add(ref, joinShards(data, closed.segmentBytes), signal);
  }

  #seal(ref: SegmentRef, entered: SegmentRecord, closed: ClosedSegment): Promise<SealedSegment> {
    const { saltKey, dataKey } = this.#init.keys;
    return this.#sealing.run(async () => {
      const sealed = await this.#c.compute.seal({
        owner: idBytes(this.#c.catalog.owner),
        incarnation: idBytes(this.#c.catalog.segmentId(ref).incarnation),
        segment: ref.number,
        dataKey,
        saltKey,
        random: this.#c.rng.bytes(32),
        chunks: closed.chunks,
        segmentBytes: closed.segmentBytes,
        dataShards: entered.k,
        parityShards: entered.slots.length - entered.k,
        leafBytes: this.#init.sizes.leafBytes,
      });
      closed.release();
      return sealed;
    });
  }

  #describe(
    ref: SegmentRef,
    record: SegmentRecord,
    sealed: { roots: readonly Uint8Array[]; shardBytes: number; segmentBytes: number },
  ): Uint8Array {
    const body = descriptorCodec.encode({
      v: this.#init.classes.formatVersion,
      codec: 1,
      k: record.k,
      m: record.slots.length - record.k,
      class: record.class,
      segmentBytes: sealed.segmentBytes,
      shardBytes: sealed.shardBytes,
      leafBytes: this.#init.sizes.leafBytes,
      roots: [...sealed.roots],
      lockMs: 0,
      createdMs: record.createdMs,
    });
    const { incarnation, number } = this.#c.catalog.segmentId(ref);
    const statement = {
      type: "descriptor",
      swarm: this.#init.swarm,
      incarnation,
      epoch: number,
      body,
    } as const;
    return encodeSigned(signStatement(statement, this.#init.keys.signer));
  }
}

/** One segment's part of the budget, given back piece by piece, and never more than was taken. */
export class ShardRoom {
  readonly #budget: ByteBudget;
  #left: number;

  /** `bytes` have been acquired. */
  constructor(budget: ByteBudget, bytes: number) {
    this.#budget = budget;
    this.#left = bytes;
  }

  giveBack(bytes: number): void {
    const back = Math.min(bytes, this.#left);
    this.#left -= back;
    this.#budget.release(back);
  }

  giveBackAll(): void {
    this.giveBack(this.#left);
  }
}
