import type { PeerId } from "../base/ids.ts";
import type { HeardRun } from "./hearings.ts";
import { seesMajority } from "./liveness.ts";

/** What a node has heard itself, for what it can say about a time that is over. */
export interface OwnHearings {
  readonly self: PeerId;
  readonly runsOf: (peer: PeerId) => readonly HeardRun[];
}

/** A time that is over; its beginning is not in it. */
export interface TimeSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a node itself can say of a time in which others say that somebody was silent. */
export interface OwnSight {
  /** `among-most`: at a moment at which it heard more than half of the swarm. */
  readonly target: "unheard" | "heard" | "heard-among-most";
  /** This node, and whom it heard for a while. */
  readonly heard: ReadonlySet<PeerId>;
  /** It saw no more than half of the swarm all that time. */
  readonly wasCutOff: boolean;
}

interface Change {
  readonly atMs: number;
  readonly step: 1 | -1;
  readonly isTarget: boolean;
}

/**
 * What was heard of the target, and of how many others (`counted`) at the same moment. Single beats that come late lie
 * somewhere in the middle of a silence, each at another time, so that moments are compared and not whole times, and one
 * beat alone is no company.
 */
export function sightIn(
  target: PeerId,
  counted: ReadonlySet<PeerId>,
  time: TimeSpan,
  { self, runsOf }: OwnHearings,
): OwnSight {
  const changes: Change[] = [];
  const heard = new Set([self]);
  for (const peer of new Set([...counted, target])) {
    if (peer === self && peer !== target) continue;
    for (const run of runsOf(peer)) {
      const atMs = Math.max(run.fromMs, time.fromMs);
      const endMs = Math.min(run.toMs, time.toMs);
      if (run.toMs <= time.fromMs || run.fromMs > time.toMs) continue;
      if (run.toMs > run.fromMs) heard.add(peer);
      const isOther = counted.has(peer) && peer !== self;
      for (const isTarget of [...(isOther ? [false] : []), ...(peer === target ? [true] : [])])
        changes.push({ atMs, step: 1, isTarget }, { atMs: endMs, step: -1, isTarget });
    }
  }
  return { heard, ...throughChanges(changes, counted.has(self) ? 1 : 0, counted.size) };
}

function throughChanges(
  changes: readonly Change[],
  alone: number,
  of: number,
): Pick<OwnSight, "target" | "wasCutOff"> {
  let seen = alone;
  let isHeard = false;
  let target: OwnSight["target"] = "unheard";
  let sawMost = seesMajority({ seen, of });
  // Of what ends at the moment at which something begins both are heard.
  for (const { step, isTarget } of changes.toSorted((a, b) => a.atMs - b.atMs || b.step - a.step)) {
    if (isTarget) isHeard = step === 1;
    else seen += step;
    const seesMost = seesMajority({ seen, of });
    sawMost ||= seesMost;
    if (isHeard && target !== "heard-among-most") target = seesMost ? "heard-among-most" : "heard";
  }
  return { target, wasCutOff: !sawMost };
}
