import { assert, must } from "../base/assert.ts";
import type { PeerId } from "../base/ids.ts";
import { type GroupedShards, minGroupsToLose } from "./cut.ts";

/** A shard that a receipt vouches for and that is not known to be lost. What is unreachable just now still counts. */
export interface PlacedShard {
  readonly index: number;
  readonly peer: PeerId;
  readonly site: string;
  readonly host: string;
}

/** What may be lost of the holders of one segment, or of all segments of a snapshot; the owner's disk not counted. */
export interface Survival {
  /** Most sites of which any choice may be lost and k distinct shards remain. */
  readonly sites: number;
  /** The same for nodes, and for machines. */
  readonly nodes: number;
  readonly hosts: number;
  /** Most further nodes of which any choice may be lost after any one whole site; 0 too when the site is one too many. */
  readonly nodesAfterWorstSite: number;
  /** Distinct shards minus k; below 0 the segment cannot be restored from its holders. */
  readonly margin: number;
  /** It survives the loss of any one site. */
  readonly isSafe: boolean;
  /** Every one of its n shards is placed. */
  readonly isFull: boolean;
}

export interface PlacedSegment {
  readonly k: number;
  readonly n: number;
  /** A peer may hold several, and several peers the same index: distinct indexes count. */
  readonly shards: readonly PlacedShard[];
}

/** Exact, also where indexes are held more than once. Pure: equal `survivalKey` means equal result. */
export function segmentSurvival(segment: PlacedSegment): Survival {
  const { k, n, shards } = segment;
  assert(k >= 1 && n >= k, "a code needs between 1 and n shards");
  assert(
    shards.every(({ index }) => index >= 0 && index < n),
    "every shard index lies below n",
  );
  const distinct = countDistinct(shards);
  const sites = losable(shards, k, (shard) => shard.site);
  return {
    sites,
    nodes: losable(shards, k, (shard) => shard.peer),
    hosts: losable(shards, k, (shard) => shard.host),
    nodesAfterWorstSite: sites >= 1 ? afterWorstSite(shards, k) : 0,
    margin: distinct - k,
    isSafe: sites >= 1,
    isFull: distinct === n,
  };
}

function afterWorstSite(shards: readonly PlacedShard[], k: number): number {
  const sites = new Set(shards.map(({ site }) => site));
  return Math.min(
    ...[...sites].map((lost) =>
      losable(
        shards.filter(({ site }) => site !== lost),
        k,
        (shard) => shard.peer,
      ),
    ),
  );
}

/** Most groups of which any choice may vanish so that k distinct indexes remain. */
function losable(shards: readonly PlacedShard[], k: number, groupOf: (shard: PlacedShard) => string): number {
  const grouped = groupShards(shards, groupOf);
  const spare = grouped.groupsOfIndex.length - k;
  return spare < 0 ? 0 : minGroupsToLose(grouped, spare + 1) - 1;
}

function groupShards(shards: readonly PlacedShard[], groupOf: (shard: PlacedShard) => string): GroupedShards {
  const groups = new Map<string, number>();
  const byIndex = new Map<number, Set<number>>();
  for (const shard of shards) {
    const name = groupOf(shard);
    const group = groups.get(name) ?? groups.size;
    groups.set(name, group);
    const of = byIndex.get(shard.index);
    if (of === undefined) byIndex.set(shard.index, new Set([group]));
    else of.add(group);
  }
  return { groupCount: groups.size, groupsOfIndex: [...byIndex.values()].map((set) => [...set]) };
}

function countDistinct(shards: readonly PlacedShard[]): number {
  return new Set(shards.map(({ index }) => index)).size;
}

/**
 * The same text for segments that survive the same: k, n and who holds which index. Sites and hosts follow from the
 * peer, so a memo lives no longer than one view of the roster.
 */
export function survivalKey({ k, n, shards }: PlacedSegment): string {
  const holders = shards.map(({ index, peer }) => `${index}@${peer}`).sort();
  return `${k}/${n}/${holders.join(",")}`;
}

/** Of all segments that a snapshot needs, the worst in each respect. At least one: a manifest is in some segment. */
export function combineSurvival(segments: readonly Survival[]): Survival {
  const first = must(segments[0], "survival of a segment");
  return segments.reduce(
    (worst, one) => ({
      sites: Math.min(worst.sites, one.sites),
      nodes: Math.min(worst.nodes, one.nodes),
      hosts: Math.min(worst.hosts, one.hosts),
      nodesAfterWorstSite: Math.min(worst.nodesAfterWorstSite, one.nodesAfterWorstSite),
      margin: Math.min(worst.margin, one.margin),
      isSafe: worst.isSafe && one.isSafe,
      isFull: worst.isFull && one.isFull,
    }),
    first,
  );
}

/** Nodes that have acknowledged a copy of a record: a head, a map row, the lock extensions of a partition. */
export interface RecordCopy {
  readonly peer: PeerId;
  readonly site: string;
  readonly host: string;
}

/** A record is a segment of k = 1 whose every copy is a shard: sites and nodes that may be lost until no copy is left. */
export function recordSurvival(copies: readonly RecordCopy[]): Survival {
  const distinct = new Map(copies.map((copy) => [copy.peer, copy]));
  const shards = [...distinct.values()].map(({ peer, site, host }, index) => ({ index, peer, site, host }));
  return segmentSurvival({ k: 1, n: Math.max(1, shards.length), shards });
}

/** Whether a copy remains after the loss of any one site and `f` further nodes. */
export function recordIsSafe(copies: readonly RecordCopy[], f: number): boolean {
  const survival = recordSurvival(copies);
  return survival.isSafe && survival.nodesAfterWorstSite >= f;
}

export type SnapshotState = "safe" | "full" | "placed" | "pending";

export interface SegmentStanding {
  readonly survival: Pick<Survival, "isSafe" | "isFull">;
  /** `safePossible` of its class in the swarm as it is: could any placement survive the loss of a site? */
  readonly safePossible: boolean;
}

/**
 * What the head, the map rows and the lock extensions are worth: `safe`: acknowledged so that a copy remains after any
 * one site and f further nodes; `placed`: acknowledged by somebody; `pending`: some are not acknowledged at all.
 */
export type RecordsStanding = "safe" | "placed" | "pending";

/**
 * What a snapshot may be called (`partial` is the caller's: it is about files, not about copies).
 * `full`: safe, and all n shards of every segment are placed. `safe`: every segment survives the loss of any one site,
 * and so do the records. `placed`: all n are placed, and what is not safe cannot be in this swarm. Else `pending`.
 */
export function snapshotState(segments: readonly SegmentStanding[], records: RecordsStanding): SnapshotState {
  const allFull = segments.every(({ survival }) => survival.isFull);
  if (segments.every(({ survival }) => survival.isSafe)) {
    if (records === "safe") return allFull ? "full" : "safe";
    return "pending";
  }
  const doneWhatCanBe = segments.every(
    ({ survival, safePossible }) => survival.isSafe || (survival.isFull && !safePossible),
  );
  return allFull && doneWhatCanBe && records !== "pending" ? "placed" : "pending";
}
