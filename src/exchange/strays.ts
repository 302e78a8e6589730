import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { MINUTE_MS } from "../base/units.ts";
import { refKey, type SegmentRef } from "../catalog/index.ts";
import type { Clock } from "../ports/index.ts";
import { askWhoHas, type ShardClaim, type WhoHasComponents } from "./who-has.ts";

export interface StraysComponents extends WhoHasComponents {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
}

/** Segments of which is remembered who was found; the one asked about first is forgotten then. */
const SEGMENTS_MAX = 4096;
/** Who was asked about a segment a moment ago is not asked again. */
const ASKED_FOR_MS = MINUTE_MS;

/**
 * Shards with peers that neither receipt nor map names: holders that were away so long that others took their place, and
 * that came back with what they had. They count for nothing; but before a segment is said to be lost, everybody is asked.
 * What they say is a hint, as all that is said: the bytes are checked.
 */
export class Strays {
  readonly #c: StraysComponents;
  readonly #found = new Map<string, { readonly askedMs: number; readonly claims: readonly ShardClaim[] }>();

  constructor(components: StraysComponents) {
    this.#c = components;
  }

  /** Who is known to have something of the segment, map or no map. */
  of(ref: SegmentRef): readonly ShardClaim[] {
    return this.#found.get(refKey(ref))?.claims ?? [];
  }

  /** Asks everybody about these segments; resolves with how many of them somebody has something of that was not known. */
  async find(refs: readonly SegmentRef[], signal?: AbortSignal): Promise<number> {
    const nowMs = this.#c.clock.monotonicMs();
    const isDue = (ref: SegmentRef): boolean => {
      const known = this.#found.get(refKey(ref));
      return known === undefined || nowMs - known.askedMs >= ASKED_FOR_MS;
    };
    const due = refs.filter(isDue).slice(0, SEGMENTS_MAX);
    if (due.length === 0) return 0;
    const claims = await askWhoHas(this.#c, due, signal);
    let news = 0;
    let shards = 0;
    for (const ref of due) {
      const before = this.of(ref);
      const now = claims.get(refKey(ref)) ?? [];
      const added = now.filter(({ peer, index }) => !includes(before, peer, index)).length;
      if (added > 0) news++;
      shards += added;
      this.#remember(ref, now, nowMs);
    }
    this.#c.log.info("shards-sought", { segments: due.length, shards });
    return news;
  }

  #remember(ref: SegmentRef, claims: readonly ShardClaim[], askedMs: number): void {
    const key = refKey(ref);
    this.#found.delete(key);
    this.#found.set(key, { askedMs, claims });
    const [oldest] = this.#found.keys();
    if (this.#found.size > SEGMENTS_MAX && oldest !== undefined) this.#found.delete(oldest);
  }
}

function includes(claims: readonly ShardClaim[], peer: PeerId, index: number): boolean {
  return claims.some((claim) => claim.peer === peer && claim.index === index);
}
