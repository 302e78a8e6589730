import type { OwnerId, PeerId } from "../base/ids.ts";
import type { PlacementNode } from "../placement/index.ts";
import type { RosterAt } from "../upkeep/index.ts";

/** What of the roster repairs are judged by. */
export interface KnownRoster {
  members(): readonly { readonly peer: PeerId; readonly site: string; readonly owner: OwnerId }[];
  former(): readonly { readonly owner: OwnerId }[];
  /** The best first. */
  certificatesOf(owner: OwnerId): readonly { readonly body: Certified }[];
}

interface Certified {
  readonly issuedMs: number;
  readonly holder: boolean;
  readonly peer: PeerId;
  readonly site: string;
  readonly host: string;
  readonly nodeNumber: Uint8Array;
  readonly capacityBytes: number;
}

/**
 * The roster as of a moment, for ranks: everybody certified by then, whatever became of them since. A removal changes no
 * rank, so that who has heard of it and who has not yet agree on a record. `undefined` where this node knows of no
 * certificate as young as that: it has not heard of that roster yet.
 */
export function rosterAt(roster: KnownRoster, epoch: number): RosterAt | undefined {
  if (newestMs(roster, Number.POSITIVE_INFINITY) < epoch) return undefined;
  return {
    candidates: candidatesAt(roster, epoch),
    members: roster.members().map(({ peer, site }) => ({ peer, site })),
  };
}

/**
 * The epoch that a repair record made now names: of the newest certificate that has had `settleMs` to be heard of
 * everywhere, or of the newest at all in a swarm that is younger.
 */
export function rosterEpochAt(roster: KnownRoster, nowMs: number, settleMs: number): number {
  return newestMs(roster, nowMs - settleMs) || newestMs(roster, Number.POSITIVE_INFINITY);
}

function newestMs(roster: KnownRoster, untilMs: number): number {
  let newest = 0;
  for (const owner of ownersOf(roster))
    for (const { body } of roster.certificatesOf(owner))
      if (body.issuedMs <= untilMs) newest = Math.max(newest, body.issuedMs);
  return newest;
}

function candidatesAt(roster: KnownRoster, epoch: number): PlacementNode[] {
  const nodes = new Map<PeerId, PlacementNode>();
  for (const owner of ownersOf(roster)) {
    const best = roster.certificatesOf(owner).find(({ body }) => body.issuedMs <= epoch);
    if (best === undefined || !best.body.holder) continue;
    const { peer, site, host, nodeNumber, capacityBytes } = best.body;
    const flags = { reachable: true, full: false, draining: false, suspected: false };
    nodes.set(peer, { peer, site, host, nodeNumber, weight: capacityBytes, ...flags });
  }
  return [...nodes.values()];
}

function ownersOf(roster: KnownRoster): Set<OwnerId> {
  return new Set([...roster.members(), ...roster.former()].map(({ owner }) => owner));
}
