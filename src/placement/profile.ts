import { Fault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import { capacityUnder, leastCap, type PlacementNode } from "./row.ts";

/** Any k of the k + m shards of a segment give it back. */
export interface Profile {
  readonly k: number;
  readonly m: number;
}

/** What a segment is coded and placed by, for ever: a changed profile opens a new class for new segments. */
export interface PlacementClass extends Profile {
  /** Most shards of one segment at one site. */
  readonly cap: number;
}

/** Of our format (shards of one segment); Reed-Solomon over GF(2^8) itself would go to 256. */
export const SHARDS_MAX = 64;

/** Who could hold an owner's shards: the number of nodes at each site, the owner's own node not among them. */
export interface SwarmShape {
  readonly sites: readonly number[];
}

export interface ClassChoice {
  readonly class: PlacementClass;
  /** Further nodes that may be lost after any one whole site; 0 too when the site itself is not covered. */
  readonly f: number;
  readonly coversSiteLoss: boolean;
  /** What is not covered, or had to be given up, in plain sentences; empty when there is nothing to say. */
  readonly notes: readonly string[];
}

/** "6+3". Throws `USAGE` when it is not of that form or means no protection. */
export function parseProfile(text: string): Profile {
  const match = /^(\d{1,3})\+(\d{1,3})$/.exec(text.trim());
  if (match === null) {
    throw new Fault({
      code: "USAGE",
      reason: `"${text}" is not a profile: write K+M, such as 6+3 (any 6 of 9 shards restore).`,
    });
  }
  const profile = { k: Number(match[1]), m: Number(match[2]) };
  const reason = faultOf(profile);
  if (reason !== undefined) throw new Fault({ code: "USAGE", reason: `Profile ${text}: ${reason}.` });
  return profile;
}

function faultOf({ k, m }: Profile): string | undefined {
  if (k < 1) return "at least one data shard is needed";
  if (k + m > SHARDS_MAX) return `a segment has at most ${SHARDS_MAX} shards`;
  // 1+0 is what one single other node makes possible; k+0 with more would only add ways to lose everything.
  if (m < 1 && k > 1) return "without parity shards the loss of any one holder loses data";
  return undefined;
}

export function formatProfile({ k, m }: Profile): string {
  return `${k}+${m}`;
}

export function sameClass(a: PlacementClass, b: PlacementClass): boolean {
  return a.k === b.k && a.m === b.m && a.cap === b.cap;
}

/** The shape that a profile is chosen for: members that may be given new data, reachable just now or not. */
export function shapeOf(candidates: readonly PlacementNode[], ownerPeer: PeerId | undefined): SwarmShape {
  const perSite = new Map<string, number>();
  for (const node of candidates) {
    if (node.peer === ownerPeer || node.draining || node.full || node.suspected || !(node.weight > 0))
      continue;
    perSite.set(node.site, (perSite.get(node.site) ?? 0) + 1);
  }
  return { sites: [...perSite.values()] };
}

export function holdersOfShape(shape: SwarmShape): number {
  return shape.sites.reduce((sum, holders) => sum + holders, 0);
}

/** Whether every shard can have a holder of its own. Says nothing about surviving the loss of a site. */
export function feasible(profile: Profile, shape: SwarmShape): boolean {
  return faultOf(profile) === undefined && profile.k + profile.m <= holdersOfShape(shape);
}

/**
 * Whether some placement of this code survives the loss of any one site: for some c, the sites hold at least k + c
 * shards with at most c at each. Fewer than n shards count too: `safe` does not ask for all.
 */
export function safePossible(profile: Profile, shape: SwarmShape): boolean {
  for (let cap = 1; cap <= profile.m; cap++) {
    if (capacityUnder(shape.sites, cap) >= profile.k + cap) return true;
  }
  return false;
}

/**
 * The class of an explicit profile: the least cap under which it fits. Throws `PROFILE_IMPOSSIBLE` when there are
 * fewer holders than shards; a profile that fits but cannot survive the loss of a site is allowed, and says so.
 */
export function classFor(profile: Profile, shape: SwarmShape): ClassChoice {
  const n = profile.k + profile.m;
  const holders = holdersOfShape(shape);
  const reason =
    faultOf(profile) ??
    (n > holders
      ? `it needs ${n} holders, and there ${holders === 1 ? "is 1" : `are ${holders}`} besides this node that may be given new data`
      : undefined);
  if (reason !== undefined) {
    throw new Fault({ code: "PROFILE_IMPOSSIBLE", profile: formatProfile(profile), reason });
  }
  return describeClass({ ...profile, cap: leastCap(shape.sites, n) }, shape);
}

/** What a class covers in a shape that it fits. */
export function describeClass(of: PlacementClass, shape: SwarmShape): ClassChoice {
  const coversSiteLoss = of.m >= of.cap;
  return {
    class: of,
    f: coversSiteLoss ? of.m - of.cap : 0,
    coversSiteLoss,
    notes: coversSiteLoss ? [] : [whyNoSiteLoss(of, shape)],
  };
}

function whyNoSiteLoss(of: PlacementClass, shape: SwarmShape): string {
  if (shape.sites.filter((holders) => holders > 0).length === 1) {
    return "All holders are at one site: the loss of that site is not covered.";
  }
  return (
    `${formatProfile(of)} puts up to ${of.cap} shards at one site and can lose ${of.m}: ` +
    "the loss of a site is not covered."
  );
}
