import type { PeerId } from "../base/ids.ts";
import { HOUR_MS } from "../base/units.ts";
import { type NodeLiveness, seesMajority, sightOf } from "./liveness.ts";
import type { UpkeepMember } from "./observers.ts";

/** What a node makes of how many others it sees. */
export type Weather =
  | { readonly kind: "calm" }
  /** So many vanished at once that it is a network that failed, not machines. */
  | { readonly kind: "frozen"; readonly untilMs: number; readonly gone: readonly PeerId[] }
  /** It is this node that is away. */
  | { readonly kind: "cut-off"; readonly seen: number; readonly of: number };

export interface StormRules {
  /** What falls silent within so long counts as at once. */
  readonly windowMs: number;
  readonly frozenMs: number;
  /** More than this part of the swarm is many. */
  readonly shareMax: number;
  readonly nodesMin: number;
}

export const STORM_RULES: StormRules = {
  windowMs: 6 * HOUR_MS,
  frozenMs: 72 * HOUR_MS,
  shareMax: 0.1,
  nodesMin: 3,
};

/**
 * A function of what is known now, without a memory of its own: when those who vanished are back, the frost is over.
 * Nodes with a planned outage are expected to be away and do not freeze anything.
 */
export function weatherOf(
  nodes: ReadonlyMap<PeerId, NodeLiveness>,
  roster: readonly UpkeepMember[],
  nowMs: number,
  rules: StormRules = STORM_RULES,
): Weather {
  const sight = sightOf(nodes.values());
  if (!seesMajority(sight)) return { kind: "cut-off", ...sight };
  const storm = newestStorm(nodes, roster, rules);
  if (storm === undefined || storm.atMs + rules.frozenMs <= nowMs) return { kind: "calm" };
  return { kind: "frozen", untilMs: storm.atMs + rules.frozenMs, gone: storm.gone };
}

interface Silent {
  readonly peer: PeerId;
  readonly site: string;
  readonly sinceMs: number;
}

interface Storm {
  /** When the last of those that make it a storm fell silent. */
  readonly atMs: number;
  readonly gone: readonly PeerId[];
}

function newestStorm(
  nodes: ReadonlyMap<PeerId, NodeLiveness>,
  roster: readonly UpkeepMember[],
  rules: StormRules,
): Storm | undefined {
  const counted = roster.filter(({ peer }) => nodes.get(peer)?.state !== "lost");
  const silent = counted
    .flatMap(({ peer, site }): Silent[] => {
      const node = nodes.get(peer);
      const isSilent = node?.state === "unreachable" || node?.state === "absent";
      return isSilent && node.plannedUntilMs === undefined ? [{ peer, site, sinceMs: node.sinceMs }] : [];
    })
    .sort((a, b) => a.sinceMs - b.sinceMs || (a.peer < b.peer ? -1 : 1));
  const members = new Map<string, number>();
  for (const { site } of counted) members.set(site, (members.get(site) ?? 0) + 1);
  // The window slides over the silent ones: `first` is the oldest that still counts as at once with `last`.
  let first = 0;
  let newest: Storm | undefined;
  const inWindow = new SiteCounts(members);
  for (const [index, last] of silent.entries()) {
    inWindow.add(last.site);
    while ((silent[first]?.sinceMs ?? last.sinceMs) < last.sinceMs - rules.windowMs) {
      const left = silent[first++];
      if (left !== undefined) inWindow.remove(left.site);
    }
    if (!inWindow.isStorm(counted.length, rules)) continue;
    const gone = silent.slice(first, index + 1).map(({ peer }) => peer);
    newest = { atMs: last.sinceMs, gone };
  }
  return newest;
}

/** Silent nodes of each site, with what makes them a storm counted along. */
class SiteCounts {
  readonly #members: ReadonlyMap<string, number>;
  readonly #silent = new Map<string, number>();
  #nodes = 0;
  #wholeSites = 0;

  constructor(members: ReadonlyMap<string, number>) {
    this.#members = members;
  }

  add(site: string): void {
    const count = (this.#silent.get(site) ?? 0) + 1;
    this.#silent.set(site, count);
    this.#nodes++;
    if (count === this.#members.get(site)) this.#wholeSites++;
  }

  remove(site: string): void {
    const count = this.#silent.get(site) ?? 0;
    if (count === this.#members.get(site)) this.#wholeSites--;
    if (count <= 1) this.#silent.delete(site);
    else this.#silent.set(site, count - 1);
    this.#nodes--;
  }

  isStorm(swarm: number, { nodesMin, shareMax }: StormRules): boolean {
    const isMany = this.#nodes >= nodesMin && this.#nodes > shareMax * swarm;
    return this.#wholeSites >= 2 || (isMany && this.#silent.size > 1);
  }
}

export type Permission =
  | { readonly kind: "repair" }
  /** Nobody else may be able to: what can be reached is copied, whatever the map says. */
  | { readonly kind: "copy-what-is-reachable" }
  | { readonly kind: "wait"; readonly why: "cut-off" | "frozen"; readonly untilMs: number | undefined };

export interface PermissionInput {
  /** Of what is present. */
  readonly margin: number;
  readonly ownerIsAlive: boolean;
}

/** Margin up to which a frozen swarm repairs all the same. */
const FROZEN_MARGIN_MAX = 1;

export function permissionFor(weather: Weather, { margin, ownerIsAlive }: PermissionInput): Permission {
  switch (weather.kind) {
    case "calm":
      return { kind: "repair" };
    case "frozen":
      if (margin <= FROZEN_MARGIN_MAX) return { kind: "repair" };
      return { kind: "wait", why: "frozen", untilMs: weather.untilMs };
    case "cut-off":
      if (margin <= 0 && !ownerIsAlive) return { kind: "copy-what-is-reachable" };
      return { kind: "wait", why: "cut-off", untilMs: undefined };
  }
}

/** Surplus copies and trash are touched in calm weather alone. */
export function mayDrop(weather: Weather): boolean {
  return weather.kind === "calm";
}
