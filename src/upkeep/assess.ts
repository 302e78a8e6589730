import { assert } from "../base/assert.ts";
import type { PeerId } from "../base/ids.ts";
import { type PlacedShard, type Survival, segmentSurvival } from "../placement/index.ts";
import { type Holder, isPresent, type SegmentFacts, type ShardCopy } from "./facts.ts";
import { GRACE_RULES, type GraceRules } from "./grace.ts";
import { type SlotWork, slotWork } from "./slot-work.ts";

export interface Assessment {
  /** Distinct shards that are vouched for and not known to be lost, minus k. */
  readonly margin: number;
  /** The same, less what is on holders that are absent or suspect: what grace and the order of repairs follow. */
  readonly presentMargin: number;
  /** What the shards that are present would survive. */
  readonly survival: Survival;
  /** Site -> margin of what is present, if that site were lost. */
  readonly marginWithout: ReadonlyMap<string, number>;
  /** No site has more than `cap` of the slots whose holders are present and stay. */
  readonly keepsSiteRule: boolean;
  /** Slots that need something done, now or when `dueMs` has come; rising. */
  readonly work: readonly SlotWork[];
  /** Copies that are there though the map names another holder for their index. */
  readonly surplus: readonly ShardCopy[];
  /** Of the copies that count, the one not vouched for the longest; `undefined` when none counts. */
  readonly oldestVouchedMs: number | undefined;
}

export function assess(
  facts: SegmentFacts,
  holders: ReadonlyMap<PeerId, Holder>,
  grace: GraceRules = GRACE_RULES,
): Assessment {
  const { k, n, slots } = facts;
  assert(slots.length === n, "a segment has a slot for every shard");
  const kept = facts.copies.filter((copy) => countsAtAll(copy, holders.get(copy.peer), n));
  const present = kept.filter(({ peer }) => isPresent(holders.get(peer)));
  const survival = segmentSurvival({ k, n, shards: present.map((copy) => placed(copy, holders)) });
  const sites = sitesOf(present, holders);
  const work = slotWork({ facts, kept, present, holders, margin: survival.margin, grace });
  return {
    margin: distinct(kept) - k,
    presentMargin: survival.margin,
    survival,
    marginWithout: new Map(
      [...sites].map((lost) => [
        lost,
        distinct(present.filter(({ peer }) => holders.get(peer)?.site !== lost)) - k,
      ]),
    ),
    keepsSiteRule: !work.some(({ why }) => why === "site-rule"),
    work,
    surplus: present.filter(({ index, peer }) => slots[index] !== peer),
    oldestVouchedMs: kept.length === 0 ? undefined : Math.min(...kept.map(({ vouchedMs }) => vouchedMs)),
  };
}

/** Not known to be lost, on a node of the roster that is not lost itself. */
function countsAtAll(copy: ShardCopy, holder: Holder | undefined, n: number): boolean {
  if (holder === undefined || holder.liveness.state === "lost") return false;
  if (copy.index < 0 || copy.index >= n) return false;
  return copy.knownLostMs === undefined || copy.vouchedMs > copy.knownLostMs;
}

function placed({ index, peer }: ShardCopy, holders: ReadonlyMap<PeerId, Holder>): PlacedShard {
  const holder = holders.get(peer);
  assert(holder !== undefined, "a copy that counts has a holder");
  return { index, peer, site: holder.site, host: holder.host };
}

function sitesOf(copies: readonly ShardCopy[], holders: ReadonlyMap<PeerId, Holder>): Set<string> {
  return new Set(copies.map(({ peer }) => holders.get(peer)?.site).filter((site) => site !== undefined));
}

function distinct(copies: readonly ShardCopy[]): number {
  return new Set(copies.map(({ index }) => index)).size;
}
