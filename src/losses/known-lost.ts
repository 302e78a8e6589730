import { z } from "zod";
import { must } from "../base/assert.ts";
import { concatBytes, toHex } from "../base/bytes.ts";
import {
  type PeerId,
  PUBLIC_KEY_BYTES,
  parseShardIdBytes,
  peerIdOf,
  publicKeyOfPeer,
  type ShardId,
  shardIdBytes,
} from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { codec, count } from "../wire/codec.ts";

/** `told`: by the holder itself; else what it answered to an audit. */
export type LossCause = "told" | "denied" | "wrong";

export interface Loss {
  readonly shard: ShardId;
  /** By the holder's own clock, as its receipts are. */
  readonly atMs: number;
  readonly cause: LossCause;
}

/** Of one holder: more than a disk full of small shards. */
export const LOST_OF_PEER_MAX = 20_000;
export const LOST_MAX = 200_000;
/** What nobody has mended or proven for so long nobody waits for. */
const KEPT_MS = 400 * DAY_MS;

const entry = codec(
  "known loss",
  z.object({ v: z.literal(1), atMs: count, cause: z.enum(["told", "denied", "wrong"]) }).strict(),
);

/**
 * Copies that are known to be gone or damaged: facts for whoever repairs. On disk alone, since there may be many; a later proof or
 * receipt takes an entry back.
 */
export class KnownLost {
  readonly #store: MetaStore;
  readonly #log: Log;
  readonly #counts = new Map<PeerId, number>();
  readonly #listeners = new Set<(peer: PeerId, losses: readonly Loss[]) => void>();
  #total = 0;

  private constructor(store: MetaStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  static async open(components: { store: MetaStore; log: Log }, nowMs: number): Promise<KnownLost> {
    const known = new KnownLost(components.store, components.log);
    const old: MetaOp[] = [];
    for await (const [key, value] of components.store.scan({})) {
      if (entry.decode(value).atMs < nowMs - KEPT_MS) old.push({ type: "delete", key: key.slice() });
      else known.#count(peerIdOf(key.slice(0, PUBLIC_KEY_BYTES)), 1);
    }
    if (old.length > 0) await components.store.write(old, { sync: false });
    return known;
  }

  get size(): number {
    return this.#total;
  }

  /** How many shards of this holder are known to be lost. */
  countOf(peer: PeerId): number {
    return this.#counts.get(peer) ?? 0;
  }

  /** When this copy was last known to be gone or wrong, by its holder's clock; `undefined`: nothing of that kind is known. */
  of(shard: ShardId, peer: PeerId): number | undefined {
    const value = this.#store.get(keyOf(peer, shard));
    return value === undefined ? undefined : entry.decode(value).atMs;
  }

  /** Every loss that is known. */
  async *all(): AsyncGenerator<{ readonly peer: PeerId; readonly shard: ShardId }> {
    for await (const [key] of this.#store.scan({})) {
      const peer = peerIdOf(key.slice(0, PUBLIC_KEY_BYTES));
      yield { peer, shard: must(parseShardIdBytes(key.slice(PUBLIC_KEY_BYTES)), "shard of a loss") };
    }
  }

  /** On disk when it resolves. Returns how many were not known yet. */
  async note(peer: PeerId, losses: readonly Loss[]): Promise<number> {
    const ops: MetaOp[] = [];
    const news = new Map<string, Loss>();
    for (const loss of losses) {
      const key = keyOf(peer, loss.shard);
      const name = toHex(key);
      const before = this.of(loss.shard, peer);
      if (before !== undefined && before >= loss.atMs) continue;
      if (before === undefined && !news.has(name)) {
        if (!this.#hasRoom(peer, news.size)) break;
        news.set(name, loss);
      }
      ops.push({ type: "put", key, value: entry.encode({ v: 1, atMs: loss.atMs, cause: loss.cause }) });
    }
    if (ops.length === 0) return 0;
    await this.#store.write(ops, { sync: true });
    this.#count(peer, news.size);
    if (news.size > 0) for (const listener of [...this.#listeners]) listener(peer, [...news.values()]);
    return news.size;
  }

  /** It was proven, or acknowledged anew, at this time: a loss before that is mended. */
  async mended(peer: PeerId, shards: readonly ShardId[], atMs: number): Promise<void> {
    const ops = new Map<string, MetaOp>();
    for (const shard of shards) {
      const lostMs = this.of(shard, peer);
      const key = keyOf(peer, shard);
      if (lostMs !== undefined && lostMs <= atMs) ops.set(toHex(key), { type: "delete", key });
    }
    if (ops.size === 0) return;
    await this.#store.write([...ops.values()], { sync: false });
    this.#count(peer, -ops.size);
  }

  /** Called with what was not known before. Returns how to stop. */
  onLoss(listener: (peer: PeerId, losses: readonly Loss[]) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #hasRoom(peer: PeerId, more: number): boolean {
    if (this.countOf(peer) + more < LOST_OF_PEER_MAX && this.#total + more < LOST_MAX) return true;
    this.#log.warn("losses-not-noted", { peer, known: this.countOf(peer), total: this.#total });
    return false;
  }

  #count(peer: PeerId, change: number): void {
    this.#total += change;
    const count = this.countOf(peer) + change;
    if (count > 0) this.#counts.set(peer, count);
    else this.#counts.delete(peer);
  }
}

/** By holder first: what is known of one is a range. */
function keyOf(peer: PeerId, shard: ShardId): Uint8Array {
  return concatBytes(publicKeyOfPeer(peer), shardIdBytes(shard));
}
