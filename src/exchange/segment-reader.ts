import { must } from "../base/assert.ts";
import { letGo } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type ShardId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MIB } from "../base/units.ts";
import { type Catalog, refKey, type SegmentRecord, type SegmentRef } from "../catalog/index.ts";
import { RANGE_BYTES } from "../erasure/index.ts";
import type { Clock, Compute, Spool } from "../ports/index.ts";
import type { Descriptor } from "../wire/descriptor.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { type Gathering, gather } from "./gather.ts";
import type { OwnerMaps } from "./owner-maps.ts";
import type { PeerClient, ShardBytes } from "./peer-client.ts";
import { blockKey, emptySegment, SegmentCache } from "./segment-cache.ts";
import { spoolName } from "./spool-keeper.ts";
import type { Strays } from "./strays.ts";
import { askedWhileBusy } from "./while-busy.ts";

export interface ReaderComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "getShard" | "getRange" | "silent">;
  readonly spool: Pick<Spool, "get">;
  readonly compute: Pick<Compute, "rebuild">;
  readonly clock: Clock;
  readonly log: Log;
  /** Lower is better; orders holders of equal use. */
  readonly preference: (peer: PeerId) => number;
  readonly swarm: Parameters<typeof readDescriptor>[1];
  /** Asked before a segment is given up. @default whom receipts and map name are all there are */
  readonly strays?: Pick<Strays, "of" | "find">;
}

/** A buffer of a segment's size, filled where it was asked for. */
export interface SealedBytes {
  readonly bytes: Uint8Array;
  /** To be called when nobody looks at `bytes` any more: their memory may be gone from then on. */
  release(): void;
}

/** Bytes [from, to) of a sealed segment. */
export interface SegmentSpan {
  readonly from: number;
  readonly to: number;
}

/** From this share of a segment on, whole shards are fetched instead of ranges of them. */
const WHOLE_FROM = 0.5;
/** So much asked for at once is data on its way to files: nobody comes back for it, and the cache is for trees and index. */
const BULK_FROM_BYTES = MIB;
/** Two segments: the one with the trees and the one with the index, say. */
const CACHE_BYTES_MAX = 16 * MIB;

/**
 * Reads sealed segments back from their holders: only the data shards that a span lies in, in ranges aligned to
 * 256 KiB, and where one of those does not answer the same range of any k others. Every byte is checked against the
 * signed descriptor before it is returned.
 */
export class SegmentReader {
  readonly #c: ReaderComponents;
  readonly #cache = new SegmentCache(CACHE_BYTES_MAX);
  /** One at a time: it copies k shards to a worker, and takes a fraction of the time of fetching them. */
  readonly #rebuilding = new Semaphore(1);
  #bytesFetched = 0;

  constructor(components: ReaderComponents) {
    this.#c = components;
  }

  /** Shard bytes that came over the network so far. */
  get bytesFetched(): number {
    return this.#bytesFetched;
  }

  /**
   * The segment, of which at least `spans` are filled. Faults: `TOO_FEW_SHARDS`.
   */
  read(ref: SegmentRef, spans: readonly SegmentSpan[], signal?: AbortSignal): Promise<SealedBytes> {
    return this.#orFound(ref, signal, () => this.#read(ref, spans, signal));
  }

