import type { PeerId } from "../base/ids.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/units.ts";
import {
  type HearingRules,
  type Hearings,
  hear,
  hearingsUntil,
  inOrder,
  lastHeardMs,
  NOTHING_HEARD,
  type Observation,
} from "./hearings.ts";
import { darkSites, isQuorum, quorumFor, type UpkeepMember } from "./observers.ts";

/**
 * `unreachable`: this node has not heard it for a while. `absent`: enough observers say so; its shards are worth
 * replacing once their grace is over. `lost`: administrators say so, or it was absent for very long; it counts in no
 * share of the swarm any more. A node that comes back is taken back, unless administrators have declared it lost.
 */
export type LivenessState = "alive" | "draining" | "unreachable" | "absent" | "lost";

export interface NodeLiveness {
  readonly state: LivenessState;
  /** When this state began. Of `unreachable` and `absent`: when the node fell silent. */
  readonly sinceMs: number;
  /** End of an outage that it announced itself, while that lies ahead or its silence began in it. */
  readonly plannedUntilMs: number | undefined;
  /** This node has heard it since it began to listen: before that it can only be presumed to be up. */
  readonly isHeard: boolean;
  /** Lost by the administrators' word alone, so that it is what it was when they take that back. */
  readonly isDeclaredLost?: true;
}

export interface LivenessRules extends HearingRules {
  /** A report of silence counts for so long; observers renew theirs. */
  readonly reportValidMs: number;
  /** A node that was absent counts as back after it was heard for so long without a gap. */
  readonly returnStableMs: number;
  readonly lostAfterMs: number;
}

export const LIVENESS_RULES: LivenessRules = {
  unreachableAfterMs: 30 * MINUTE_MS,
  // Beats spread within a quarter of an hour; the rest is for clocks that are wrong by an hour, as after a change of
  // daylight saving time that one machine makes and another does not.
  beatSlackMs: 75 * MINUTE_MS,
  outageMaxMs: 14 * DAY_MS,
  reportValidMs: 2 * HOUR_MS,
  returnStableMs: 30 * MINUTE_MS,
  // Twice the longest grace: by then everything that it held was rebuilt, or could not be.
  lostAfterMs: 14 * DAY_MS,
};

/** What one node knows about the others. A value: `stepLiveness` makes the next one. */
export interface Liveness {
  /** When this node began to listen; it cannot say of anybody that it was silent before. */
  readonly startedMs: number;
  readonly hearings: ReadonlyMap<PeerId, Hearings>;
  readonly nodes: ReadonlyMap<PeerId, NodeLiveness>;
}

export interface LivenessInput {
  readonly me: PeerId;
  /** Every member, this node among them; who is not listed is forgotten. */
  readonly roster: readonly UpkeepMember[];
  readonly observations: readonly Observation[];
  readonly nowMs: number;
  readonly rules: LivenessRules;
}

export function startListening(startedMs: number): Liveness {
  return { startedMs, hearings: new Map(), nodes: new Map() };
}

/**
 * After this node itself was down, or its clock was set. Nobody fell silent meanwhile as far as it can tell: those that
 * were up are given until they are silent anew, those that were not have been so since before. What a clock that was
 * ahead has dated in the future is brought back to now.
 */
export function resumeListening(before: Liveness, nowMs: number): Liveness {
  return {
    startedMs: nowMs,
    hearings: new Map([...before.hearings].map(([peer, known]) => [peer, hearingsUntil(known, nowMs)])),
    nodes: new Map(
      [...before.nodes].map(([peer, node]) => [peer, { ...node, sinceMs: Math.min(node.sinceMs, nowMs) }]),
    ),
  };
}

/**
 * What is known after these observations, at this time. What was observed of strangers is left out, and what is dated
 * in the future. Called again with nothing new at the same time, it changes nothing.
 */
export function stepLiveness(before: Liveness, input: LivenessInput): Liveness {
  const hearings = heardOf(before, input);
  let nodes = before.nodes;
  // An absence can leave a site with nobody to ask, which makes further absences certain; each round but the last one
  // settles at least one node.
  for (let round = 0; round <= 2 * input.roster.length + 1; round++) {
    const next = judgeAll({ ...before, hearings, nodes }, input);
    const isSettled = input.roster.every(({ peer }) => next.get(peer)?.state === nodes.get(peer)?.state);
    nodes = next;
    if (isSettled) break;
  }
  return { startedMs: before.startedMs, hearings, nodes };
}

function judgeAll(before: Liveness, input: LivenessInput): ReadonlyMap<PeerId, NodeLiveness> {
  const counted = input.roster.filter(
    ({ peer, declaredLostMs }) => declaredLostMs === undefined && !isLostByItself(before.nodes.get(peer)),
  );
  const gone = new Set(counted.filter(({ peer }) => isGone(before.nodes.get(peer))).map(({ peer }) => peer));
  const byPeer = new Map(counted.map((member) => [member.peer, member]));
  const judge: Judge = { ...input, before, counted, byPeer, dark: darkSites(counted, gone) };
  const nodes = new Map(input.roster.map((member) => [member.peer, judgeNode(member, judge)]));
  return withLongAbsentLost(nodes, input);
}

function isGone(node: NodeLiveness | undefined): boolean {
  return node?.state === "absent" || node?.state === "lost";
}

/** Not by the administrators' word, which the roster has as long as it holds. */
function isLostByItself(node: NodeLiveness | undefined): boolean {
  return node?.state === "lost" && node.isDeclaredLost !== true;
}

