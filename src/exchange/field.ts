import type { OwnerId, PeerId } from "../base/ids.ts";
import {
  type Apart,
  type ExcludeReason,
  type PlacementClass,
  type PlacementField,
  type PlacementNode,
  rowKey,
  type SwarmShape,
  shapeOf,
} from "../placement/index.ts";

/** The swarm as an owner sees it when it chooses holders and counts what they would survive. */
export interface SwarmView {
  readonly self: PeerId;
  /** Every member that may hold, in whatever state, with its flags of this moment. */
  nodes(): readonly PlacementNode[];
  /** The version of the formats that this node may write, so that every member reads it. */
  formatVersion(): number;
  /** Which members cannot reach each other, as they say. */
  apart(): Apart;
  /** Where a member is; `undefined` for one that is removed or was never known: it counts as lost. */
  placeOf(peer: PeerId): { readonly site: string; readonly host: string } | undefined;
  /**
   * Whose shards count for nothing, whatever it has acknowledged: gone for good, or convicted. Who is only away still
   * counts, and is reported beside. @default nobody
   */
  isGone?(peer: PeerId): boolean;
  /** Shard bytes that this node's owner may have in the whole swarm. */
  ownQuotaBytes(): number | undefined;
}

/** The shape that profiles are chosen for: who is gone for good takes no part in it. */
export function shapeOfView(view: Pick<SwarmView, "nodes" | "self" | "isGone">): SwarmShape {
  return shapeOf(
    view.nodes().filter(({ peer }) => view.isGone?.(peer) !== true),
    view.self,
  );
}

/** What `chooseRow` and `replacementFor` choose from, for one row of one owner. */
export function fieldFor(
  view: SwarmView,
  owner: OwnerId,
  of: PlacementClass,
  partition: number,
  exclude: ReadonlyMap<PeerId, ExcludeReason>,
): PlacementField {
  return {
    key: rowKey(owner, of, partition),
    cap: of.cap,
    candidates: view.nodes(),
    ownerPeer: view.self,
    exclude,
    apart: view.apart(),
  };
}
