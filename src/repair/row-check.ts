import { isFault, messageOf } from "../base/fault.ts";
import { type OwnerId, type PeerId, type ShardId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { KeptRecords } from "../exchange/index.ts";
import { type GenerationAt, generationsOf } from "../placement/index.ts";
import type { Clock, ShardStore } from "../ports/index.ts";
import { isHeard } from "../upkeep/index.ts";
import type { RepairBook } from "./book.ts";
import { Inventory } from "./inventory.ts";
import type { RepairedMap, RepairJudge, Whereabouts } from "./judge.ts";
import type { Mender } from "./mender.ts";
import type { RepairLink } from "./peers.ts";
import { rowName, slotsOfGeneration } from "./row-repair.ts";

export interface RowCheckComponents {
  readonly self: PeerId;
  readonly ownOwner: OwnerId;
  readonly shards: Pick<ShardStore, "stat">;
  readonly kept: Pick<KeptRecords, "owners">;
  readonly book: Pick<RepairBook, "maps">;
  readonly judge: Pick<RepairJudge, "isLeftToHeirs">;
  readonly presence: Pick<Whereabouts, "holders" | "weather">;
  readonly mender: Pick<Mender, "mend" | "linkFor">;
  readonly isGivenUp: (shard: ShardId) => boolean;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
}

/** Shards made anew in one check; the others wait for the next. */
const MENDED_MAX = 1024;
/** A claim is believed for the slack of the clocks; long before that it is signed anew. */
const CLAIM_MS = 60_000;

/**
 * Has this node all that it ought to have of the rows of owners that are away? Nobody audits it for them, and its own disk does not know
 * of what it never got: a segment that its owner had not placed with all when it died, a shard whose entry went with an older home, what
 * the repairer of the slot did not know of. The other holders of the row name what they have; what is missing here is made anew.
 */
export class RowCheck {
  readonly #c: RowCheckComponents;
  readonly #everyMs: number;
  #lastMs: number;
  #mended = 0;

  constructor(components: RowCheckComponents, init: { everyMs: number }) {
    this.#c = components;
    this.#everyMs = init.everyMs;
    this.#lastMs = components.clock.monotonicMs();
  }

  /** Made anew since the start. */
  get mended(): number {
    return this.#mended;
  }

  /** All rows, when it is time. */
  async round(signal: AbortSignal): Promise<void> {
    const { kept, book, judge, ownOwner, presence, clock } = this.#c;
    if (clock.monotonicMs() - this.#lastMs < this.#everyMs || presence.weather().kind === "cut-off") return;
    this.#lastMs = clock.monotonicMs();
    const until = this.#mended + MENDED_MAX;
    for (const owner of await kept.owners()) {
      if (owner === ownOwner) continue;
      for (const map of await book.maps(owner)) {
        if (!judge.isLeftToHeirs(owner, map.incarnation)) continue;
        for (const { classId, partition, fromSegment } of generationsOf(map.now)) {
          signal.throwIfAborted();
          await this.#check(map, { classId, partition, fromSegment }, until, signal);
        }
      }
    }
  }

  async #check(map: RepairedMap, at: GenerationAt, until: number, signal: AbortSignal): Promise<void> {
    const { self, shards, isGivenUp, presence, mender, log } = this.#c;
    const slots = slotsOfGeneration(map, at);
    const index = slots.indexOf(self);
    if (index < 0 || this.#mended >= until) return;
    const { owner, incarnation } = map;
    const holders = presence.holders();
    const others = new Set(slots.flatMap((peer) => (peer === undefined || peer === self ? [] : [peer])));
    const inventory = new Inventory({ map, at, link: this.#linkOf(map, at, index), signal, log });
    await inventory.ask(
      [...others].filter((peer) => isHeard(holders.get(peer))),
      undefined,
      (number) => {
        const own: ShardId = { owner, incarnation, number, index };
        return shards.stat(own) !== undefined || isGivenUp(own);
      },
    );
    for await (const { segment, envelope } of inventory.segments()) {
      if (this.#mended >= until) return;
      try {
        if (!(await mender.mend({ ...segment, index }, envelope, signal))) return;
        this.#mended++;
        log.info("shard-completed", { segment: segmentKey(segment), index, row: rowName(map, at) });
      } catch (error) {
        signal.throwIfAborted();
        if (!isFault(error)) throw error;
        const why = messageOf(error);
        log.warn("shard-not-mended", { shard: `${segmentKey(segment)}/${index}`, why });
      }
    }
  }

  #linkOf(map: RepairedMap, at: GenerationAt, index: number): () => RepairLink {
    const { clock, mender } = this.#c;
    let signedMs = Number.NEGATIVE_INFINITY;
    let link: RepairLink | undefined;
    return () => {
      if (link === undefined || clock.monotonicMs() - signedMs > CLAIM_MS) {
        link = mender.linkFor(map, at, index);
        signedMs = clock.monotonicMs();
      }
      return link;
    };
  }
}
