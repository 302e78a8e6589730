import type { PeerId } from "../base/ids.ts";
import type { Catalog, SegmentRecord, SegmentRef } from "../catalog/index.ts";
import {
  combineSurvival,
  type PlacedSegment,
  type PlacementClass,
  type RecordCopy,
  type RecordsStanding,
  recordIsSafe,
  recordSurvival,
  type SegmentStanding,
  type SnapshotState,
  type Survival,
  safePossible,
  segmentSurvival,
  snapshotState,
  survivalKey,
} from "../placement/index.ts";
import { type SwarmView, shapeOfView } from "./field.ts";
import type { OwnerMaps } from "./owner-maps.ts";

export interface ProtectionReport {
  readonly state: SnapshotState;
  readonly survival: Survival;
  /** How many segments have which margin. */
  readonly margins: ReadonlyMap<number, number>;
  readonly segments: number;
}

/**
 * What the holders that have acknowledged are worth, by one view of the swarm. Counts are exact and taken from the
 * receipts of every segment asked about; equal placements are computed once.
 */
export class ProtectionCensus {
  readonly #catalog: Catalog;
  readonly #maps: OwnerMaps;
  readonly #view: SwarmView;
  readonly #memo = new Map<string, Survival>();
  readonly #possible = new Map<string, boolean>();

  /** Good for one moment: make a new one when the roster or the receipts may have changed. */
  constructor(components: { catalog: Catalog; maps: OwnerMaps; view: SwarmView }) {
    this.#catalog = components.catalog;
    this.#maps = components.maps;
    this.#view = components.view;
  }

  segment(ref: SegmentRef): Survival {
    return this.ofRecord(this.#catalog.segments.orUnknown(ref));
  }

  ofRecord(record: SegmentRecord): Survival {
    const placed = this.#placed(record);
    const key = survivalKey(placed);
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const survival = segmentSurvival(placed);
    this.#memo.set(key, survival);
    return survival;
  }

  /** Whether a segment survives the loss of any one site and of the further nodes that its class is meant for. */
  isEnough(ref: SegmentRef, record: SegmentRecord): boolean {
    const of = this.#maps.class(ref.incarnation, record.class);
    const survival = this.ofRecord(record);
    return survival.isSafe && survival.nodesAfterWorstSite >= Math.max(0, of.m - of.cap);
  }

  /**
   * Whether new data may refer to chunks of this segment: it is safe, or all of it is placed where safe cannot be
   * (everybody at one site), or its bytes are in the own spool.
   */
  mayReuse(ref: SegmentRef, record: SegmentRecord): boolean {
    if (record.spooled) return true;
    const survival = this.ofRecord(record);
    if (survival.isSafe) return true;
    return survival.isFull && !this.#isSafePossible(this.#maps.class(ref.incarnation, record.class));
  }

  /** @param keepers who has acknowledged the head and the maps. */
  report(segments: Iterable<SegmentRef>, keepers: readonly PeerId[]): ProtectionReport {
    const standings: SegmentStanding[] = [];
    const survivals: Survival[] = [];
    const margins = new Map<number, number>();
    let extraNodes = Number.POSITIVE_INFINITY;
    for (const ref of segments) {
      const record = this.#catalog.segments.orUnknown(ref);
      const of = this.#maps.class(ref.incarnation, record.class);
      const survival = this.ofRecord(record);
      standings.push({ survival, safePossible: this.#isSafePossible(of) });
      survivals.push(survival);
      margins.set(survival.margin, (margins.get(survival.margin) ?? 0) + 1);
      extraNodes = Math.min(extraNodes, Math.max(0, of.m - of.cap));
    }
    const copies = this.#copies(keepers);
    const records = this.#recordsStanding(copies, Number.isFinite(extraNodes) ? extraNodes : 0);
    return {
      state: snapshotState(standings, records),
      survival: combineSurvival([...survivals, headSurvival(copies)]),
      margins,
      segments: standings.length,
    };
  }

  #recordsStanding(copies: readonly RecordCopy[], extraNodes: number): RecordsStanding {
    if (copies.length === 0) return "pending";
    if (recordIsSafe(copies, Math.min(extraNodes, this.#extraNodesPossible()))) return "safe";
    return "placed";
  }

  /** No record can survive more than there are nodes to keep it. */
  #extraNodesPossible(): number {
    const nodes = this.#view.nodes().filter((node) => node.peer !== this.#view.self);
    const sites = new Map<string, number>();
    for (const node of nodes) sites.set(node.site, (sites.get(node.site) ?? 0) + 1);
    return Math.max(0, nodes.length - Math.max(0, ...sites.values()) - 1);
  }

  #isSafePossible(of: PlacementClass): boolean {
    const key = `${of.k}+${of.m}`;
    const known = this.#possible.get(key);
    if (known !== undefined) return known;
    const possible = safePossible(of, shapeOfView(this.#view));
    this.#possible.set(key, possible);
    return possible;
  }

  #placed(record: SegmentRecord): PlacedSegment {
    const shards = record.slots.flatMap((slot, index) => {
      if (slot === null || this.#view.isGone?.(slot.peer) === true) return [];
      const place = this.#view.placeOf(slot.peer);
      return place === undefined ? [] : [{ index, peer: slot.peer, ...place }];
    });
    return { k: record.k, n: record.slots.length, shards };
  }

  #copies(keepers: readonly PeerId[]): RecordCopy[] {
    return keepers.flatMap((peer) => {
      if (this.#view.isGone?.(peer) === true) return [];
      const place = this.#view.placeOf(peer);
      return place === undefined ? [] : [{ peer, ...place }];
    });
  }
}

/** The head is needed as much as any segment; its margin is not a segment's, so it does not count there. */
function headSurvival(copies: readonly RecordCopy[]): Survival {
  return { ...recordSurvival(copies), margin: Number.MAX_SAFE_INTEGER, isFull: true };
}
