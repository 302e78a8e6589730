import { must } from "../base/assert.ts";
import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { type Catalog, refKey, type SegmentRecord, type SegmentRef } from "../catalog/index.ts";
import { RANGE_BYTES } from "../erasure/index.ts";
import type { OwnerMaps, PeerClient } from "../exchange/index.ts";
import type { Clock } from "../ports/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";
import { SHARDS_MAX } from "../wire/descriptor.ts";

export interface FinderComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have" | "getRange">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
  /** Whom to ask: everybody who answers. */
  readonly peers: () => readonly PeerId[];
}

/** Segments asked about in one message, every possible shard of each. */
const SEGMENTS_PER_QUESTION = Math.floor(HAVE_SHARDS_MAX / SHARDS_MAX);
const ASK_LIMIT = 16;
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
    const byLife = Map.groupBy(wanted, (ref) => ref.incarnation);
    let filled = 0;
    for (const ofLife of byLife.values()) {
      for (let at = 0; at < ofLife.length; at += SEGMENTS_PER_QUESTION) {
        const part = ofLife.slice(at, at + SEGMENTS_PER_QUESTION);
        const claims = await this.#ask(part, signal);
        for (const ref of part) filled += await this.#note(ref, claims.get(refKey(ref)) ?? [], signal);
      }
    }
    if (filled > 0) this.#c.log.info("shards-found", { segments: wanted.length, shards: filled });
    return filled;
  }

  async #ask(
    refs: readonly SegmentRef[],
    signal: AbortSignal | undefined,
  ): Promise<Map<string, { peer: PeerId; index: number }[]>> {
    const { catalog, client } = this.#c;
    const claims = new Map<string, { peer: PeerId; index: number }[]>(refs.map((ref) => [refKey(ref), []]));
    const { incarnation } = catalog.segmentId(must(refs[0], "segment to find"));
    const questions = refs.flatMap((ref) =>
      Array.from({ length: SHARDS_MAX }, (_, index) => ({ ref, index })),
    );
    const shards = questions.map(({ ref, index }) => [ref.number, index] as const);
    await mapLimit([...this.#c.peers()], ASK_LIMIT, async (peer) => {
      try {
        const held = await client.have(peer, catalog.owner, incarnation, shards, signal);
        held.forEach((has, i) => {
          const { ref, index } = must(questions[i], "question");
          if (has) claims.get(refKey(ref))?.push({ peer, index });
        });
      } catch (error) {
        signal?.throwIfAborted();
        if (!isFault(error)) throw error;
      }
    });
    return claims;
  }

  async #note(
    ref: SegmentRef,
    claims: readonly { peer: PeerId; index: number }[],
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
    claims: readonly { peer: PeerId; index: number }[],
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