  /** Once more where too few gave their shards, if somebody else has some. */
  async #orFound<T>(ref: SegmentRef, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      if (!isFault(error, "TOO_FEW_SHARDS")) throw error;
      const found = await this.#c.strays?.find([ref], signal);
      if (found === undefined || found === 0) throw error;
      return attempt();
    }
  }

  async #read(
    ref: SegmentRef,
    spans: readonly SegmentSpan[],
    signal: AbortSignal | undefined,
  ): Promise<SealedBytes> {
    const record = must(this.#c.catalog.segments.get(ref), "segment record");
    const spooled = record.spooled
      ? await this.#c.spool.get(spoolName(this.#c.catalog.segmentId(ref)))
      : undefined;
    if (spooled !== undefined) return { bytes: spooled, release: () => letGo(spooled) };
    const descriptor = await this.#descriptorOf(ref, record, signal);
    const wanted = spans.reduce((sum, span) => sum + span.to - span.from, 0);
    if (wanted >= descriptor.segmentBytes * WHOLE_FROM) {
      const out = new Uint8Array(descriptor.segmentBytes);
      await this.#readRange(ref, record, descriptor, wholeRange(descriptor), out, signal);
      return { bytes: out, release: () => letGo(out) };
    }
    const isBulk = wanted >= BULK_FROM_BYTES && this.#cache.get(refKey(ref)) === undefined;
    const part = isBulk ? emptySegment(descriptor) : this.#cache.open(refKey(ref), descriptor);
    for (const range of shardRanges(spans, descriptor, (shard, block) =>
      part.blocks.has(blockKey(shard, block)),
    )) {
      await this.#readRange(ref, record, descriptor, range, part.bytes, signal);
      for (const shard of range.shards) {
        for (let at = range.offset; at < range.offset + range.length; at += RANGE_BYTES) {
          part.blocks.add(blockKey(shard, at / RANGE_BYTES));
        }
      }
    }
    return { bytes: part.bytes, release: () => (isBulk ? letGo(part.bytes) : undefined) };
  }

  /** Signed by the owner; from a holder where it is not in the catalog. Faults: `TOO_FEW_SHARDS`. */
  async descriptor(ref: SegmentRef, signal?: AbortSignal): Promise<Descriptor> {
    return this.#orFound(ref, signal, () =>
      this.#descriptorOf(ref, must(this.#c.catalog.segments.get(ref), "segment record"), signal),
    );
  }

  async #descriptorOf(
    ref: SegmentRef,
    record: SegmentRecord,
    signal: AbortSignal | undefined,
  ): Promise<Descriptor> {
    const cached = this.#cache.get(refKey(ref))?.descriptor;
    if (cached !== undefined) return cached;
    if (record.descriptor !== undefined) return readDescriptor(record.descriptor, this.#c.swarm);
    return this.#learnDescriptor(ref, record, signal);
  }

  /** After a recovery the descriptor is not at hand: the first holder that answers shows it, signed by the owner. */
  async #learnDescriptor(ref: SegmentRef, record: SegmentRecord, signal?: AbortSignal): Promise<Descriptor> {
    const holders = this.#holders(ref, record);
    const first = firstOf(holders);
    const indexes = this.#order([...holders.keys()], first, []);
    const { have } = await gather<ShardBytes>({
      wanted: indexes.slice(0, 1),
      need: 1,
      indexes,
      ...this.#c.client.silent.among(first, 1),
      fetch: (index, fetchSignal) =>
        this.#fromAny(ref, index, holders, fetchSignal, (shard, peer) =>
          this.#c.client.getRange(peer, shard, undefined, 0, RANGE_BYTES, fetchSignal),
        ),
      clock: this.#c.clock,
      bytes: RANGE_BYTES,
      ...(signal === undefined ? {} : { signal }),
    });
    const [answer] = have.values();
    if (answer === undefined) {
      const segment = this.#c.catalog.segmentId(ref);
      const shortage = { segment, have: 0, need: record.k, holders: [...first.values()] };
      throw new Fault({ code: "TOO_FEW_SHARDS", shortages: [shortage] });
    }
    const { descriptor, envelope } = answer;
    const { shardBytes } = descriptor;
    await this.#c.catalog.segments.update(ref, (now) => ({ ...now, descriptor: envelope, shardBytes }), {
      sync: false,
    });
    return descriptor;
  }

  async #readRange(
    ref: SegmentRef,
    record: SegmentRecord,
    descriptor: Descriptor,
    range: ShardRange,
    out: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const holders = this.#holders(ref, record);
    const first = firstOf(holders);
    const wanted = range.shards.filter((index) => index * descriptor.shardBytes + range.offset < out.length);
    const gathering: Gathering<Uint8Array> = await gather({
      wanted,
      need: descriptor.k,
      indexes: this.#order([...holders.keys()], first, wanted),
      ...this.#c.client.silent.among(first, descriptor.k),
      fetch: async (index, fetchSignal) => {
        const bytes = await this.#fetch(ref, descriptor, index, holders, range, fetchSignal);
        // Too late for anybody: the segment may have been read and released by now.
        if (bytes === undefined || fetchSignal.aborted || !wanted.includes(index)) return bytes;
        return putInPlace(bytes, out, index * descriptor.shardBytes + range.offset);
      },
      clock: this.#c.clock,
      bytes: range.length,
      ...(signal === undefined ? {} : { signal }),
    });
    if (!gathering.complete) {
      const segment = this.#c.catalog.segmentId(ref);
      const silent = [...first].filter(([index]) => !gathering.have.has(index)).map(([, peer]) => peer);
      const shortage = { segment, have: gathering.have.size, need: descriptor.k, holders: silent };
      throw new Fault({ code: "TOO_FEW_SHARDS", shortages: [shortage] });
    }
    await this.#fill(gathering.have, wanted, descriptor, range, out);
  }

  async #fill(
    have: ReadonlyMap<number, Uint8Array>,
    wanted: readonly number[],
    descriptor: Descriptor,
    range: ShardRange,
    out: Uint8Array,
  ): Promise<void> {
    const missing = wanted.filter((index) => !have.has(index));
    const rebuilt =
      missing.length === 0
        ? []
        : await this.#rebuilding.run(() =>
            this.#c.compute.rebuild({
              dataShards: descriptor.k,
              parityShards: descriptor.m,
              have: [...have].slice(0, descriptor.k).map(([index, bytes]) => ({ index, bytes })),
              want: missing,
            }),
          );
    for (const index of missing) {
      const bytes = must(rebuilt[missing.indexOf(index)], "rebuilt shard");
      const at = index * descriptor.shardBytes + range.offset;
      out.set(bytes.subarray(0, Math.max(0, out.length - at)), at);
    }
    for (const bytes of [...have.values(), ...rebuilt]) if (bytes.buffer !== out.buffer) letGo(bytes);
  }

  async #fetch(
    ref: SegmentRef,
    descriptor: Descriptor,
    index: number,
    holders: ShardHolders,
    range: ShardRange,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const answer = await this.#fromAny(ref, index, holders, signal, (shard, peer) =>
      range.whole
        ? this.#c.client.getShard(peer, shard, descriptor, signal)
        : this.#c.client.getRange(peer, shard, descriptor, range.offset, range.length, signal),
    );
    return answer?.bytes;
  }

  /** From the first of those who may have this shard that gives it. */
  async #fromAny(
    ref: SegmentRef,
    index: number,
    holders: ShardHolders,
    signal: AbortSignal,
    ask: (shard: ShardId, peer: PeerId) => Promise<ShardBytes>,
  ): Promise<ShardBytes | undefined> {
    for (const peer of must(holders.get(index), "holders")) {
      if (signal.aborted) return undefined;
      const answer = await this.#orNote(ref, index, peer, signal, ask);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /** `undefined` where the peer cannot or does not give what is asked; why is noted. */
  async #orNote(
    ref: SegmentRef,
    index: number,
    peer: PeerId,
    signal: AbortSignal,
    ask: (shard: ShardId, peer: PeerId) => Promise<ShardBytes>,
  ): Promise<ShardBytes | undefined> {
    const shard: ShardId = { ...this.#c.catalog.segmentId(ref), index };
    try {
      const answer = await askedWhileBusy(this.#c.clock, () => ask(shard, peer), signal);
      this.#bytesFetched += answer.bytes.length;
      return answer;
    } catch (error) {
      await this.#noteFailure(ref, error, peer, shard, signal);
      return undefined;
    }
  }

  /** Offline and wrong are different things: a peer that sent wrong bytes is named in the log as such. */
  async #noteFailure(
    ref: SegmentRef,
    error: unknown,
    peer: PeerId,
    shard: ShardId,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (signal?.aborted === true) return;
    if (!isFault(error)) throw error;
    // Nobody was asked: it is this node that may not.
    if (isFault(error, "FENCED", "REMOVED")) return;
    const fields = { peer, segment: segmentKey(shard), index: shard.index, why: messageOf(error) };
    if (error.code === "SHARD_CORRUPT") this.#c.log.error("shard-corrupt", fields);
    else this.#c.log.warn("fetch-failed", fields);
    if (error.code === "SHARD_CORRUPT" || error.code === "SHARD_MISSING") {
      await this.#c.catalog.segments.forget(ref, shard.index, peer);
    }
  }

  /** Whom to ask for which shard: who acknowledged it, else who is to hold it by the map; then who was found besides. */
  #holders(ref: SegmentRef, record: SegmentRecord): ShardHolders {
    const byMap = this.#c.maps.slots(ref, record.class);
    const strays = this.#c.strays?.of(ref) ?? [];
    const holders = new Map<number, readonly PeerId[]>();
    for (let index = 0; index < record.slots.length; index++) {
      const named = record.slots[index]?.peer ?? byMap[index];
      const found = strays.filter((claim) => claim.index === index).map(({ peer }) => peer);
      const peers = [...new Set(named === undefined ? found : [named, ...found])];
      if (peers.length > 0) holders.set(index, peers);
    }
    return holders;
  }

  #order(indexes: number[], holders: ReadonlyMap<number, PeerId>, wanted: readonly number[]): number[] {
    const cost = (index: number): number =>
      this.#c.preference(must(holders.get(index), "holder")) + (wanted.includes(index) ? 0 : 0.5);
    return indexes.sort((a, b) => cost(a) - cost(b) || a - b);
  }
}

