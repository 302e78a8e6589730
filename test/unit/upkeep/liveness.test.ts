import { describe, expect, test } from "vitest";
import { must } from "../../../src/base/assert.ts";
import type { PeerId } from "../../../src/base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../src/base/units.ts";
import {
  LIVENESS_RULES,
  lastHeardMs,
  type Observation,
  quorumFor,
  REPORTS_MAX,
  RUNS_MAX,
  resumeListening,
} from "../../../src/upkeep/index.ts";
import { peerNamed } from "../placement/nodes.ts";
import { membersAt, membersOf, Watcher } from "./world.ts";

const [a, b, c, d] = ["a", "b", "c", "d"].map(peerNamed) as [PeerId, PeerId, PeerId, PeerId];
const FOUR = membersAt({ a: "x", b: "y", c: "z", d: "z" });

function beat(peer: PeerId, epoch: number, sentMs: number, changes: Partial<Observation> = {}): Observation {
  return {
    kind: "beat",
    peer,
    epoch,
    sentMs,
    receivedMs: sentMs,
    draining: false,
    outageUntilMs: undefined,
    ...changes,
  } as Observation;
}

describe("liveness", () => {
  test("silence makes unreachable after half an hour, and one more hearing alive again", () => {
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    const silentMs = watch.nowMs;
    watch.pass(25 * MINUTE_MS, [b, c]);
    expect(watch.state(d)).toBe("alive");
    watch.pass(10 * MINUTE_MS, [b, c]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "unreachable", sinceMs: silentMs });
    watch.pass(5 * MINUTE_MS, [b, c, d]);
    expect(watch.state(d)).toBe("alive");
  });

  test("absent takes other observers: this node's own silence is not enough, nor are two of one site", () => {
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    const sinceMs = watch.nowMs;
    watch.pass(3 * HOUR_MS, [b, c]);
    expect(watch.state(d)).toBe("unreachable");
    // c is at d's own site: it is an observer, its site counts for nothing.
    watch.pass(MINUTE_MS, [b, c], [{ by: [c], of: d, sinceMs }]);
    expect(watch.state(d)).toBe("unreachable");
    watch.pass(MINUTE_MS, [b, c], [{ by: [b], of: d, sinceMs: sinceMs + 7 * MINUTE_MS }]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({
      state: "absent",
      sinceMs: sinceMs + 7 * MINUTE_MS,
    });
  });

  test("reports by the target, by strangers, too old or too short are not counted", () => {
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    const sinceMs = watch.nowMs;
    watch.pass(3 * HOUR_MS, [b, c], [{ by: [d, peerNamed("stranger")], of: d, sinceMs }]);
    expect(watch.state(d)).toBe("unreachable");
    watch.pass(MINUTE_MS, [b, c], [{ by: [b], of: d, sinceMs: watch.nowMs - 20 * MINUTE_MS }]);
    expect(watch.state(d)).toBe("unreachable");
  });

  test("a report counts for two hours", () => {
    const stateAfter = (ageMs: number) => {
      const watch = new Watcher(a, FOUR);
      const sinceMs = watch.nowMs;
      watch.nowMs += 5 * HOUR_MS;
      const atMs = watch.nowMs - ageMs;
      watch.see({ kind: "silence", target: d, observer: b, silentSinceMs: sinceMs, atMs });
      return watch.state(d);
    };
    expect(stateAfter(LIVENESS_RULES.reportValidMs)).toBe("absent");
    expect(stateAfter(LIVENESS_RULES.reportValidMs + 1)).toBe("unreachable");
  });

  test("whom this node hears is alive whatever others say", () => {
    const watch = new Watcher(a, FOUR);
    const sinceMs = watch.nowMs - 5 * HOUR_MS;
    watch.pass(3 * HOUR_MS, [b, c, d], [{ by: [b, c], of: d, sinceMs }]);
    expect(watch.state(d)).toBe("alive");
  });

  test("an absent node is back only after it was heard for half an hour, and keeps its first absence until then", () => {
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    const sinceMs = watch.nowMs;
    watch.pass(2 * HOUR_MS, [b, c], [{ by: [b], of: d, sinceMs }]);
    expect(watch.state(d)).toBe("absent");
    watch.pass(10 * MINUTE_MS, [b, c, d]);
    watch.pass(2 * HOUR_MS, [b, c]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "absent", sinceMs });
    watch.pass(45 * MINUTE_MS, [b, c, d]);
    expect(watch.state(d)).toBe("alive");
  });

  test("a replayed or withheld beat of a dead node is not heard, its next one is", () => {
    const watch = new Watcher(a, FOUR);
    watch.see(beat(d, 5, watch.nowMs));
    const startMs = watch.nowMs;
    watch.nowMs += 2 * HOUR_MS;
    watch.see(beat(d, 5, startMs, { receivedMs: watch.nowMs } as Partial<Observation>));
    expect(watch.state(d)).toBe("unreachable");
    // Signed before it died, let go now: it counts for 75 min after it was signed.
    watch.see(beat(d, 6, startMs + MINUTE_MS, { receivedMs: watch.nowMs } as Partial<Observation>));
    expect(lastHeardMs(must(watch.liveness.hearings.get(d), "hearings"))).toBe(startMs + 76 * MINUTE_MS);
    expect(watch.state(d)).toBe("unreachable");
    watch.see(beat(d, 7, watch.nowMs));
    expect(watch.state(d)).toBe("alive");
  });

  test("a newcomer is not silent since before it was a member, but from then on", () => {
    const watch = new Watcher(
      a,
      FOUR.filter(({ peer }) => peer !== d),
    );
    watch.pass(3 * DAY_MS, [b, c]);
    const joinedMs = watch.nowMs;
    watch.roster = FOUR.map((member) => (member.peer === d ? { ...member, sinceMs: joinedMs } : member));
    watch.pass(20 * MINUTE_MS, [b, c]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "alive", isHeard: false, sinceMs: joinedMs });
    watch.pass(2 * HOUR_MS, [b, c]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "unreachable", sinceMs: joinedMs });
  });

  test("draining follows the node's own word, and an outage it announced is kept while it is silent", () => {
    const watch = new Watcher(a, FOUR);
    watch.see(beat(d, 1, watch.nowMs, { draining: true } as Partial<Observation>));
    expect(watch.state(d)).toBe("draining");
    const untilMs = watch.nowMs + 3 * DAY_MS;
    watch.see(beat(d, 2, watch.nowMs, { outageUntilMs: untilMs } as Partial<Observation>));
    expect(watch.state(d)).toBe("alive");
    watch.nowMs += MINUTE_MS;
    // An older one, replayed, takes nothing back.
    watch.see(beat(d, 1, watch.nowMs, { draining: true } as Partial<Observation>));
    expect(watch.state(d)).toBe("alive");
    watch.pass(DAY_MS, [b, c]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "unreachable", plannedUntilMs: untilMs });
  });

  test("an outage longer than two weeks is believed for two weeks", () => {
    const watch = new Watcher(a, FOUR);
    watch.see(beat(d, 1, watch.nowMs, { outageUntilMs: watch.nowMs + 400 * DAY_MS } as Partial<Observation>));
    expect(watch.liveness.nodes.get(d)?.plannedUntilMs).toBe(watch.nowMs + 14 * DAY_MS);
  });

  test("long absent is lost, for a node that sees most of the swarm; a cut-off one writes nobody off", () => {
    const sinceOf = (watch: Watcher) => [{ by: [b], of: d, sinceMs: watch.nowMs }];
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    const reports = sinceOf(watch);
    watch.pass(15 * DAY_MS, [b, c], reports);
    expect(watch.state(d)).toBe("lost");
    watch.pass(45 * MINUTE_MS, [b, c, d]);
    expect(watch.state(d)).toBe("alive");

    const alone = new Watcher(a, FOUR);
    alone.pass(HOUR_MS, [b, c, d]);
    const since = sinceOf(alone);
    alone.pass(2 * HOUR_MS, [b, c], since);
    expect(alone.state(d)).toBe("absent");
    alone.pass(20 * DAY_MS, []);
    expect(alone.state(d)).toBe("absent");
  });

  test("what administrators declared lost stays lost though it is heard", () => {
    const watch = new Watcher(
      a,
      FOUR.map((one) => (one.peer === d ? { ...one, declaredLostMs: 7 } : one)),
    );
    watch.pass(HOUR_MS, [b, c, d]);
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "lost", sinceMs: 7 });
  });

  test("when administrators take that back it is what it was: an absent node stays so until it was heard for long", () => {
    const declared = (peer: PeerId) =>
      FOUR.map((one) => (one.peer === peer ? { ...one, declaredLostMs: 7 } : one));
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    watch.roster = declared(d);
    watch.pass(5 * MINUTE_MS, [b, c, d]);
    expect(watch.liveness.nodes.get(d)?.state).toBe("lost");
    watch.roster = FOUR;
    watch.see();
    expect(watch.liveness.nodes.get(d)?.state).toBe("alive");
    const sinceMs = watch.nowMs;
    watch.pass(2 * HOUR_MS, [b, c], [{ by: [b], of: d, sinceMs }]);
    expect(watch.liveness.nodes.get(d)?.state).toBe("absent");
    watch.roster = declared(d);
    watch.see();
    watch.roster = FOUR;
    watch.pass(5 * MINUTE_MS, [b, c, d]);
    expect(watch.liveness.nodes.get(d)?.state).toBe("lost");
    watch.pass(35 * MINUTE_MS, [b, c, d]);
    expect(watch.liveness.nodes.get(d)?.state).toBe("alive");
  });

  test("after a restart nobody fell silent meanwhile, and nobody counts as seen before it is heard", () => {
    const watch = new Watcher(a, FOUR);
    watch.pass(HOUR_MS, [b, c, d]);
    const sinceMs = watch.nowMs;
    watch.pass(2 * HOUR_MS, [b, c], [{ by: [b], of: d, sinceMs }]);
    watch.nowMs += 10 * HOUR_MS;
    watch.liveness = resumeListening(watch.liveness, watch.nowMs);
    watch.see();
    expect(watch.liveness.nodes.get(b)).toMatchObject({ state: "alive", isHeard: false });
    expect(watch.liveness.nodes.get(d)).toMatchObject({ state: "absent", sinceMs });
    watch.pass(HOUR_MS, [c]);
    expect(watch.liveness.nodes.get(b)?.state).toBe("unreachable");
    expect(watch.liveness.nodes.get(b)?.sinceMs).toBeGreaterThanOrEqual(sinceMs + 12 * HOUR_MS);
  });
});

