import { isFault, messageOf } from "../base/fault.ts";
import { type Incarnation, type PeerId, segmentKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Catalog, SegmentRef } from "../catalog/index.ts";
import type { OwnerMaps, PeerClient } from "../exchange/index.ts";
import type { PlacementMap, SlotChange } from "../placement/index.ts";
import type { Clock } from "../ports/index.ts";
import { HAVE_SHARDS_MAX } from "../wire/data.ts";
import { generationKey } from "./own-facts.ts";

/** What others have repaired of this owner's rows while it was away: records that hold, judged before they come here. */
export interface OwnRepairs {
  changes(life: Incarnation, map: PlacementMap): Promise<readonly SlotChange[]>;
  onChange(listener: () => void): () => void;
  /** Asks who keeps this owner's map; how many told what they know. */
  ask(signal: AbortSignal): Promise<number>;
}

export interface OwnAdoptionComponents {
  readonly catalog: Catalog;
  readonly maps: OwnerMaps;
  readonly client: Pick<PeerClient, "have">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

/** A slot of a generation that has another holder by a repair. */
interface Adopted {
  readonly generation: string;
  readonly slot: number;
  readonly peer: PeerId;
}

/** Of one life that is asked about; more are left for the next time. */
const ASKED_MAX = 4096;

/**
 * An owner that was away takes over what others repaired meanwhile, so that it does not repair it once more: the new
 * holders say which shards they have, that goes into the catalog, and the row becomes the owner's own word. Rows of a life
 * before a recovery cannot be signed any more; there the repairs are laid over them, in memory.
 *
 * Who did not answer is asked again; until it has, its shards are not counted.
 */
export class OwnAdoption {
  readonly #c: OwnAdoptionComponents;
  readonly #repairs: OwnRepairs;
  #unasked: Adopted[] = [];
  #isTold = false;

  constructor(components: OwnAdoptionComponents, repairs: OwnRepairs) {
    this.#c = components;
    this.#repairs = repairs;
  }

  /** This node was away, or begins: others may have repaired meanwhile. */
  wasAway(): void {
    this.#isTold = false;
  }

  /** Whether anybody was there to tell since this node was away: before that it repairs nothing a second time. */
  async isTold(signal: AbortSignal): Promise<boolean> {
    if (!this.#isTold) this.#isTold = (await this.#repairs.ask(signal)) > 0;
    return this.#isTold;
  }

  /** How many slots of rows were taken over. */
  async run(signal: AbortSignal): Promise<number> {
    const { catalog, maps, log } = this.#c;
    const lives = catalog.state.incarnations;
    const changes = await Promise.all(
      lives.map((life, position) => this.#repairs.changes(life, maps.map(position))),
    );
    const found = changes.flatMap((ofLife, position) =>
      ofLife.map((change): Adopted => {
        const { classId, partition, fromSegment, slot, peer } = change;
        return { generation: `${position}/${classId}/${partition}/${fromSegment}`, slot, peer };
      }),
    );
    const due = [...this.#unasked, ...found].slice(0, ASKED_MAX);
    if (due.length === 0) return 0;
    const { noted, silent } = await this.#ask(due, signal);
    // The row after what is in it: a crash in between leaves it to be adopted again.
    for (const [position, ofLife] of changes.entries())
      if (ofLife.length > 0) await maps.adopt(position, ofLife);
    this.#unasked = due.filter(({ peer }) => silent.has(peer));
    if (found.length > 0) log.info("repairs-adopted", { slots: found.length, shards: noted });
    return found.length;
  }

  async #ask(
    due: readonly Adopted[],
    signal: AbortSignal,
  ): Promise<{ noted: number; silent: ReadonlySet<PeerId> }> {
    const { catalog, maps } = this.#c;
    const byGeneration = Map.groupBy(due, ({ generation }) => generation);
    const waiting = new Map<string, Asked[]>();
    const silent = new Set<PeerId>();
    let noted = 0;
    const ask = async (key: string, list: readonly Asked[]): Promise<void> => {
      waiting.delete(key);
      noted += await this.#askPeer(list, silent, signal);
    };
    for await (const [ref, record] of catalog.segments.all()) {
      signal.throwIfAborted();
      for (const { slot, peer } of byGeneration.get(generationKey(ref, record, maps)) ?? []) {
        if (record.slots[slot]?.peer === peer) continue;
        const key = `${peer}/${ref.incarnation}`;
        const list = waiting.get(key) ?? [];
        list.push({ ref, slot, peer });
        waiting.set(key, list);
        if (list.length >= HAVE_SHARDS_MAX) await ask(key, list);
      }
    }
    for (const [key, list] of [...waiting]) await ask(key, list);
    return { noted, silent };
  }

  async #askPeer(list: readonly Asked[], silent: Set<PeerId>, signal: AbortSignal): Promise<number> {
    const [first] = list;
    if (first === undefined || silent.has(first.peer)) return 0;
    const { catalog, client, clock, log } = this.#c;
    const { incarnation } = catalog.segmentId(first.ref);
    let noted = 0;
    try {
      const shards = list.map(({ ref, slot }) => [ref.number, slot] as const);
      const held = await client.have(first.peer, catalog.owner, incarnation, shards, signal);
      for (const [position, { ref, slot, peer }] of list.entries()) {
        if (held[position] !== true) continue;
        const receipt = { peer, timeMs: clock.wallMs() };
        await catalog.segments.update(
          ref,
          (known) => ({ ...known, slots: known.slots.map((one, at) => (at === slot ? receipt : one)) }),
          { sync: false },
        );
        log.debug("repair-adopted", { segment: segmentKey(catalog.segmentId(ref)), index: slot, to: peer });
        noted++;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error) || isFault(error, "FENCED", "REMOVED")) throw error;
      log.info("holder-not-asked", { peer: first.peer, why: messageOf(error) });
      silent.add(first.peer);
    }
    return noted;
  }
}

interface Asked {
  readonly ref: SegmentRef;
  readonly slot: number;
  readonly peer: PeerId;
}
