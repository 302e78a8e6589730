import { must } from "../base/assert.ts";
import { equalBytes, letGo } from "../base/bytes.ts";
import { mapLimit, Semaphore } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type ShardId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { gather, type PeerClient, type Receipt } from "../exchange/index.ts";
import type { Clock, Compute } from "../ports/index.ts";
import type { Descriptor } from "../wire/descriptor.ts";

/** Somebody who may have this shard of the segment. */
export interface ShardSource {
  readonly index: number;
  readonly peer: PeerId;
}

/** Who is to hold which shard from now on. */
export interface ShardTarget {
  readonly index: number;
  readonly peer: PeerId;
}

export interface RebuildJob {
  /** Its signature was checked. */
  readonly descriptor: Descriptor;
  /** The same as its owner signed it: what every holder keeps beside the shard. */
  readonly envelope: Uint8Array;
  /** Of one index in the order in which they are asked; one on the own disk goes first whatever its place. */
  readonly sources: readonly ShardSource[];
  readonly targets: readonly ShardTarget[];
  /** How holders are asked for this one. @default the rebuilder's client */
  readonly link?: RebuildLink;
  /** Asked when a target does not take its shard; `undefined`: nobody else. */
  readonly instead?: (index: number, refused: ReadonlySet<PeerId>) => PeerId | undefined;
  readonly signal?: AbortSignal;
}

export interface PlacedAnew extends ShardTarget {
  readonly receipt: Receipt;
}

export interface NotPlaced extends ShardTarget {
  readonly fault: Fault;
}

export interface Rebuilt {
  readonly placed: readonly PlacedAnew[];
  /** Shards that nobody took: of each the last one asked, and why not. */
  readonly failed: readonly NotPlaced[];
  /** Shard bytes that came over the network, those of no use included, and that went out. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Who sent bytes that are not what the descriptor says, and who says not to have the shard. */
  readonly wrong: readonly ShardSource[];
  readonly missing: readonly ShardSource[];
}

export type RebuildLink = Pick<PeerClient, "put" | "getShard" | "silent">;

export interface RebuilderComponents {
  readonly self: PeerId;
  /** A shard on the own disk, not checked. */
  readonly readOwn: (shard: ShardId) => Promise<Uint8Array | undefined>;
  readonly client: RebuildLink;
  readonly compute: Pick<Compute, "rebuild" | "roots">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Candidates asked for one shard before its segment is left for another time. */
const TARGETS_MAX = 8;
/** Shards of one segment on their way out at a time. */
const PUTS_AT_ONCE = 2;

/**
 * Makes shards of a segment anew and puts them where they belong: fetches exactly these if somebody has them, else any k
 * others, checks every one against the descriptor, and asks others beside those that are slow. One segment at a time,
 * whoever asks: k shards of at most 16 MiB in all are in memory, and what is rebuilt from them.
 */
export class Rebuilder {
  readonly #c: RebuilderComponents;
  readonly #one = new Semaphore(1);

  constructor(components: RebuilderComponents) {
    this.#c = components;
  }

  /** Throws `TOO_FEW_SHARDS` when k cannot be had, and what the signal says. */
  rebuild(job: RebuildJob): Promise<Rebuilt> {
    return this.#one.run(async () => {
      job.signal?.throwIfAborted();
      const { have, ...fetched } = await new Fetching(this.#c, job).run();
      const made = await this.#complete(job, have);
      // Before they are put, which takes longest: what is under way to somebody must stay as it is, so only the others.
      for (const [index, bytes] of have) if (!made.has(index)) letGo(bytes);
      return { ...fetched, ...(await this.#putAll(job, made)) };
    });
  }

  /** The shards that are wanted, by index; every one has the root of the descriptor. */
  async #complete(
    job: RebuildJob,
    have: ReadonlyMap<number, Uint8Array>,
  ): Promise<ReadonlyMap<number, Uint8Array>> {
    const { descriptor, targets } = job;
    const made = new Map<number, Uint8Array>();
    for (const { index } of targets) {
      const bytes = have.get(index);
      if (bytes !== undefined) made.set(index, bytes);
    }
    const want = [...new Set(targets.map(({ index }) => index))].filter((index) => !made.has(index));
    if (want.length === 0) return made;
    const rebuilt = await this.#c.compute.rebuild({
      dataShards: descriptor.k,
      parityShards: descriptor.m,
      have: [...have].slice(0, descriptor.k).map(([index, bytes]) => ({ index, bytes })),
      want,
    });
    const roots = await this.#c.compute.roots(
      want.map((index, i) => ({
        index,
        bytes: must(rebuilt[i], "rebuilt shard"),
        leafBytes: descriptor.leafBytes,
      })),
    );
    for (const [i, index] of want.entries()) {
      // Every shard it was made from was checked: an owner signed roots that do not belong together.
      if (!equalBytes(must(roots[i], "root"), rootOf(descriptor, index))) {
        const reason = "shards that have their roots do not make one that has";
        throw new Fault({ code: "SEGMENT_UNREADABLE", segment: descriptor.segment, reason });
      }
      made.set(index, must(rebuilt[i], "rebuilt shard"));
    }
    return made;
  }

  async #putAll(
    job: RebuildJob,
    made: ReadonlyMap<number, Uint8Array>,
  ): Promise<Pick<Rebuilt, "placed" | "failed" | "bytesOut">> {
    const placed: PlacedAnew[] = [];
    const failed: NotPlaced[] = [];
    await mapLimit(job.targets, PUTS_AT_ONCE, async (target) => {
      const outcome = await this.#put(job, target, must(made.get(target.index), "shard to place"));
      if ("receipt" in outcome) placed.push(outcome);
      else failed.push(outcome);
    });
    const bytesOut = placed.filter(({ peer }) => peer !== this.#c.self).length * job.descriptor.shardBytes;
    return { placed, failed, bytesOut };
  }

  async #put(job: RebuildJob, target: ShardTarget, bytes: Uint8Array): Promise<PlacedAnew | NotPlaced> {
    const { index } = target;
    const shard: ShardId = { ...job.descriptor.segment, index };
    const refused = new Set<PeerId>();
    for (let { peer } = target; ; ) {
      try {
        const link = job.link ?? this.#c.client;
        const receipt = await link.put(peer, shard, job.envelope, bytes, job.signal);
        return { index, peer, receipt };
      } catch (error) {
        job.signal?.throwIfAborted();
        if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
        this.#c.log.warn("repair-put-failed", { ...about(shard, peer), why: messageOf(error) });
        refused.add(peer);
        const next = refused.size < TARGETS_MAX ? job.instead?.(index, refused) : undefined;
        if (next === undefined || refused.has(next)) return { index, peer, fault: error };
        peer = next;
      }
    }
  }
}

