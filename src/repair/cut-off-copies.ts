import type { PeerId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { GenerationAt } from "../placement/index.ts";
import { isHeard, type RepairItem } from "../upkeep/index.ts";
import type { RepairDoor } from "./door.ts";
import type { RepairedMap, Whereabouts } from "./judge.ts";
import { type SlotMove, stuckWords } from "./row-choice.ts";
import { type RowRepair, rowName } from "./row-repair.ts";

export interface CutOffCopiesComponents {
  readonly self: PeerId;
  readonly rows: Pick<RowRepair, "run">;
  readonly door: Pick<RepairDoor, "workedOnBy">;
  readonly presence: Pick<Whereabouts, "holders">;
  readonly log: Log;
}

/** A row of which no more may be lost, as far as can be seen from here. */
export interface RowInNeed extends RepairItem {
  readonly map: RepairedMap;
  readonly at: GenerationAt;
}

export const HOLDS_NOTHING = "this node holds no shard of the row";
const COPIED_MAX = 65_536;

/**
 * What a node does that sees no more than half of the swarm, for a row that may not lose another shard and whose owner is away: it may
 * be that this part of the swarm is all that is left. The missing shards are made anew and put at others in reach, and nobody's map
 * changes, since another part may be repairing the same: when they meet again these are copies too many, which the sweep takes.
 */
export class CutOffCopies {
  readonly #c: CutOffCopiesComponents;
  /** By row: what was missing, and how many were in reach, when it was copied. */
  readonly #copied = new Map<string, string>();
  readonly counts = { copied: 0, bytesIn: 0, bytesOut: 0 };

  constructor(components: CutOffCopiesComponents) {
    this.#c = components;
  }

  /**
   * As long as the same slots are missing, and nobody else is in reach, it is not done again; nor what another holder of the row
   * was seen to do, as long as that one is in reach.
   */
  isDone(row: RowInNeed): boolean {
    return this.#copied.get(row.key) === this.#situationOf(row) || this.#isOthers(row);
  }

  #isOthers({ map, at, slots }: RowInNeed): boolean {
    const { self, door, presence } = this.#c;
    const holders = presence.holders();
    return slots.some(({ slot }) => {
      const seen = door.workedOnBy(map, at, slot);
      return seen?.cause === "cut-off" && seen.by !== self && isHeard(holders.get(seen.by));
    });
  }

  keepOnly(rows: { has(key: string): boolean }): void {
    for (const key of [...this.#copied.keys()]) if (!rows.has(key)) this.#copied.delete(key);
  }

  /** Why not all of it could be copied; `undefined` where it was. */
  async copy(row: RowInNeed, signal: AbortSignal): Promise<string | undefined> {
    const { map, at, margin } = row;
    const moves = row.slots.flatMap(({ slot, how, why }): SlotMove[] => {
      const fromIsLost = why === "holder-lost" || why === "empty";
      return how === "rebuild" ? [{ slot, cause: { t: "cut-off" }, copies: false, fromIsLost }] : [];
    });
    if (moves.length > 0) {
      const job = { map, at, moves, margin, isCopyOnly: true, isOut: this.#isOut(), signal };
      const outcome = await this.#c.rows.run(job);
      if (outcome.kind === "nothing") return HOLDS_NOTHING;
      if (outcome.kind === "stuck") return stuckWords(outcome.slots);
      const { segments, bytesIn, bytesOut, to, stuck } = outcome;
      this.counts.copied += segments * to.length;
      this.counts.bytesIn += bytesIn;
      this.counts.bytesOut += bytesOut;
      const about = { owner: map.owner, row: rowName(map, at), margin };
      this.#c.log.warn("heir-copied", { ...about, to, segments, bytesIn, bytesOut });
      this.#note(row);
      return stuck.length > 0 ? stuckWords(stuck) : undefined;
    }
    this.#note(row);
    return undefined;
  }

  #note(row: RowInNeed): void {
    if (this.#copied.size < COPIED_MAX) this.#copied.set(row.key, this.#situationOf(row));
  }

  #situationOf({ slots }: RowInNeed): string {
    const inReach = [...this.#c.presence.holders().values()].filter(isHeard).length;
    return `${inReach}/${slots.map(({ slot, from }) => `${slot}:${from ?? ""}`).join()}`;
  }

  #isOut(): (peer: PeerId) => boolean {
    const holders = this.#c.presence.holders();
    return (peer) => !isHeard(holders.get(peer));
  }
}