describe("the quorum in small swarms", () => {
  const none = new Set<string>();
  test.each([
    { shape: [1, 1, 1], observers: 1, sites: 2 },
    { shape: [2, 2], observers: 2, sites: 1 },
    { shape: [3, 2], observers: 2, sites: 1 },
    { shape: [5], observers: 2, sites: 0 },
    { shape: [3, 3, 3], observers: 3, sites: 2 },
    { shape: [4, 4, 4], observers: 3, sites: 2 },
    { shape: [1, 1], observers: 1, sites: 1 },
  ])("$shape: $observers observers at $sites sites", ({ shape, observers, sites }) => {
    const members = membersOf(shape);
    expect(quorumFor(must(members[0], "member"), members, none)).toEqual({ observers, sites });
  });

  test("nine at three sites of which one burnt down: a further loss at the others is still noticed", () => {
    const roster = membersOf([3, 3, 3]);
    const at = (site: number, node: number) => peerNamed(`${site}-${node}`);
    const watch = new Watcher(at(0, 0), roster);
    watch.pass(
      HOUR_MS,
      roster.map(({ peer }) => peer),
    );
    const burntMs = watch.nowMs;
    const rest = [at(0, 1), at(0, 2), at(1, 0), at(1, 1), at(1, 2)];
    const burnt = [0, 1, 2].map((node) => ({ by: rest, of: at(2, node), sinceMs: burntMs }));
    watch.pass(2 * HOUR_MS, rest, burnt);
    expect(burnt.map(({ of }) => watch.state(of))).toEqual(["absent", "absent", "absent"]);
    // One at this node's own site: the only other site that can speak is site1.
    const sinceMs = watch.nowMs;
    const further = { by: [at(1, 0), at(1, 1)], of: at(0, 1), sinceMs };
    watch.pass(2 * HOUR_MS, rest.slice(1), [...burnt, further]);
    expect(watch.state(at(0, 1))).toBe("absent");
  });

  test("a cut-off site cannot agree that another site is away", () => {
    const roster = membersOf([3, 3, 3]);
    const mine = [1, 2].map((node) => peerNamed(`0-${node}`));
    const watch = new Watcher(peerNamed("0-0"), roster);
    watch.pass(
      HOUR_MS,
      roster.map(({ peer }) => peer),
    );
    const others = roster.filter(({ site }) => site !== "site0");
    const reports = others.map(({ peer }) => ({ by: mine, of: peer, sinceMs: watch.nowMs }));
    watch.pass(5 * HOUR_MS, mine, reports);
    expect(new Set(others.map(({ peer }) => watch.state(peer)))).toEqual(new Set(["unreachable"]));
  });
});