/** Getting hold of the shards wanted, or of any k, for one job. */
class Fetching {
  readonly #c: RebuilderComponents;
  readonly #job: RebuildJob;
  readonly #sources: ReadonlyMap<number, readonly PeerId[]>;
  readonly #wrong: ShardSource[] = [];
  readonly #missing: ShardSource[] = [];
  #bytesIn = 0;

  constructor(components: RebuilderComponents, job: RebuildJob) {
    this.#c = components;
    this.#job = job;
    const byIndex = Map.groupBy(job.sources, ({ index }) => index);
    const isOwn = (peer: PeerId): number => Number(peer !== components.self);
    this.#sources = new Map(
      [...byIndex].map(([index, of]) => [
        index,
        of.map(({ peer }) => peer).sort((a, b) => isOwn(a) - isOwn(b)),
      ]),
    );
  }

  async run(): Promise<
    Pick<Rebuilt, "bytesIn" | "wrong" | "missing"> & { have: ReadonlyMap<number, Uint8Array> }
  > {
    const { descriptor, targets, signal } = this.#job;
    const first = new Map([...this.#sources].map(([index, peers]) => [index, must(peers[0], "source")]));
    const { have, complete } = await gather<Uint8Array>({
      wanted: [...new Set(targets.map(({ index }) => index))],
      need: descriptor.k,
      indexes: this.#order(),
      fetch: (index, fetchSignal) => this.#fetch(index, fetchSignal),
      ...(this.#job.link ?? this.#c.client).silent.among(first, descriptor.k),
      clock: this.#c.clock,
      bytes: descriptor.shardBytes,
      ...(signal === undefined ? {} : { signal }),
    });
    if (!complete) {
      const { segment, k } = descriptor;
      const holders = [...first].filter(([index]) => !have.has(index)).map(([, peer]) => peer);
      const shortage = { segment, have: have.size, need: k, holders };
      throw new Fault({ code: "TOO_FEW_SHARDS", shortages: [shortage] });
    }
    return { have, bytesIn: this.#bytesIn, wrong: this.#wrong, missing: this.#missing };
  }

  /** Those on the own disk cost nothing; the rest in the order in which they were named. */
  #order(): number[] {
    const isOwn = (index: number): boolean => this.#sources.get(index)?.[0] === this.#c.self;
    const indexes = [...this.#sources.keys()];
    return [...indexes.filter(isOwn), ...indexes.filter((index) => !isOwn(index))];
  }

  /** From the first of its holders who gives it. */
  async #fetch(index: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const shard: ShardId = { ...this.#job.descriptor.segment, index };
    for (const peer of this.#sources.get(index) ?? []) {
      if (signal.aborted) return undefined;
      const bytes = await this.#from(peer, shard, signal);
      if (bytes !== undefined) return bytes;
    }
    return undefined;
  }

  async #from(peer: PeerId, shard: ShardId, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { index } = shard;
    try {
      if (peer === this.#c.self) {
        const own = await this.#c.readOwn(shard);
        if (own !== undefined && (await this.#isIntact(index, own))) return own;
        (own === undefined ? this.#missing : this.#wrong).push({ index, peer });
        return undefined;
      }
      const link = this.#job.link ?? this.#c.client;
      const { bytes } = await link.getShard(peer, shard, this.#job.descriptor, signal);
      this.#bytesIn += bytes.length;
      return bytes;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      const fields = { ...about(shard, peer), why: messageOf(error) };
      if (error.code === "SHARD_CORRUPT") {
        this.#bytesIn += this.#job.descriptor.shardBytes;
        this.#wrong.push({ index, peer });
        this.#c.log.error("shard-corrupt", fields);
      } else {
        if (error.code === "SHARD_MISSING") this.#missing.push({ index, peer });
        this.#c.log.warn("repair-fetch-failed", fields);
      }
      return undefined;
    }
  }

  async #isIntact(index: number, bytes: Uint8Array): Promise<boolean> {
    const { descriptor } = this.#job;
    if (bytes.length !== descriptor.shardBytes) return false;
    const [root] = await this.#c.compute.roots([{ index, bytes, leafBytes: descriptor.leafBytes }]);
    return root !== undefined && equalBytes(root, rootOf(descriptor, index));
  }
}

function rootOf({ roots }: Descriptor, index: number): Uint8Array {
  return must(roots[index], "root of a shard of the segment");
}

function about(shard: ShardId, peer: PeerId): Readonly<Record<string, unknown>> {
  return { peer, segment: segmentKey(shard), index: shard.index };
}
