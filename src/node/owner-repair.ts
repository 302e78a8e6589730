import type { PeerId } from "../base/ids.ts";
import type { KnownLost } from "../losses/index.ts";
import type { Presence } from "../presence/index.ts";
import {
  type OwnerRepairInit,
  type OwnRemovalPlan,
  planOwnRemoval,
  type SwarmHealth,
} from "../repair/index.ts";
import type { TrustBook } from "../trust/index.ts";
import type { UpkeepSettings } from "../upkeep/index.ts";
import type { Node } from "./node.ts";

/** Who is up and who is believed, in one. */
export function healthOf(
  presence: Pick<Presence, "holders" | "weather" | "onChange">,
  trust: Pick<TrustBook, "onChange">,
  lost: Pick<KnownLost, "onLoss">,
): SwarmHealth {
  return {
    holders: () => presence.holders(),
    weather: () => presence.weather(),
    onChange(listener) {
      const ends = [presence.onChange(listener), trust.onChange(listener), lost.onLoss(listener)];
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

export function ownerRepairInit(
  { grace, schedule, assessEveryMs, auditEveryMs }: UpkeepSettings,
  localOffsetMs: () => number = () => 0,
): OwnerRepairInit {
  // Holders say what they have as often as they prove it.
  return { grace, schedule, assessEveryMs, claimsEveryMs: auditEveryMs, localOffsetMs };
}

/** For this node's own repository: of others' it knows no segments. */
export async function planRemovalOf(
  { repository, view, presence, roster, ports }: Node,
  remove: ReadonlySet<PeerId>,
): Promise<OwnRemovalPlan> {
  const freeBytes = new Map<PeerId, number>();
  for (const { peer } of roster.members()) {
    const bytes = view.statusOf(peer)?.freeBytes;
    if (bytes !== undefined && peer !== ports.network.self) freeBytes.set(peer, bytes);
  }
  const { catalog, maps } = repository;
  const needed = await repository.neededSegments();
  return planOwnRemoval({ catalog, maps, view, holders: presence.holders(), needed, freeBytes }, remove);
}