test("what was heard when is known of the last sixteen runs", () => {
  const watch = new Watcher(a, FOUR);
  watch.pass(HOUR_MS, [d]);
  const goneMs = watch.nowMs;
  watch.pass(5 * HOUR_MS, [b]);
  const backMs = watch.nowMs;
  watch.pass(HOUR_MS, [d]);
  const known = must(watch.liveness.hearings.get(d), "hearings");
  const wasHeard = (fromMs: number, toMs: number) =>
    known.runs.some((run) => run.toMs > fromMs && run.fromMs <= toMs);
  expect(wasHeard(goneMs, backMs)).toBe(false);
  expect(wasHeard(goneMs - 1, backMs)).toBe(true);
  expect(wasHeard(goneMs, backMs + HOUR_MS)).toBe(true);
});

test("runs and reports of one node are bounded, however often it comes and goes and whoever reports", () => {
  const crowd = [...FOUR, ...membersOf([40])];
  const watch = new Watcher(a, crowd);
  for (let i = 0; i < RUNS_MAX + 4; i++) {
    watch.nowMs += HOUR_MS;
    watch.see({ kind: "contact", peer: d, atMs: watch.nowMs });
  }
  const { nowMs } = watch;
  watch.see(
    ...crowd.map(
      ({ peer }): Observation => ({
        kind: "silence",
        target: d,
        observer: peer,
        silentSinceMs: 0,
        atMs: nowMs,
      }),
    ),
  );
  const known = must(watch.liveness.hearings.get(d), "hearings");
  expect(known.runs.length).toBe(RUNS_MAX);
  expect(known.runs.at(-1)?.toMs).toBe(nowMs);
  expect(known.reports.length).toBe(REPORTS_MAX);
});
