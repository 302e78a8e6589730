import { isFault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import { refKey, type SegmentRecord, type SegmentRef } from "../catalog/index.ts";
import { RANGE_BYTES } from "../erasure/index.ts";
import {
  askWhoHas,
  type OwnerMaps,
  type PeerClient,
  type ShardClaim,
  type WhoHasComponents,
} from "../exchange/index.ts";
import type { Clock } from "../ports/index.ts";

export interface FinderComponents extends WhoHasComponents {
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have" | "getRange">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** Looked for in one go; more of them are looked for the next time. */
export const FIND_SEGMENTS_MAX = 4096;

/**
 * Finds shards without a map: asks everybody what of a segment they have. For when the map is lost, is older than a
 * repair, or was signed by a thief; what the map says is tried first by others.
 */
export class SegmentFinder {
  readonly #c: FinderComponents;

  constructor(components: FinderComponents) {
    this.#c = components;
  }

  /** Fills empty slots of the records with whoever says that it has the shard; resolves with how many. */
  async find(refs: readonly SegmentRef[], signal?: AbortSignal): Promise<number> {
    const wanted = refs.slice(0, FIND_SEGMENTS_MAX);
    const claims = await askWhoHas(this.#c, wanted, signal);
    let filled = 0;
    for (const ref of wanted) filled += await this.#note(ref, claims.get(refKey(ref)) ?? [], signal);
    if (filled > 0) this.#c.log.info("shards-found", { segments: wanted.length, shards: filled });
    return filled;
  }

  async #note(
    ref: SegmentRef,
    claims: readonly ShardClaim[],
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const known = this.#c.catalog.segments.get(ref);
    if (known === undefined || claims.length === 0) return 0;
    const isShapeKnown =
      this.#c.maps.hasClass(ref.incarnation, known.class) || known.descriptor !== undefined;
    const record = isShapeKnown ? known : await this.#shaped(ref, known, claims, signal);
    let filled = 0;
    const slots = record.slots.map((slot, index) => {
      const claim = slot === null ? claims.find((one) => one.index === index) : undefined;
      if (claim === undefined) return slot;
      filled++;
      return { peer: claim.peer, timeMs: this.#c.clock.wallMs() };
    });
    if (filled > 0) await this.#c.catalog.segments.put(ref, { ...record, slots }, { sync: false });
    return filled;
  }

  /** k and m by the descriptor that one of the holders shows, signed by the owner: nobody had the map. */
  async #shaped(
    ref: SegmentRef,
    known: SegmentRecord,
    claims: readonly ShardClaim[],
    signal: AbortSignal | undefined,
  ): Promise<SegmentRecord> {
    for (const { peer, index } of claims) {
      try {
        const shard = { ...this.#c.catalog.segmentId(ref), index };
        const shown = await this.#c.client.getRange(peer, shard, undefined, 0, RANGE_BYTES, signal);
        const { k, m, shardBytes } = shown.descriptor;
        const slots = Array.from({ length: k + m }, () => null);
        return { ...known, k, slots, shardBytes, descriptor: shown.envelope };
      } catch (error) {
        signal?.throwIfAborted();
        if (!isFault(error)) throw error;
        this.#c.log.warn("fetch-failed", { peer, index, why: messageOf(error) });
      }
    }
    return known;
  }
}
