import { VirtualClock } from "../../sim/clock.ts";
import {
  compareShardIds,
  type Incarnation,
  type OwnerId,
  type ShardId,
  shardKey,
} from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import type { Signer } from "../../src/crypto/sign.ts";
import { signStatement } from "../../src/crypto/signed.ts";
import { Collector, type LifeSpans, LiveSets, liveListOf } from "../../src/gc/index.ts";
import type { MetaOp, MetaStore, StoredShard } from "../../src/ports/index.ts";
import { GC_RULES, type GcRules } from "../../src/upkeep/index.ts";
import { liveList, liveSetBody } from "../../src/wire/live-set.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { MemoryStore } from "../unit/membership/world.ts";
import { KEYS, LIFE, NOW_MS, SWARM } from "./repairs.ts";

// A holder on paper, with one owner's shards and nothing else, that may die between any two writes.

export class Died extends Error {}

/** Wants every number but those omitted, of one life. */
export function liveSpans(incarnation: Incarnation, below: number, omitted: ReadonlySet<number>): LifeSpans {
  const spans: { first: number; end: number }[] = [];
  for (let number = 0; number < below; number++) {
    if (omitted.has(number)) continue;
    const last = spans.at(-1);
    if (last?.end === number) last.end++;
    else spans.push({ first: number, end: number + 1 });
  }
  return { incarnation, below, spans };
}

export interface SignedList {
  readonly record: Uint8Array;
  readonly list: Uint8Array;
}

export function signLive(
  lives: readonly LifeSpans[],
  epoch: number,
  init: { life?: Incarnation; key?: Signer; timeMs?: number } = {},
): SignedList {
  const list = liveList.encode(liveListOf(lives));
  const timeMs = init.timeMs ?? NOW_MS;
  const body = liveSetBody.encode({ v: 1, timeMs, bytes: list.length, hash: sha256(list) });
  const said = { type: "live-set", swarm: SWARM, incarnation: init.life ?? LIFE, epoch, body } as const;
  return { record: encodeSigned(signStatement(said, init.key ?? KEYS.signer)), list };
}

export const shardOf = (number: number, incarnation: Incarnation = LIFE): ShardId => ({
  ...{ owner: KEYS.owner, incarnation, number, index: 0 },
});

/** Refuses to go on after so many writes, of the database and of the shards together. */
export class MortalDisk implements MetaStore {
  readonly #meta = new MemoryStore();
  readonly shards = new Map<string, StoredShard>();
  /** Writes left to this life. */
  leftWrites = Number.POSITIVE_INFINITY;

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#meta.get(key);
  }

  scan(range: Parameters<MetaStore["scan"]>[0]): ReturnType<MetaStore["scan"]> {
    return this.#meta.scan(range);
  }

  async write(ops: readonly MetaOp[], options: { readonly sync: boolean }): Promise<void> {
    this.#spend();
    await this.#meta.write(ops, options);
  }

  async close(): Promise<void> {}

  deleteShard(id: ShardId): void {
    this.#spend();
    this.shards.delete(shardKey(id));
  }

  #spend(): void {
    if (this.leftWrites <= 0) throw new Died();
    this.leftWrites--;
  }
}

export class PaperHolder {
  readonly disk = new MortalDisk();
  readonly clock = new VirtualClock(NOW_MS);
  readonly rules: GcRules;
  certified: Incarnation | undefined;
  readonly locked = new Set<number>();
  readonly promised = new Set<number>();
  mayAct = true;
  released = false;
  /** A page of shards takes so long to list. */
  listMs = 0;
  lists = 0;
  liveSets: LiveSets;
  collector: Collector;
  readonly #everyMs: number;

  constructor(rules: Partial<GcRules> = {}, everyMs = 6 * 3_600_000) {
    this.rules = { ...GC_RULES, ...rules };
    this.#everyMs = everyMs;
    [this.liveSets, this.collector] = this.#open();
  }

  /** As after a restart. */
  restart(): void {
    [this.liveSets, this.collector] = this.#open();
  }

  hold(numbers: Iterable<number>, bytes = 100, incarnation: Incarnation = LIFE): void {
    for (const number of numbers) {
      const id = shardOf(number, incarnation);
      this.disk.shards.set(shardKey(id), { id, bytes, version: "1", note: new Uint8Array(0) });
    }
  }

  has(number: number, incarnation: Incarnation = LIFE): boolean {
    return this.disk.shards.has(shardKey(shardOf(number, incarnation)));
  }

  isTrash(number: number): boolean {
    return this.collector.isTrash(shardOf(number));
  }

  async take({ record, list }: SignedList, owner: OwnerId = KEYS.owner): Promise<void> {
    await this.liveSets.take(owner, record, list);
  }

  async round(): Promise<void> {
    await this.collector.round(new AbortController().signal);
  }

  /** Rounds go on all the while. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= this.#everyMs) {
      await this.clock.advance(Math.min(left, this.#everyMs));
      await this.round();
    }
  }

  #open(): [LiveSets, Collector] {
    const { disk, clock } = this;
    const registry = { certifiedIncarnation: () => this.certified };
    const liveSets = new LiveSets({ store: disk, registry, log: SILENT_LOG }, { swarm: SWARM });
    const collector = new Collector(
      {
        ...{ store: disk, liveSets, clock, log: SILENT_LOG },
        shards: {
          list: async (after, limit) => {
            this.lists++;
            if (this.listMs > 0) await clock.sleep(this.listMs);
            return [...disk.shards.values()]
              .filter(({ id }) => after === undefined || compareShardIds(id, after) > 0)
              .sort((a, b) => compareShardIds(a.id, b.id))
              .slice(0, limit);
          },
          stat: (id) => disk.shards.get(shardKey(id)),
          delete: async (id) => disk.deleteShard(id),
        },
        holder: { guarded: (_, task) => task() },
        locks: { lockedForMs: ({ number }) => (this.locked.has(number) ? 1 : 0) },
        promises: { isPromised: ({ number }) => this.promised.has(number) },
        isReleased: () => this.released,
        disk: { requireServing: () => {} },
        mayAct: () => this.mayAct,
      },
      { everyMs: this.#everyMs, rules: this.rules },
    );
    return [liveSets, collector];
  }
}
