import { mapLimit } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type SegmentId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { GenerationAt } from "../placement/index.ts";
import type { Descriptor } from "../wire/descriptor.ts";
import type { RepairedMap } from "./judge.ts";
import type { RepairLink } from "./peers.ts";
import type { ShardSource } from "./rebuild.ts";
import { type HeldSegment, isOfRow } from "./row-segments.ts";

export interface InventoryInit {
  readonly map: RepairedMap;
  readonly at: GenerationAt;
  /** As long as a claim may be signed anew, asked for each time. */
  readonly link: () => RepairLink;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Pages asked of one holder: four million shards. */
const PAGES_MAX = 1024;
/** Segments that others have and this node has not, of one row; further ones are for the next time. */
const UNKNOWN_MAX = 4096;
const AT_ONCE = 4;
/** Members asked for shards of a row that no map names them for. */
export const STRAYS_MAX = 64;
/** Who names so many segments that it cannot show is believed no more. */
const LIES_MAX = 3;

/**
 * What the other holders of a row say that they have of it. A repairer that goes by its own disk alone leaves out what it never got or
 * has lost, the new holder leaves it out as well, and so on. Lists are hints: descriptor and bytes are checked.
 */
export class Inventory {
  readonly #init: InventoryInit;
  readonly #unknown = new Map<number, ShardSource[]>();
  readonly #lies = new Map<PeerId, number>();

  constructor(init: InventoryInit) {
    this.#init = init;
  }

  /** Asks these holders for segments above `after` that `isKnown` does not know. Who does not answer has named none. */
  async ask(
    peers: readonly PeerId[],
    after: number | undefined,
    isKnown: (number: number) => boolean,
  ): Promise<void> {
    const { map, at, link, signal, log } = this.#init;
    await mapLimit([...peers], AT_ONCE, async (peer) => {
      try {
        let behind = after;
        for (let page = 0; page < PAGES_MAX; page++) {
          const { shards, more } = await link().list(peer, behind, signal);
          for (const [number, index] of shards)
            if (isOfRow(map, at, number) && !isKnown(number)) this.#note(number, { peer, index });
          const last = shards.at(-1)?.[0];
          if (!more || last === undefined || last <= (behind ?? -1)) return;
          behind = last;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error)) throw error;
        log.debug("row-not-listed", { peer, why: messageOf(error) });
      }
    });
  }

  /** Segments that were named, each with its descriptor, rising. Those that nobody can show are left out. */
  async *segments(): AsyncGenerator<HeldSegment> {
    const { owner, incarnation } = this.#init.map;
    for (const number of [...this.#unknown.keys()].sort((a, b) => a - b)) {
      const envelope = await this.#envelopeOf({ owner, incarnation, number });
      if (envelope !== undefined) yield { segment: { owner, incarnation, number }, envelope };
    }
  }

  async #envelopeOf(segment: SegmentId): Promise<Uint8Array | undefined> {
    const { at, link, signal } = this.#init;
    for (const { peer, index } of this.#unknown.get(segment.number) ?? []) {
      if ((this.#lies.get(peer) ?? 0) >= LIES_MAX) continue;
      try {
        const { envelope, descriptor } = await link().getShard(
          peer,
          { ...segment, index },
          undefined,
          signal,
        );
        if (isOf(descriptor, segment, at)) return envelope;
        this.#notShown(peer, segment, "it is of another segment");
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error)) throw error;
        this.#notShown(peer, segment, messageOf(error));
      }
    }
    return undefined;
  }

  #notShown(peer: PeerId, segment: SegmentId, why: string): void {
    this.#lies.set(peer, (this.#lies.get(peer) ?? 0) + 1);
    this.#init.log.info("listed-not-shown", { peer, segment: segmentKey(segment), why });
  }

  #note(number: number, source: ShardSource): void {
    const sources = this.#unknown.get(number);
    if (sources !== undefined) sources.push(source);
    else if (this.#unknown.size < UNKNOWN_MAX) this.#unknown.set(number, [source]);
  }
}

function isOf({ segment, class: classId }: Descriptor, wanted: SegmentId, at: GenerationAt): boolean {
  return segmentKey(segment) === segmentKey(wanted) && classId === at.classId;
}

interface Page {
  /** Segments above `after`, up to `upTo`, are in it as far as the peer has any. */
  readonly after: number;
  readonly upTo: number;
  readonly indexes: ReadonlyMap<number, readonly number[]>;
}

/**
 * Shards of a row with peers that no map names for them: holders that were replaced while they were away, and copies from a part of the
 * swarm that was cut off. Asked for when a segment cannot be made anew without; segments are asked about rising.
 */
export class RowStrays {
  readonly #init: InventoryInit;
  readonly #peers: readonly PeerId[];
  readonly #pages = new Map<PeerId, Page>();

  constructor(init: InventoryInit, peers: readonly PeerId[]) {
    this.#init = init;
    this.#peers = peers;
  }

  async sourcesOf(number: number): Promise<ShardSource[]> {
    const found = await mapLimit([...this.#peers], AT_ONCE, async (peer): Promise<ShardSource[]> => {
      const page = await this.#pageOf(peer, number);
      return (page.indexes.get(number) ?? []).map((index) => ({ index, peer }));
    });
    return found.flat();
  }

  async #pageOf(peer: PeerId, number: number): Promise<Page> {
    const known = this.#pages.get(peer);
    if (known !== undefined && known.after < number && number <= known.upTo) return known;
    const page = await this.#fetch(peer, number - 1);
    this.#pages.set(peer, page);
    return page;
  }

  async #fetch(peer: PeerId, after: number): Promise<Page> {
    const { link, signal, log } = this.#init;
    try {
      const { shards, more } = await link().list(peer, after < 0 ? undefined : after, signal);
      const byNumber = Map.groupBy(shards, ([number]) => number);
      const indexes = new Map([...byNumber].map(([number, its]) => [number, its.map(([, index]) => index)]));
      const last = shards.at(-1)?.[0];
      return { after, upTo: more && last !== undefined ? last : Number.POSITIVE_INFINITY, indexes };
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      log.debug("row-not-listed", { peer, why: messageOf(error) });
      return { after: -1, upTo: Number.POSITIVE_INFINITY, indexes: new Map() };
    }
  }
}
