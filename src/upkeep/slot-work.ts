import type { PeerId } from "../base/ids.ts";
import type { Slot } from "../placement/index.ts";
import { type Holder, isPresent, type SegmentFacts, type ShardCopy } from "./facts.ts";
import { type GraceRules, graceEndsMs, graceMs } from "./grace.ts";

/**
 * Why a slot needs work. The shard is gone: `empty` (nobody holds the slot), `holder-lost`, `suspect`, `absent`,
 * `not-vouched` (the holder is there, the shard was never acknowledged), `shard-lost` (the holder is there, its copy is
 * gone or wrong: it is mended in place). The shard is there, in the wrong place: `draining`, `site-rule`, `same-peer`
 * (its holder has another slot), `overfull`.
 */
export type WorkReason =
  | "empty"
  | "holder-lost"
  | "suspect"
  | "absent"
  | "not-vouched"
  | "shard-lost"
  | "draining"
  | "site-rule"
  | "same-peer"
  | "overfull";

export interface SlotWork {
  readonly slot: number;
  readonly from: Slot;
  readonly why: WorkReason;
  /** `rebuild`: from any k others, or from the owner. `copy`: the bytes are there and only have to move. `mend`: like rebuild, but the holder stays. */
  readonly how: "rebuild" | "copy" | "mend";
  /** When the wait began, and when nobody has to be waited for any longer; both 0: at once. */
  readonly sinceMs: number;
  readonly dueMs: number;
}

export interface SlotWorkInput {
  readonly facts: SegmentFacts;
  /** Copies that count for the margin, and those of them that are present. */
  readonly kept: readonly ShardCopy[];
  readonly present: readonly ShardCopy[];
  readonly holders: ReadonlyMap<PeerId, Holder>;
  /** Of what is present. */
  readonly margin: number;
  readonly grace: GraceRules;
}

/** Another copy of the index somewhere else does not fill the slot: the map says where readers look. */
export function slotWork(input: SlotWorkInput): SlotWork[] {
  const { slots } = input.facts;
  const misplaced = misplacedSlots(input);
  return slots.flatMap((peer, slot): SlotWork[] => {
    const work = missingShard(input, slot, peer) ?? wrongPlace(input, slot, peer, misplaced);
    return work === undefined ? [] : [{ slot, from: peer, ...work }];
  });
}

type Work = Pick<SlotWork, "why" | "how" | "sinceMs" | "dueMs">;

const AT_ONCE = { sinceMs: 0, dueMs: 0 } as const;

function missingShard(input: SlotWorkInput, slot: number, peer: Slot): Work | undefined {
  // A surplus copy that is present spares the k reads: it only has to be fetched.
  const how = input.present.some(({ index }) => index === slot) ? "copy" : "rebuild";
  if (peer === undefined) return { why: "empty", how, ...AT_ONCE };
  const holder = input.holders.get(peer);
  if (holder === undefined || holder.liveness.state === "lost")
    return { why: "holder-lost", how, ...AT_ONCE };
  if (holder.trust.kind === "suspect") return { why: "suspect", how, ...AT_ONCE };
  if (input.kept.some((copy) => copy.index === slot && copy.peer === peer)) {
    return holder.liveness.state === "absent" ? { why: "absent", how, ...waitFor(input, holder) } : undefined;
  }
  if (holder.liveness.state === "absent") return { why: "absent", how, ...AT_ONCE };
  const wasThere = input.facts.copies.some((copy) => copy.index === slot && copy.peer === peer);
  return { why: wasThere ? "shard-lost" : "not-vouched", how: "mend", ...AT_ONCE };
}

function waitFor(
  { facts, present, margin, grace }: SlotWorkInput,
  { liveness }: Holder,
): Pick<Work, "sinceMs" | "dueMs"> {
  const missing = facts.n - new Set(present.map(({ index }) => index)).size;
  const ms = graceMs({ margin, missing, ownerHasBytes: facts.ownerHasBytes }, grace);
  const dueMs = graceEndsMs(liveness.sinceMs, liveness.plannedUntilMs, ms);
  return { sinceMs: liveness.sinceMs, dueMs };
}

function wrongPlace(
  { holders }: SlotWorkInput,
  slot: number,
  peer: Slot,
  misplaced: ReadonlyMap<number, "site-rule" | "same-peer">,
): Work | undefined {
  const holder = peer === undefined ? undefined : holders.get(peer);
  if (holder?.liveness.state === "draining") return { why: "draining", how: "copy", ...AT_ONCE };
  const why = misplaced.get(slot) ?? (holder?.isOverfull ? "overfull" : undefined);
  return why === undefined ? undefined : { why, how: "copy", ...AT_ONCE };
}

/** Of holders with several slots, and of sites with more than `cap`, the lowest slots stay where they are. */
function misplacedSlots({ facts, holders }: SlotWorkInput): Map<number, "site-rule" | "same-peer"> {
  const misplaced = new Map<number, "site-rule" | "same-peer">();
  const seen = new Set<PeerId>();
  const atSite = new Map<string, number>();
  facts.slots.forEach((peer, slot) => {
    const holder = peer === undefined ? undefined : holders.get(peer);
    // Who is absent or draining is leaving its slot as it is, and fills no site.
    if (holder === undefined || !isPresent(holder) || holder.liveness.state === "draining") return;
    const already = atSite.get(holder.site) ?? 0;
    if (seen.has(holder.peer)) misplaced.set(slot, "same-peer");
    else if (already >= facts.cap) misplaced.set(slot, "site-rule");
    else atSite.set(holder.site, already + 1);
    seen.add(holder.peer);
  });
  return misplaced;
}
