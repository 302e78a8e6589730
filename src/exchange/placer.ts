import { must } from "../base/assert.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { PeerId, ShardId } from "../base/ids.ts";
import { segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRecord, SegmentRef, ShardSlot } from "../catalog/index.ts";
import { chooseRow, type ExcludeReason, replacementFor, type Slot } from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import { fieldFor, type SwarmView } from "./field.ts";
import type { OwnerMaps } from "./owner-maps.ts";
import type { PeerClient } from "./peer-client.ts";
import type { UplinkLimit } from "./uplink-limit.ts";
import { askedWhileBusy } from "./while-busy.ts";

export interface PlacerComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "put" | "silent">;
  readonly view: SwarmView;
  readonly clock: Clock;
  readonly log: Log;
  readonly uplink?: Pick<UplinkLimit, "room">;
}

export interface PlaceJob {
  readonly ref: SegmentRef;
  /** The bytes of one shard of the sealed segment. */
  readonly shard: (index: number) => Uint8Array;
  readonly signal?: AbortSignal;
  /** Called for each shard that a holder has acknowledged, with its bytes and its index. */
  readonly onStored?: (bytes: number, index: number) => void;
}

type PutOutcome = { kind: "placed"; slot: ShardSlot } | { kind: "excluded"; reason: ExcludeReason };

/**
 * Gives the shards of sealed segments to the holders of their row: all that lack a receipt, each at once. A peer
 * that refuses, is full or cannot be reached is replaced by the next candidate, which opens a new generation of
 * the row. What nobody takes stays without receipt, for the spool.
 */
export class Placer {
  readonly #c: PlacerComponents;
  readonly #rows = new KeyedMutex();

  constructor(components: PlacerComponents) {
    this.#c = components;
  }

  /** The segment's record afterwards; every receipt in it is in the catalog too. */
  async place(job: PlaceJob): Promise<SegmentRecord> {
    const record = this.#record(job.ref);
    const partition = this.#c.maps.partition(record.class, job.ref.number);
    return this.alone(job.ref, record.class, () => this.#place(job, partition));
  }

  /** Whatever else changes the row of a segment, or who holds its shards, waits for this. */
  alone<T>(ref: SegmentRef, classId: number, task: () => Promise<T>): Promise<T> {
    const partition = this.#c.maps.partitionIn(ref.incarnation, classId, ref.number);
    return this.#rows.run(`${ref.incarnation}/${classId}/${partition}`, task);
  }

  async #place(job: PlaceJob, partition: number): Promise<SegmentRecord> {
    const excluded = new Map<PeerId, ExcludeReason>();
    const slots = await this.#openRow(job.ref, partition, excluded);
    let due = [...slots.keys()].filter((index) => this.#record(job.ref).slots[index] === null);
    await this.#goAround(job.ref, partition, slots, due);
    // Every round either places a shard or excludes a peer, so there are no more rounds than members.
    while (due.length > 0) {
      const failed: number[] = [];
      await Promise.all(
        due.map(async (index) => {
          const peer = slots[index];
          const outcome = peer === undefined ? undefined : await this.#put(job, index, peer);
          if (outcome?.kind === "placed") return this.#acknowledge(job, index, outcome.slot);
          if (outcome !== undefined && peer !== undefined) excluded.set(peer, outcome.reason);
          failed.push(index);
        }),
      );
      job.signal?.throwIfAborted();
      due = await this.#replace(job.ref, partition, slots, failed, excluded);
    }
    return this.#record(job.ref);
  }

  /** The row's holders for this segment, chosen now where the row is not open yet or has empty slots. */
  async #openRow(ref: SegmentRef, partition: number, excluded: Map<PeerId, ExcludeReason>): Promise<Slot[]> {
    const { class: classId } = this.#record(ref);
    const known = this.#c.maps.slots(ref, classId);
    if (known.length > 0) return known;
    const of = this.#c.maps.class(ref.incarnation, classId);
    const n = of.k + of.m;
    const choice = chooseRow({
      ...fieldFor(this.#c.view, this.#c.catalog.owner, of, partition, excluded),
      n,
    });
    const slots: Slot[] = Array.from({ length: n }, (_, index) => choice.slots[index]);
    if (!choice.ok)
      this.#c.log.warn("row-incomplete", { partition, found: choice.found, wanted: n, why: choice.why });
    await this.#c.maps.assign(classId, ref.number, slots);
    return slots;
  }

  /**
   * A holder that let a request time out just now gives its place to another candidate before it costs the same wait
   * for each row and segment. Where there is no other one it is asked all the same. A suspect one gets nothing, even so.
   */
  async #goAround(ref: SegmentRef, partition: number, slots: Slot[], due: readonly number[]): Promise<void> {
    const { silent } = this.#c.client;
    const nodes = this.#c.view.nodes();
    const members = nodes.map((node) => node.peer);
    const suspected = new Set(nodes.filter((node) => node.suspected).map((node) => node.peer));
    const excluded = new Map<PeerId, ExcludeReason>(
      members.filter((peer) => silent.has(peer)).map((peer) => [peer, "not wanted"]),
    );
    const hung = due.filter((index) => {
      const peer = slots[index];
      return peer !== undefined && (excluded.has(peer) || suspected.has(peer));
    });
    const replaced = await this.#replace(ref, partition, slots, hung, excluded);
    for (const index of hung) {
      // Nothing is better than a holder that lost or altered what it had: it stays in the spool.
      const peer = slots[index];
      if (!replaced.includes(index) && peer !== undefined && suspected.has(peer)) slots[index] = undefined;
    }
  }

