import type { PeerId } from "../base/ids.ts";
import { lastHeardMs } from "./hearings.ts";
import { type Liveness, type LivenessRules, seesMajority, sightOf } from "./liveness.ts";
import { OBSERVER_SITES_MAX, type UpkeepMember } from "./observers.ts";

/** A node that this one has not heard, as it says so to others. */
export interface SilentNode {
  readonly peer: PeerId;
  readonly silentSinceMs: number;
}

/** Up to so many members everybody speaks about everybody; beyond, so many about each: a quorum and some to spare. */
export const SPEAKERS_MAX = 12;
/** Of one node in one report; the longest silent first. */
export const SILENT_MAX = 256;

export interface ReportInput {
  readonly me: PeerId;
  readonly roster: readonly UpkeepMember[];
  readonly liveness: Liveness;
  readonly nowMs: number;
  readonly rules: LivenessRules;
}

/**
 * About whom this node has to say that it does not hear them. Of a large swarm only a few speak about each: those that
 * follow the silent one in the circle of ids, among the nodes that are up. If that comes to nothing, because those hear it
 * or keep quiet, everybody does.
 */
export function silencesToReport({ me, roster, liveness, nowMs, rules }: ReportInput): SilentNode[] {
  const { nodes, hearings } = liveness;
  const isCutOff = !seesMajority(sightOf(nodes.values()));
  const up = roster
    .filter(({ peer }) => peer === me || isUp(liveness, peer))
    .sort((a, b) => (a.peer < b.peer ? -1 : 1));
  return roster
    .flatMap((target): SilentNode[] => {
      const node = nodes.get(target.peer);
      if (target.peer === me || (node?.state !== "unreachable" && node?.state !== "absent")) return [];
      const known = hearings.get(target.peer);
      const heardMs = known === undefined ? undefined : lastHeardMs(known);
      // One that is back, but not for good yet, has been heard.
      const silentSinceMs = Math.max(node.sinceMs, heardMs ?? 0);
      const silentMs = nowMs - silentSinceMs;
      if (silentMs < rules.unreachableAfterMs) return [];
      const isOverdue = !isCutOff && node.state === "unreachable" && silentMs >= 2 * rules.unreachableAfterMs;
      const speaks = isOverdue || speakersAbout(target, up).some(({ peer }) => peer === me);
      return speaks ? [{ peer: target.peer, silentSinceMs }] : [];
    })
    .sort((a, b) => a.silentSinceMs - b.silentSinceMs || (a.peer < b.peer ? -1 : 1))
    .slice(0, SILENT_MAX);
}

function isUp({ nodes }: Liveness, peer: PeerId): boolean {
  const node = nodes.get(peer);
  if (node === undefined || !node.isHeard) return false;
  return node.state === "alive" || node.state === "draining";
}

/** @param up sorted by peer */
function speakersAbout(target: UpkeepMember, up: readonly UpkeepMember[]): readonly UpkeepMember[] {
  if (up.length <= SPEAKERS_MAX) return up;
  const first = up.findIndex(({ peer }) => peer > target.peer);
  const circle = first <= 0 ? up : [...up.slice(first), ...up.slice(0, first)];
  const speakers = circle.slice(0, SPEAKERS_MAX);
  const sites = new Set(speakers.map(({ site }) => site).filter((site) => site !== target.site));
  for (const member of circle.slice(SPEAKERS_MAX)) {
    if (sites.size >= OBSERVER_SITES_MAX) break;
    if (member.site === target.site || sites.has(member.site)) continue;
    sites.add(member.site);
    speakers.push(member);
  }
  return speakers;
}
