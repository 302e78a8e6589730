import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { must } from "../../src/base/assert.ts";
import type { PeerId } from "../../src/base/ids.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import {
  LIVENESS_RULES,
  type Liveness,
  type Observation,
  startListening,
  stepLiveness,
  type UpkeepMember,
  type Weather,
  weatherOf,
} from "../../src/upkeep/index.ts";
import { peerNamed, shapesUpTo } from "../unit/placement/nodes.ts";
import { membersOf } from "../unit/upkeep/world.ts";

const STEP_MS = 10 * MINUTE_MS;
/** Written off after six hours instead of two weeks. */
const RULES = { ...LIVENESS_RULES, lostAfterMs: 6 * HOUR_MS };

/** All nodes of a swarm, each with its own view: who can talk hears the others, and what they say of third ones. */
class Swarm {
  readonly roster: readonly UpkeepMember[];
  nowMs = 1_000_000_000;
  /** Who can talk with whom; nobody is in two. A node in none is dead. */
  groups: readonly (readonly PeerId[])[];
  readonly #views: Map<PeerId, Liveness>;

  constructor(roster: readonly UpkeepMember[]) {
    this.roster = roster;
    this.groups = [roster.map(({ peer }) => peer)];
    this.#views = new Map(roster.map(({ peer }) => [peer, startListening(this.nowMs)]));
    this.pass(HOUR_MS);
  }

  kill(peer: PeerId): void {
    this.groups = this.groups.map((group) => group.filter((other) => other !== peer));
  }

  pass(durationMs: number): void {
    for (const endMs = this.nowMs + durationMs; this.nowMs < endMs; ) {
      this.nowMs += STEP_MS;
      for (const group of this.groups) {
        const said = group.flatMap((peer) => this.#silencesSeenBy(peer));
        for (const me of group) this.#step(me, group, said);
      }
    }
  }

  #step(me: PeerId, group: readonly PeerId[], said: readonly Observation[]): void {
    const contacts = group
      .filter((peer) => peer !== me)
      .map((peer): Observation => ({ kind: "contact", peer, atMs: this.nowMs }));
    const { roster, nowMs } = this;
    const observations = [...contacts, ...said];
    this.#views.set(me, stepLiveness(this.viewOf(me), { me, roster, observations, nowMs, rules: RULES }));
  }

  #silencesSeenBy(observer: PeerId): Observation[] {
    return [...this.viewOf(observer).nodes].flatMap(([target, { state, sinceMs }]): Observation[] =>
      state === "unreachable" || state === "absent"
        ? [{ kind: "silence", target, observer, silentSinceMs: sinceMs, atMs: this.nowMs }]
        : [],
    );
  }

  viewOf(peer: PeerId): Liveness {
    return must(this.#views.get(peer), "view");
  }

  /** What those who are up say of one node. */
  statesOf(peer: PeerId): Set<string | undefined> {
    return new Set(this.groups.flat().map((observer) => this.viewOf(observer).nodes.get(peer)?.state));
  }

  weatherAt(peer: PeerId): Weather {
    return weatherOf(this.viewOf(peer).nodes, this.roster, this.nowMs, {
      windowMs: HOUR_MS,
      frozenMs: 3 * HOUR_MS,
      shareMax: 0.1,
      nodesMin: 3,
    });
  }
}

const shapes = [...shapesUpTo(12, 4)].filter(
  (shape) => shape.length >= 2 && shape.reduce((sum, count) => sum + count, 0) >= 3,
);
const shape = fc.constantFrom(...shapes);