function heardOf(before: Liveness, input: LivenessInput): Map<PeerId, Hearings> {
  const members = new Set(input.roster.map(({ peer }) => peer));
  const hearings = new Map([...before.hearings].filter(([peer]) => members.has(peer)));
  for (const one of inOrder(input.observations, input.nowMs)) {
    const peer = "target" in one ? one.target : one.peer;
    if (!members.has(peer)) continue;
    hearings.set(peer, hear(hearings.get(peer) ?? NOTHING_HEARD, one, input.rules));
  }
  return hearings;
}

interface Judge extends LivenessInput {
  readonly before: Liveness;
  /** Members that are not lost. */
  readonly counted: readonly UpkeepMember[];
  readonly byPeer: ReadonlyMap<PeerId, UpkeepMember>;
  readonly dark: ReadonlySet<string>;
}

function judgeNode(member: UpkeepMember, judge: Judge): NodeLiveness {
  const { before, nowMs, rules } = judge;
  const known = before.hearings.get(member.peer) ?? NOTHING_HEARD;
  const previous = before.nodes.get(member.peer);
  const listenedMs = Math.max(before.startedMs, Math.min(member.sinceMs ?? 0, nowMs));
  const heardMs = heardUntil(known, previous, listenedMs);
  const plannedUntilMs = plannedUntil(known, heardMs, nowMs);
  const isMe = member.peer === judge.me;
  const isHeard = isMe || (lastHeardMs(known) ?? Number.NEGATIVE_INFINITY) >= before.startedMs;
  const is = (state: LivenessState, sinceMs: number): NodeLiveness => ({
    state,
    sinceMs: previous?.state === state ? previous.sinceMs : sinceMs,
    plannedUntilMs,
    isHeard,
  });
  const wasGone = isGone(previous) && previous?.isDeclaredLost !== true;
  if (member.declaredLostMs !== undefined)
    return { ...is("lost", member.declaredLostMs), ...(wasGone ? {} : { isDeclaredLost: true }) };
  if (previous !== undefined && wasGone && !isMe && !isBack(known, judge)) {
    // Only being heard ends an absence: that reports have expired does not.
    return is(previous.state, previous.sinceMs);
  }
  if (isMe || nowMs - heardMs < rules.unreachableAfterMs) {
    if (known.drainingSinceMs !== undefined) return is("draining", known.drainingSinceMs);
    return is("alive", isMe ? before.startedMs : (known.runs.at(-1)?.fromMs ?? listenedMs));
  }
  const absentSinceMs = agreedSilence(member, heardMs, known, judge);
  return absentSinceMs === undefined ? is("unreachable", heardMs) : is("absent", absentSinceMs);
}

/** The last time at which it was not silent. While this node did not listen for it, it was not. */
function heardUntil(known: Hearings, previous: NodeLiveness | undefined, listenedMs: number): number {
  const wasSilent = previous?.state === "unreachable" || previous?.state === "absent";
  return Math.max(lastHeardMs(known) ?? 0, wasSilent ? previous.sinceMs : listenedMs);
}

function isBack({ runs }: Hearings, { nowMs, rules }: Judge): boolean {
  const run = runs.at(-1);
  if (run === undefined || nowMs - run.toMs >= rules.unreachableAfterMs) return false;
  return run.toMs - run.fromMs >= rules.returnStableMs;
}

function plannedUntil({ outage }: Hearings, heardMs: number, nowMs: number): number | undefined {
  if (outage === undefined) return undefined;
  return outage.untilMs > nowMs || heardMs < outage.untilMs ? outage.untilMs : undefined;
}

/**
 * Since when enough observers, this node among them, have not heard it: the latest of their times, which starts the
 * grace late rather than early. `undefined` when they are too few.
 */
function agreedSilence(
  target: UpkeepMember,
  heardMs: number,
  known: Hearings,
  judge: Judge,
): number | undefined {
  const { nowMs, rules } = judge;
  const reports = known.reports.filter(
    ({ observer, atMs, silentSinceMs }) =>
      observer !== judge.me &&
      nowMs - atMs <= rules.reportValidMs &&
      atMs - silentSinceMs >= rules.unreachableAfterMs,
  );
  const silences = [{ observer: judge.me, silentSinceMs: heardMs }, ...reports].flatMap(
    ({ observer, silentSinceMs }) => {
      const member = judge.byPeer.get(observer);
      return member === undefined ? [] : [{ member, silentSinceMs }];
    },
  );
  const observers = silences.map(({ member }) => member);
  if (!isQuorum(target, observers, quorumFor(target, judge.counted, judge.dark))) return undefined;
  return Math.max(...silences.map(({ silentSinceMs }) => silentSinceMs));
}

/** How much of the swarm a node sees; nodes that are lost count in neither. */
export interface Sight {
  readonly seen: number;
  readonly of: number;
}

export function sightOf(nodes: Iterable<NodeLiveness>): Sight {
  let seen = 0;
  let of = 0;
  for (const { state, isHeard } of nodes) {
    if (state === "lost") continue;
    of++;
    if (isHeard && (state === "alive" || state === "draining")) seen++;
  }
  return { seen, of };
}

/** A node that sees half of the swarm or less is the one that is away. */
export function seesMajority({ seen, of }: Sight): boolean {
  return seen * 2 > of;
}

/** Nobody is written off by a node that is cut off: else its half of the swarm would become the whole, in time. */
function withLongAbsentLost(
  nodes: ReadonlyMap<PeerId, NodeLiveness>,
  { nowMs, rules }: LivenessInput,
): ReadonlyMap<PeerId, NodeLiveness> {
  if (!seesMajority(sightOf(nodes.values()))) return nodes;
  return new Map(
    [...nodes].map(([peer, node]) => {
      if (node.state !== "absent") return [peer, node];
      const lostMs = Math.max(node.sinceMs, node.plannedUntilMs ?? 0) + rules.lostAfterMs;
      return [peer, lostMs <= nowMs ? { ...node, state: "lost", sinceMs: lostMs } : node];
    }),
  );
}
