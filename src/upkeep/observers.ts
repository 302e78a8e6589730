import type { PeerId } from "../base/ids.ts";

/** A node of the roster as upkeep sees it; removed ones are not in its lists. */
export interface UpkeepMember {
  readonly peer: PeerId;
  readonly site: string;
  /** When it became a member: it was silent before to nobody. */
  readonly sinceMs?: number | undefined;
  /** When administrators declared it lost for good; `undefined`: they did not. */
  readonly declaredLostMs?: number | undefined;
}

/** Who has to say that a node is silent before others believe it. */
export interface Quorum {
  readonly observers: number;
  /** Sites other than the target's that have to be among theirs. */
  readonly sites: number;
}

export const OBSERVERS_MAX = 3;
export const OBSERVER_SITES_MAX = 2;

/**
 * min(3, half of the others) observers at min(2, sites besides the target's) sites. `counted` are the members that are
 * not lost. Sites in `dark` have nobody left who could speak: a swarm that has lost one of three sites would otherwise
 * never again agree on anything.
 */
export function quorumFor(
  target: UpkeepMember,
  counted: readonly UpkeepMember[],
  dark: ReadonlySet<string>,
): Quorum {
  const others = counted.filter(({ peer }) => peer !== target.peer).length;
  const sites = new Set(counted.map(({ site }) => site));
  sites.delete(target.site);
  for (const site of dark) sites.delete(site);
  return {
    observers: Math.max(1, Math.min(OBSERVERS_MAX, Math.ceil(others / 2))),
    sites: Math.min(OBSERVER_SITES_MAX, sites.size),
  };
}

/** Whether these observers, each counted once and the target never, are enough. */
export function isQuorum(
  target: UpkeepMember,
  observers: Iterable<UpkeepMember>,
  { observers: observersMin, sites: sitesMin }: Quorum,
): boolean {
  const peers = new Set<PeerId>();
  const sites = new Set<string>();
  for (const { peer, site } of observers) {
    if (peer === target.peer) continue;
    peers.add(peer);
    if (site !== target.site) sites.add(site);
  }
  return peers.size >= observersMin && sites.size >= sitesMin;
}

/** Sites all of whose members are in `gone`. */
export function darkSites(counted: readonly UpkeepMember[], gone: ReadonlySet<PeerId>): Set<string> {
  const dark = new Set(counted.map(({ site }) => site));
  for (const { peer, site } of counted) if (!gone.has(peer)) dark.delete(site);
  return dark;
}