describe("a swarm of 3 to 12 nodes at 2 to 4 sites", () => {
  test("agrees within two hours that a node is away, wherever it was, and may act", () => {
    fc.assert(
      fc.property(shape, fc.nat(), (sites, which) => {
        const roster = membersOf(sites);
        const swarm = new Swarm(roster);
        const { peer } = must(roster[which % roster.length], "member");
        swarm.kill(peer);
        swarm.pass(2 * HOUR_MS);
        expect(swarm.statesOf(peer)).toEqual(new Set(["absent"]));
        for (const other of swarm.groups.flat()) expect(swarm.weatherAt(other).kind).toBe("calm");
      }),
      { numRuns: 60 },
    );
  });

  test("goes on to agree while one node after the other dies, until two are left", () => {
    fc.assert(
      fc.property(
        shape.chain((sites) => {
          const roster = membersOf(sites);
          return fc.shuffledSubarray(roster, { minLength: roster.length, maxLength: roster.length });
        }),
        (roster) => {
          const swarm = new Swarm(roster);
          for (const { peer } of roster.slice(0, -2)) {
            swarm.kill(peer);
            swarm.pass(2 * HOUR_MS);
            expect(swarm.statesOf(peer)).toEqual(new Set(["absent"]));
            for (const other of swarm.groups.flat()) expect(swarm.weatherAt(other).kind).not.toBe("cut-off");
            swarm.pass(RULES.lostAfterMs);
            expect(swarm.statesOf(peer)).toEqual(new Set(["lost"]));
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  test("split in two: at most one side may act, the smaller writes nobody off, and all are back when it heals", () => {
    fc.assert(
      fc.property(shape, fc.nat(), fc.integer({ min: 1, max: 20 }), (sites, cut, hours) => {
        const roster = membersOf(sites);
        const swarm = new Swarm(roster);
        const peers = roster.map(({ peer }) => peer);
        const small = peers.filter((_, i) => ((cut >>> i) & 1) === 1).slice(0, Math.floor(peers.length / 2));
        swarm.groups = [small, peers.filter((peer) => !small.includes(peer))];
        swarm.pass(hours * HOUR_MS);
        for (const peer of small) {
          expect(swarm.weatherAt(peer).kind).toBe("cut-off");
          const states = [...swarm.viewOf(peer).nodes.values()].map(({ state }) => state);
          expect(states).not.toContain("lost");
        }
        swarm.groups = [peers];
        swarm.pass(HOUR_MS);
        for (const peer of peers) {
          expect(swarm.statesOf(peer)).toEqual(new Set(["alive"]));
          expect(swarm.weatherAt(peer)).toEqual({ kind: "calm" });
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("stepLiveness", () => {
  const roster = membersOf([2, 2, 1]);
  const me = peerNamed("0-0");
  const observation = fc
    .record({
      kind: fc.constantFrom("contact" as const, "beat" as const, "silence" as const),
      target: fc.nat({ max: 5 }),
      observer: fc.nat({ max: 5 }),
      atMs: fc.integer({ min: 0, max: 100 }).map((minutes) => minutes * MINUTE_MS),
      silentMs: fc.integer({ min: 0, max: 100 }).map((minutes) => minutes * MINUTE_MS),
      epoch: fc.nat({ max: 3 }),
      draining: fc.boolean(),
    })
    .map(({ kind, target, observer, atMs, silentMs, epoch, draining }): Observation => {
      const peer = roster[target]?.peer ?? peerNamed("stranger");
      if (kind === "contact") return { kind, peer, atMs };
      if (kind === "silence") {
        const by = roster[observer]?.peer ?? peerNamed("stranger");
        return { kind, target: peer, observer: by, silentSinceMs: atMs - silentMs, atMs };
      }
      return { kind, peer, epoch, sentMs: atMs, receivedMs: atMs, draining, outageUntilMs: undefined };
    });
  const input = (observations: readonly Observation[]) => ({
    me,
    roster,
    observations,
    nowMs: 100 * MINUTE_MS,
    rules: LIVENESS_RULES,
  });

  test("says the same again when nothing is new, and forgets strangers", () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 30 }), (observations) => {
        const once = stepLiveness(startListening(0), input(observations));
        expect(stepLiveness(once, input([]))).toEqual(once);
        expect(stepLiveness(once, input(observations)).nodes).toEqual(once.nodes);
        expect([...once.nodes.keys()].sort()).toEqual(roster.map(({ peer }) => peer).sort());
        expect(once.hearings.has(peerNamed("stranger"))).toBe(false);
      }),
    );
  });

  test("no number of reports makes anybody alive, and none changes a node that this one hears", () => {
    fc.assert(
      fc.property(
        fc.array(observation, { maxLength: 30 }),
        fc.array(observation, { maxLength: 30 }),
        (some, more) => {
          const reports = more.filter(({ kind }) => kind === "silence");
          const before = stepLiveness(startListening(0), input(some)).nodes;
          const after = stepLiveness(startListening(0), input([...some, ...reports])).nodes;
          for (const [peer, { state }] of before) {
            if (state === "alive" || state === "draining") expect(after.get(peer)?.state).toBe(state);
            else expect(["unreachable", "absent"]).toContain(after.get(peer)?.state);
          }
        },
      ),
    );
  });
});
