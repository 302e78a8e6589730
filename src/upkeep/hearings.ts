import type { PeerId } from "../base/ids.ts";

/** A time through which a node was heard without a gap; both ends are hearings. */
export interface HeardRun {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface PlannedOutage {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Another node's signed word that it has not heard the target since then. */
export interface SilenceReport {
  readonly observer: PeerId;
  readonly silentSinceMs: number;
  readonly atMs: number;
}

/** What is known at first hand, or under a signature, about one node. No judgement. */
export interface Hearings {
  /** Rising, at most `RUNS_MAX`; the last one is the newest. */
  readonly runs: readonly HeardRun[];
  /** Of the newest beat: an older one, replayed, is not heard again. */
  readonly beatEpoch: number;
  readonly drainingSinceMs: number | undefined;
  readonly outage: PlannedOutage | undefined;
  /** Newest of each observer, at most `REPORTS_MAX`. */
  readonly reports: readonly SilenceReport[];
}

export type Observation =
  /** This node itself exchanged something with it. */
  | { readonly kind: "contact"; readonly peer: PeerId; readonly atMs: number }
  /** Signed by its origin; the signature was checked where it was decoded. */
  | {
      readonly kind: "beat";
      readonly peer: PeerId;
      /** Counts up over all beats of the node. */
      readonly epoch: number;
      readonly sentMs: number;
      readonly receivedMs: number;
      readonly draining: boolean;
      readonly outageUntilMs: number | undefined;
    }
  | ({ readonly kind: "silence"; readonly target: PeerId } & SilenceReport)
  /** An observer's newest word names the target no more. */
  | {
      readonly kind: "silence-over";
      readonly target: PeerId;
      readonly observer: PeerId;
      readonly atMs: number;
    };

export interface HearingRules {
  /** A gap of this length ends a run. */
  readonly unreachableAfterMs: number;
  /** A beat counts as heard at most so long after it was signed, by its own clock. */
  readonly beatSlackMs: number;
  /** Longest planned outage that is believed. */
  readonly outageMaxMs: number;
}

/** Enough to say of any time that evidence may be about whether the node was heard in it. */
export const RUNS_MAX = 16;
/** Five times what any quorum needs. */
export const REPORTS_MAX = 16;

export const NOTHING_HEARD: Hearings = {
  runs: [],
  beatEpoch: -1,
  drainingSinceMs: undefined,
  outage: undefined,
  reports: [],
};

/** Observations are taken in the order of their times, so that a batch means the same in any order. */
export function inOrder(observations: readonly Observation[], nowMs: number): Observation[] {
  return observations
    .filter((one) => timeOf(one) <= nowMs)
    .sort((a, b) => timeOf(a) - timeOf(b) || epochOf(a) - epochOf(b));
}

function timeOf(one: Observation): number {
  return one.kind === "beat" ? one.receivedMs : one.atMs;
}

function epochOf(one: Observation): number {
  return one.kind === "beat" ? one.epoch : 0;
}

export function hear(before: Hearings, one: Observation, rules: HearingRules): Hearings {
  switch (one.kind) {
    case "contact":
      return { ...before, runs: withHearing(before.runs, one.atMs, rules) };
    case "beat": {
      if (one.epoch <= before.beatEpoch) return before;
      // Whoever keeps a dead node's last beats back and lets them go one by one gains the slack, no more.
      const heardMs = Math.min(one.receivedMs, one.sentMs + rules.beatSlackMs);
      return {
        ...before,
        runs: withHearing(before.runs, heardMs, rules),
        beatEpoch: one.epoch,
        drainingSinceMs: one.draining ? (before.drainingSinceMs ?? heardMs) : undefined,
        outage: outageOf(one.outageUntilMs, heardMs, rules),
      };
    }
    case "silence":
      return { ...before, reports: withReport(before.reports, one) };
    case "silence-over":
      return {
        ...before,
        reports: before.reports.filter(({ observer, atMs }) => observer !== one.observer || atMs > one.atMs),
      };
  }
}

function outageOf(
  untilMs: number | undefined,
  fromMs: number,
  { outageMaxMs }: HearingRules,
): PlannedOutage | undefined {
  if (untilMs === undefined || untilMs <= fromMs) return undefined;
  return { fromMs, untilMs: Math.min(untilMs, fromMs + outageMaxMs) };
}

function withHearing(
  runs: readonly HeardRun[],
  atMs: number,
  { unreachableAfterMs }: HearingRules,
): readonly HeardRun[] {
  const last = runs.at(-1);
  if (last === undefined) return [{ fromMs: atMs, toMs: atMs }];
  if (atMs <= last.toMs) return runs;
  if (atMs - last.toMs < unreachableAfterMs) return runs.with(-1, { fromMs: last.fromMs, toMs: atMs });
  return [...runs, { fromMs: atMs, toMs: atMs }].slice(-RUNS_MAX);
}

function withReport(reports: readonly SilenceReport[], one: SilenceReport): readonly SilenceReport[] {
  const { observer, silentSinceMs, atMs } = one;
  const known = reports.find((report) => report.observer === observer);
  if (known !== undefined && known.atMs >= atMs) return reports;
  return [...reports.filter((report) => report !== known), { observer, silentSinceMs, atMs }]
    .sort((a, b) => b.atMs - a.atMs || (a.observer < b.observer ? -1 : 1))
    .slice(0, REPORTS_MAX);
}

export function lastHeardMs({ runs }: Hearings): number | undefined {
  return runs.at(-1)?.toMs;
}

/** Without what is dated later. */
export function hearingsUntil(known: Hearings, nowMs: number): Hearings {
  const isAhead = (known.runs.at(-1)?.toMs ?? 0) > nowMs || known.reports.some(({ atMs }) => atMs > nowMs);
  if (!isAhead) return known;
  return {
    ...known,
    runs: known.runs.map(({ fromMs, toMs }) => ({
      fromMs: Math.min(fromMs, nowMs),
      toMs: Math.min(toMs, nowMs),
    })),
    reports: known.reports.filter(({ atMs }) => atMs <= nowMs),
  };
}