  /** Finds the next candidate for each slot that failed; returns the slots that have one, to be tried now. */
  async #replace(
    ref: SegmentRef,
    partition: number,
    slots: Slot[],
    failed: readonly number[],
    excluded: ReadonlyMap<PeerId, ExcludeReason>,
  ): Promise<number[]> {
    const { class: classId } = this.#record(ref);
    const of = this.#c.maps.class(ref.incarnation, classId);
    const retry: number[] = [];
    for (const index of failed) {
      const field = fieldFor(this.#c.view, this.#c.catalog.owner, of, partition, excluded);
      // Whoever failed just now and finds nobody in its place stays in the row, and is asked again.
      const next = replacementFor(slots, index, { ...field, excludedMayReturn: true });
      if (!next.ok) continue;
      this.#c.log.info("slot-replaced", {
        partition,
        segment: ref.number,
        index,
        from: slots[index],
        to: next.peer,
      });
      slots[index] = next.peer;
      retry.push(index);
    }
    if (retry.length > 0) await this.#c.maps.assign(classId, ref.number, slots);
    return retry;
  }

  async #put(job: PlaceJob, index: number, peer: PeerId): Promise<PutOutcome> {
    const record = this.#record(job.ref);
    const shard: ShardId = { ...this.#c.catalog.segmentId(job.ref), index };
    const descriptor = must(record.descriptor, "descriptor of a sealed segment");
    const put = () => this.#c.client.put(peer, shard, descriptor, job.shard(index), job.signal);
    await this.#c.uplink?.room(record.shardBytes, job.signal);
    try {
      return { kind: "placed", slot: await askedWhileBusy(this.#c.clock, put, job.signal) };
    } catch (error) {
      job.signal?.throwIfAborted();
      if (isFault(error, "FENCED")) throw error;
      return { kind: "excluded", reason: this.#reasonOf(error, peer, shard) };
    }
  }

  #reasonOf(error: unknown, peer: PeerId, shard: ShardId): ExcludeReason {
    if (!isFault(error)) throw error;
    this.#c.log.warn("put-failed", {
      peer,
      segment: segmentKey(shard),
      index: shard.index,
      why: messageOf(error),
    });
    if (error.code === "NO_ROOM") return "full";
    return error.code === "PEER_REFUSED" ? "refused" : "not wanted";
  }

  async #acknowledge(job: PlaceJob, index: number, slot: ShardSlot): Promise<void> {
    const { shardBytes } = this.#record(job.ref);
    await this.#c.catalog.segments.update(
      job.ref,
      (record) => ({ ...record, slots: record.slots.map((known, i) => (i === index ? slot : known)) }),
      // A sync for each segment: without it a loss of power would have all since the last one sent again.
      { sync: ({ slots }) => slots.every((known) => known !== null) },
    );
    job.onStored?.(shardBytes, index);
  }

  #record(ref: SegmentRef): SegmentRecord {
    const record = this.#c.catalog.segments.get(ref);
    if (record === undefined) throw new Fault({ code: "CHUNK_UNKNOWN", chunk: `segment ${ref.number}` });
    return record;
  }
}
