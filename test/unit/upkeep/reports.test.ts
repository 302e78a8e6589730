import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import type { PeerId } from "../../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import {
  isQuorum,
  LIVENESS_RULES,
  type Liveness,
  type Observation,
  quorumFor,
  type SilentNode,
  SPEAKERS_MAX,
  silencesToReport,
  startListening,
  stepLiveness,
  type UpkeepMember,
} from "../../../src/upkeep/index.ts";
import { membersOf } from "./world.ts";

const START_MS = 1_000_000_000;

/** What one node knows that has heard these, and nobody else, until then. */
function viewOf(
  me: PeerId,
  roster: readonly UpkeepMember[],
  heard: readonly PeerId[],
  nowMs: number,
  more: readonly Observation[] = [],
): Liveness {
  const contacts = heard.map((peer): Observation => ({ kind: "contact", peer, atMs: nowMs }));
  const rules = LIVENESS_RULES;
  return stepLiveness(startListening(START_MS), {
    me,
    roster,
    observations: [...contacts, ...more],
    nowMs,
    rules,
  });
}

function said(
  me: PeerId,
  roster: readonly UpkeepMember[],
  silent: readonly PeerId[],
  nowMs: number,
): SilentNode[] {
  const heard = roster.map(({ peer }) => peer).filter((peer) => peer !== me && !silent.includes(peer));
  const liveness = viewOf(me, roster, heard, nowMs);
  return silencesToReport({ me, roster, liveness, nowMs, rules: LIVENESS_RULES });
}

describe("whom a node says that it does not hear", () => {
  test("is everybody silent for long enough, in a small swarm", () => {
    const roster = membersOf([2, 2, 2]);
    const [me, dead] = roster.map(({ peer }) => peer);
    const silent = [must(dead, "node")];
    expect(said(must(me, "node"), roster, silent, START_MS + 29 * MINUTE_MS)).toEqual([]);
    expect(said(must(me, "node"), roster, silent, START_MS + 31 * MINUTE_MS)).toEqual([
      { peer: dead, silentSinceMs: START_MS },
    ]);
  });

  test("is said by a few of a large swarm, who are a quorum, and by all when that came to nothing", () => {
    const roster = membersOf([40, 40, 20]);
    for (const target of [
      must(roster[0], "member"),
      must(roster[55], "member"),
      must(roster[99], "member"),
    ]) {
      const speakersAt = (nowMs: number) =>
        roster.filter(
          ({ peer }) => peer !== target.peer && said(peer, roster, [target.peer], nowMs).length > 0,
        );
      const speakers = speakersAt(START_MS + 31 * MINUTE_MS);
      expect(speakers.length).toBeGreaterThanOrEqual(SPEAKERS_MAX);
      expect(speakers.length).toBeLessThanOrEqual(SPEAKERS_MAX + 2);
      expect(isQuorum(target, speakers, quorumFor(target, roster, new Set()))).toBe(true);
      expect(speakersAt(START_MS + 61 * MINUTE_MS)).toHaveLength(roster.length - 1);
    }
  });

  test("is left to the few by a node that is cut off, however long it lasts", () => {
    const roster = membersOf([40, 40, 20]);
    const silent = roster.slice(30).map(({ peer }) => peer);
    const speakers = roster
      .slice(0, 30)
      .map(({ peer }) => said(peer, roster, silent, START_MS + 5 * HOUR_MS));
    const about = Map.groupBy(speakers.flat(), ({ peer }) => peer);
    expect(about.size).toBe(silent.length);
    for (const reports of about.values()) expect(reports.length).toBeLessThanOrEqual(SPEAKERS_MAX + 2);
  });

  test("is not one that was heard since, though it does not count as back yet", () => {
    const roster = membersOf([1, 1, 1]);
    const [me, b, c] = roster.map(({ peer }) => peer) as [PeerId, PeerId, PeerId];
    const nowMs = START_MS + HOUR_MS;
    const report: Observation = {
      kind: "silence",
      target: c,
      observer: b,
      silentSinceMs: START_MS,
      atMs: nowMs,
    };
    const away = viewOf(me, roster, [b], nowMs, [report]);
    expect(away.nodes.get(c)?.state).toBe("absent");
    const laterMs = nowMs + MINUTE_MS;
    const contact: Observation = { kind: "contact", peer: c, atMs: laterMs };
    const liveness = stepLiveness(away, {
      me,
      roster,
      observations: [contact],
      nowMs: laterMs,
      rules: LIVENESS_RULES,
    });
    expect(liveness.nodes.get(c)?.state).toBe("absent");
    expect(silencesToReport({ me, roster, liveness, nowMs: laterMs, rules: LIVENESS_RULES })).toEqual([]);
  });
});
