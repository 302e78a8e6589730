import type { PeerId } from "../base/ids.ts";
import type { GenerationAt, Slot } from "../placement/index.ts";
import type { SlotWork } from "../upkeep/index.ts";
import { REPAIR_WITNESSES_MAX, type RepairCauseBody } from "../wire/repair.ts";
import type { RepairedMap, RepairJudge, Whereabouts } from "./judge.ts";
import type { RepairClaim } from "./records.ts";
import { versionOf } from "./row-repair.ts";

export interface CauseComponents {
  readonly self: PeerId;
  readonly judge: Pick<RepairJudge, "claim">;
  readonly presence: Pick<Whereabouts, "witnesses">;
  readonly roster: { member(peer: PeerId): unknown };
  readonly clock: { wallMs(): number };
}

/**
 * What this node can show others for the work on a slot; `undefined` where it is not enough (yet): then nothing is done,
 * because nobody would hand out a shard for it.
 */
export function causeOf(
  components: CauseComponents,
  map: RepairedMap,
  at: GenerationAt,
  work: Pick<SlotWork, "slot" | "from" | "why">,
): RepairCauseBody | undefined {
  const { from, why, slot } = work;
  switch (why) {
    case "empty":
    case "site-rule":
    case "same-peer":
      return { t: why };
    case "suspect":
      return { t: "convicted" };
    case "holder-lost":
    case "absent":
      if (from === undefined) return undefined;
      if (components.roster.member(from) === undefined) return { t: "gone-from-roster" };
      return witnessed(components, map, at, slot, from);
    // The holder is there: it mends its own shard, or moves it itself.
    case "not-vouched":
    case "shard-lost":
    case "draining":
    case "overfull":
      return undefined;
  }
}

/** As few witnesses as are enough: each further one narrows the time of which all of them speak. */
function witnessed(
  { self, judge, presence, clock }: CauseComponents,
  map: RepairedMap,
  at: GenerationAt,
  slot: number,
  from: Slot & string,
): RepairCauseBody | undefined {
  const all = [...presence.witnesses(from)].sort(
    (a, b) => a.witness.silentSinceMs - b.witness.silentSinceMs || b.witness.atMs - a.witness.atMs,
  );
  const version = versionOf(map, at, slot);
  for (let count = 1; count <= Math.min(all.length, REPAIR_WITNESSES_MAX); count++) {
    const some = all.slice(0, count);
    const claim: RepairClaim = {
      ...{ owner: map.owner, incarnation: map.incarnation, at, slot, from, by: self, ...version },
      madeMs: clock.wallMs(),
      cause: { kind: "absent", witnesses: some.map(({ witness }) => witness) },
    };
    if (judge.claim(claim, map).kind === "holds")
      return { t: "absent", witnesses: some.map(({ envelope }) => envelope) };
  }
  return undefined;
}
