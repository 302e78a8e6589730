import { type PeerId, peerIdOf } from "../../src/base/ids.ts";
import type { PlacementNode } from "../../src/placement/index.ts";
import type { Holder, NodeLiveness, Schedule } from "../../src/upkeep/index.ts";
import type { SeededRng } from "../rng.ts";
import type { Timer } from "../scheduler.ts";
import type { Fleet } from "./fleet.ts";

/** One machine of the fleet, as it is and as the others see it. */
export interface FleetNode {
  readonly index: number;
  readonly peer: PeerId;
  readonly site: string;
  readonly capacityBytes: number;
  readonly dataBytes: number;
  readonly schedule: Schedule;
  readonly placement: PlacementNode;
  isUp: boolean;
  /** Lost for good, and not replaced yet. */
  isLost: boolean;
  /** Which machine it is at this place: what was meant for an earlier one is not for the next. */
  generation: number;
  liveness: NodeLiveness;
  usedBytes: number;
  sentBytes: number;
  /** What repairs of what it holds send, as a share of k + 1 shards for each; drawn whenever it falls silent. */
  bytesShare: number;
  /** When its uplink has sent what it was given. */
  busyUntilMs: number;
  /** Slots of rows that it holds, as `row * n + slot`. */
  readonly holds: Set<number>;
}

/** What really became of one shard of a row. */
export type ShardState = "none" | "good" | "rotten";

/** All segments of one owner that share their holders. */
export interface Row {
  readonly index: number;
  readonly owner: FleetNode;
  readonly key: Uint8Array;
  /** In the order in which they are asked. */
  readonly candidates: readonly FleetNode[];
  readonly shardBytes: number;
  readonly slots: (FleetNode | undefined)[];
  readonly shards: ShardState[];
  /** When each shard was last vouched for, and when it was last known to be gone. */
  readonly vouchedMs: number[];
  readonly knownLostMs: (number | undefined)[];
  /** Good shards minus k, whoever is up. */
  margin: number;
  atRiskSinceMs: number | undefined;
  /** Gone for good: too few shards, and no owner that could give them again. */
  isGone: boolean;
  /** In its repairer's queue, or being repaired. */
  isQueued: boolean;
  /** The next look at it that is planned. */
  look: { readonly timeMs: number; readonly timer: Timer } | undefined;
}

export function aliveSince(sinceMs: number): NodeLiveness {
  return { state: "alive", sinceMs, plannedUntilMs: undefined, isHeard: true };
}

/** Everybody is there, and nobody holds anything yet. */
export function nodesOf(fleet: Fleet, rng: SeededRng): FleetNode[] {
  const nodes: FleetNode[] = [];
  for (const site of fleet.sites) {
    for (let at = 0; at < site.nodes; at++) {
      const peer = peerIdOf(rng.bytes(32));
      const flags = { reachable: true, full: false, draining: false, suspected: false };
      const host = `${site.name}-${at}`;
      nodes.push({
        index: nodes.length,
        peer,
        site: site.name,
        capacityBytes: site.capacityBytes,
        dataBytes: site.dataBytes,
        schedule: { ...fleet.upkeep.schedule, uplinkBitsPerSecond: site.uplinkBitsPerSecond },
        placement: {
          ...{ peer, site: site.name, host, weight: site.capacityBytes, ...flags },
          nodeNumber: rng.bytes(16),
        },
        isUp: true,
        isLost: false,
        generation: 0,
        liveness: aliveSince(0),
        usedBytes: 0,
        sentBytes: 0,
        bytesShare: 1,
        busyUntilMs: 0,
        holds: new Set(),
      });
    }
  }
  return nodes;
}

export function holderOf(node: FleetNode): Holder {
  const { peer, site, placement, liveness } = node;
  return { peer, site, host: placement.host, liveness, trust: { kind: "trusted" }, isOverfull: false };
}
