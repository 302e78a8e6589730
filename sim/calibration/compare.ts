import { MINUTE_MS, SECOND_MS } from "../../src/base/units.ts";
import { type Calibration, quantilesOf } from "../fleet/calibration.ts";
import { type LossRun, MODEL_UPKEEP, PROFILE } from "./model.ts";

/** Of a normal distribution, that 95 % lie within so many standard deviations. */
const NORMAL_95 = 1.96;

export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

export interface Comparison {
  readonly what: string;
  readonly full: Interval;
  readonly event: Interval;
  readonly overlaps: boolean;
}

/** The mean with its 95 % interval. */
export function intervalOf(values: readonly number[]): Interval {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const error =
    values.length < 2 ? Number.POSITIVE_INFINITY : Math.sqrt(squares / (values.length - 1) / values.length);
  return { mean, low: mean - NORMAL_95 * error, high: mean + NORMAL_95 * error };
}

const MEASURES: readonly { readonly what: string; readonly of: (run: LossRun) => number }[] = [
  { what: "everybody calls the node absent, after s", of: ({ knownMs }) => knownMs / SECOND_MS },
  { what: "all shards are back, after s", of: ({ wholeMs }) => wholeMs / SECOND_MS },
  { what: "bytes sent for each byte lost", of: ({ bytesPerLostByte }) => bytesPerLostByte },
];

export function compare(full: readonly LossRun[], event: readonly LossRun[]): Comparison[] {
  return MEASURES.map(({ what, of }) => {
    const [one, other] = [intervalOf(full.map(of)), intervalOf(event.map(of))];
    return { what, full: one, event: other, overlaps: one.low <= other.high && other.low <= one.high };
  });
}

/** What the event tier cannot know by itself, from runs of the full one. */
export function calibrationOf(runs: readonly LossRun[], source: Calibration["source"]): Calibration {
  const { liveness, grace, beatEveryMs, assessEveryMs } = MODEL_UPKEEP;
  const graceMs = grace.byMarginMs[0] ?? 0;
  return {
    v: 1,
    source,
    reportsBeats: quantilesOf(
      runs.map(({ knownMs }) => (knownMs - liveness.unreachableAfterMs) / beatEveryMs),
    ),
    startAssessments: quantilesOf(
      runs.map(({ knownMs, wholeMs }) => (wholeMs - Math.max(knownMs, graceMs)) / assessEveryMs),
    ),
    bytesShares: quantilesOf(runs.map(({ bytesPerLostByte }) => bytesPerLostByte / (PROFILE.k + 1))),
  };
}

export function tableOf(comparisons: readonly Comparison[], runs: number): string {
  const shown = ({ mean, low, high }: Interval): string =>
    `${mean.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
  const minutes = MODEL_UPKEEP.liveness.unreachableAfterMs / MINUTE_MS;
  return [
    `${runs} runs of each tier; unreachable after ${minutes} min, beats each ${MODEL_UPKEEP.beatEveryMs / SECOND_MS} s; means with 95 % intervals`,
    "",
    "| of the loss of a node | full tier | event tier | overlap |",
    "|---|---|---|---|",
    ...comparisons.map(
      ({ what, full, event, overlaps }) =>
        `| ${what} | ${shown(full)} | ${shown(event)} | ${overlaps ? "yes" : "NO"} |`,
    ),
    "",
  ].join("\n");
}
