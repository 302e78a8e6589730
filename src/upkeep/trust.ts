import type { PeerId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import { isQuorum, quorumFor, type UpkeepMember } from "./observers.ts";

/** Signed words about a node's honesty; signatures, and what a conviction rests on, were checked before. */
export type TrustStatement =
  /** An auditor's word alone. */
  | { readonly kind: "doubt"; readonly auditor: PeerId; readonly target: PeerId; readonly atMs: number }
  /** The node's own signed answer that proves it wrong: anybody can check it. */
  | { readonly kind: "conviction"; readonly target: PeerId; readonly atMs: number; readonly reason: string }
  /** An administrator has looked into it. */
  | { readonly kind: "clearance"; readonly target: PeerId; readonly atMs: number };

/**
 * Apart from liveness: a liar is up. `doubted`: gets no new data, keeps what it has. `suspect`: gets none, and what it
 * has counts as absent.
 */
export type Trust =
  | { readonly kind: "trusted" }
  | { readonly kind: "doubted"; readonly sinceMs: number; readonly auditors: readonly PeerId[] }
  | { readonly kind: "suspect"; readonly sinceMs: number; readonly reason: string };

export const TRUSTED: Trust = { kind: "trusted" };

/** Auditors come round weekly; a doubt that nobody repeats fades. */
export const DOUBT_VALID_MS = 7 * DAY_MS;
const AUDITORS_MIN = 2;

/** A pure function of what is known and the time. A clearance answers everything said until then. */
export function trustOf(
  target: UpkeepMember,
  statements: readonly TrustStatement[],
  counted: readonly UpkeepMember[],
  nowMs: number,
): Trust {
  const about = statements.filter((one) => one.target === target.peer && one.atMs <= nowMs);
  const clearedMs = Math.max(
    Number.NEGATIVE_INFINITY,
    ...about.map((one) => (one.kind === "clearance" ? one.atMs : Number.NEGATIVE_INFINITY)),
  );
  const since = about.filter(({ atMs }) => atMs > clearedMs).sort((a, b) => a.atMs - b.atMs);
  const conviction = since.find((one) => one.kind === "conviction");
  if (conviction !== undefined) {
    return { kind: "suspect", sinceMs: conviction.atMs, reason: conviction.reason };
  }
  const doubts = since
    .filter((one) => one.kind === "doubt")
    .filter(({ atMs }) => nowMs - atMs < DOUBT_VALID_MS);
  const members = new Map(counted.map((member) => [member.peer, member]));
  const auditors = [...new Set(doubts.map(({ auditor }) => auditor))]
    .map((auditor) => members.get(auditor))
    .filter((member) => member !== undefined && member.peer !== target.peer)
    .filter((member) => member !== undefined);
  const { sites, observers } = quorumFor(target, counted, new Set());
  const needed = { observers: Math.min(AUDITORS_MIN, observers), sites };
  const first = doubts[0];
  if (first === undefined || !isQuorum(target, auditors, needed)) return TRUSTED;
  return { kind: "doubted", sinceMs: first.atMs, auditors: auditors.map(({ peer }) => peer).sort() };
}