/** By shard index, in the order in which they are asked. */
type ShardHolders = ReadonlyMap<number, readonly PeerId[]>;

function firstOf(holders: ShardHolders): Map<number, PeerId> {
  return new Map([...holders].map(([index, peers]) => [index, must(peers[0], "holder")]));
}

/**
 * Copies a part of a data shard to where it belongs; returns it there, so that the memory it came in goes at once and a
 * segment that is read whole is not held twice. What does not fit, padding at the end, leaves the bytes where they are.
 */
function putInPlace(bytes: Uint8Array, out: Uint8Array, at: number): Uint8Array {
  const { length } = bytes;
  const fitting = Math.max(0, Math.min(length, out.length - at));
  out.set(bytes.subarray(0, fitting), at);
  if (fitting < length) return bytes;
  letGo(bytes);
  return out.subarray(at, at + length);
}

/** The same byte range of several shards: what one rebuild can work with. */
interface ShardRange {
  readonly shards: readonly number[];
  readonly offset: number;
  readonly length: number;
  readonly whole: boolean;
}

function wholeRange({ k, shardBytes }: Descriptor): ShardRange {
  return {
    shards: Array.from({ length: k }, (_, index) => index),
    offset: 0,
    length: shardBytes,
    whole: true,
  };
}

/** The aligned ranges of data shards that cover the spans, without the blocks that are there already. */
export function shardRanges(
  spans: readonly SegmentSpan[],
  { shardBytes }: Pick<Descriptor, "shardBytes">,
  isThere: (shard: number, block: number) => boolean = () => false,
): ShardRange[] {
  const shardsOfBlock = new Map<number, Set<number>>();
  for (const span of spans) {
    for (let at = span.from; at < span.to; ) {
      const shard = Math.floor(at / shardBytes);
      const block = Math.floor((at % shardBytes) / RANGE_BYTES);
      if (!isThere(shard, block)) {
        const shards = shardsOfBlock.get(block) ?? new Set();
        shardsOfBlock.set(block, shards.add(shard));
      }
      at = Math.min(shard * shardBytes + (block + 1) * RANGE_BYTES, (shard + 1) * shardBytes);
    }
  }
  return joinBlocks(shardsOfBlock, shardBytes);
}

/** Blocks that follow each other and want the same shards become one range. */
function joinBlocks(
  shardsOfBlock: ReadonlyMap<number, ReadonlySet<number>>,
  shardBytes: number,
): ShardRange[] {
  const ranges: ShardRange[] = [];
  for (const [block, set] of [...shardsOfBlock].sort(([a], [b]) => a - b)) {
    const shards = [...set].sort((a, b) => a - b);
    const offset = block * RANGE_BYTES;
    const length = Math.min(RANGE_BYTES, shardBytes - offset);
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset && `${last.shards}` === `${shards}`) {
      ranges[ranges.length - 1] = { ...last, length: last.length + length };
    } else ranges.push({ shards, offset, length, whole: false });
  }
  return ranges;
}
