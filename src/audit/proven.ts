import { must } from "../base/assert.ts";
import { readU64be } from "../base/bytes.ts";
import { type PeerId, PUBLIC_KEY_BYTES, peerIdOf } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import { refKey, type SegmentRef } from "../catalog/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { PREFIX, provenCodec, provenKey, provenPrefix, tableEnd } from "./records.ts";

/** A leaf that was answered so long ago proves nothing about today. */
export const PROVEN_FOR_MS = 30 * DAY_MS;
/** Shards remembered: 64 holders at 224 leaves a week come to 61,000. Beyond, those proven longest ago are forgotten. */
const REMEMBERED_MAX = 100_000;
const TIME_AT = 1;
const PEER_AT = TIME_AT + 8;

export interface ProvenShard {
  readonly ref: SegmentRef;
  readonly index: number;
}

/** Of which shards a leaf was proven within 30 days, and by whom. On disk one record for each message, not for each leaf. */
export class ProvenShards {
  readonly #store: MetaStore;
  /** In the order in which they were proven. */
  readonly #atMs = new Map<string, number>();

  private constructor(store: MetaStore) {
    this.#store = store;
  }

  static async load(store: MetaStore, nowMs: number): Promise<ProvenShards> {
    const proven = new ProvenShards(store);
    const from = provenPrefix(oldestAt(nowMs));
    for await (const [key, value] of store.scan({ from, to: tableEnd(PREFIX.proven) })) {
      const timeMs = must(readU64be(key, TIME_AT), "time of a proof");
      const peer = peerIdOf(key.slice(PEER_AT, PEER_AT + PUBLIC_KEY_BYTES));
      for (const [incarnation, number, index] of provenCodec.decode(value).shards)
        proven.#remember(peer, { ref: { incarnation, number }, index }, timeMs);
    }
    return proven;
  }

  /** When this holder last proved a leaf of this shard, if that counts. */
  lastMs(peer: PeerId, { ref, index }: ProvenShard, nowMs: number): number | undefined {
    const atMs = this.#atMs.get(keyOf(peer, ref, index));
    return atMs !== undefined && atMs >= oldestAt(nowMs) ? atMs : undefined;
  }

  /** It does not count any more, whatever it proved before. */
  forget(peer: PeerId, { ref, index }: ProvenShard): void {
    this.#atMs.delete(keyOf(peer, ref, index));
  }

  /** What to write, with whatever else is written; remembered at once. */
  async add(
    peer: PeerId,
    shards: readonly ProvenShard[],
    nonce: Uint8Array,
    nowMs: number,
  ): Promise<MetaOp[]> {
    for (const shard of shards) this.#remember(peer, shard, nowMs);
    const ops = await this.#dropOld(nowMs);
    if (shards.length === 0) return ops;
    const value = provenCodec.encode({
      v: 1,
      shards: shards.map(({ ref, index }): [number, number, number] => [ref.incarnation, ref.number, index]),
    });
    return [...ops, { type: "put", key: provenKey(nowMs, peer, nonce), value }];
  }

  async #dropOld(nowMs: number): Promise<MetaOp[]> {
    const oldestMs = oldestAt(nowMs);
    for (const [key, atMs] of this.#atMs) {
      if (atMs >= oldestMs && this.#atMs.size <= REMEMBERED_MAX) break;
      this.#atMs.delete(key);
    }
    const ops: MetaOp[] = [];
    const range = { from: PREFIX.proven, to: provenPrefix(oldestMs), limit: 1000 };
    for await (const [key] of this.#store.scan(range)) ops.push({ type: "delete", key: key.slice() });
    return ops;
  }

  #remember(peer: PeerId, { ref, index }: ProvenShard, atMs: number): void {
    const key = keyOf(peer, ref, index);
    this.#atMs.delete(key);
    this.#atMs.set(key, atMs);
  }
}

function oldestAt(nowMs: number): number {
  return Math.max(0, nowMs - PROVEN_FOR_MS);
}

function keyOf(peer: PeerId, ref: SegmentRef, index: number): string {
  return `${peer}/${refKey(ref)}/${index}`;
}
