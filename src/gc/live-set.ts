import { Fault } from "../base/fault.ts";
import type { Incarnation, SegmentId } from "../base/ids.ts";
import { LIVE_RUNS_MAX, type LiveList } from "../wire/live-set.ts";

/** What a live set says of a segment. What it does not cover it says nothing about. */
export type LiveStanding = "live" | "omitted" | "not-covered";

/** Segments of one life: all below `below` are covered, and live are those in `spans`, rising, that do not touch. */
export interface LifeSpans {
  readonly incarnation: Incarnation;
  readonly below: number;
  readonly spans: readonly { readonly first: number; readonly end: number }[];
}

interface Life {
  readonly below: number;
  readonly firsts: Float64Array;
  readonly ends: Float64Array;
}

/** A list of what is live, to look segments up in: two numbers for each run. */
export class LiveSet {
  readonly #lives = new Map<Incarnation, Life>();

  /** Throws `FORMAT_INVALID` for one that is not in its only form. */
  constructor({ lives }: LiveList) {
    for (const { incarnation, below, runs } of lives) {
      if (this.#lives.has(incarnation)) throw invalid("a life is there twice");
      this.#lives.set(incarnation, { below, ...spansOf(runs, below) });
    }
  }

  standing({ incarnation, number }: Pick<SegmentId, "incarnation" | "number">): LiveStanding {
    const life = this.#lives.get(incarnation);
    if (life === undefined || number >= life.below) return "not-covered";
    const { firsts, ends } = life;
    let low = 0;
    let high = firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    return (firsts[low] ?? Number.POSITIVE_INFINITY) <= number ? "live" : "omitted";
  }
}

/** Where there are more runs than a list may have, the shortest gaps between them are listed as live: too much is kept, never too little. */
export function liveListOf(lives: readonly LifeSpans[], runsMax = LIVE_RUNS_MAX): LiveList {
  const closedMax = longestGapToClose(lives, runsMax);
  return {
    v: 1,
    lives: lives.map(({ incarnation, below, spans }) => {
      const runs: number[] = [];
      let at = 0;
      for (const { first, end } of spans) {
        if (runs.length > 0 && first - at <= closedMax) runs.push((runs.pop() ?? 0) + end - at);
        else runs.push(first - at, end - first);
        at = end;
      }
      return { incarnation, below, runs };
    }),
  };
}

/** In segments; 0 where nothing has to be closed. */
function longestGapToClose(lives: readonly LifeSpans[], runsMax: number): number {
  const runs = lives.reduce((sum, { spans }) => sum + spans.length, 0);
  if (runs <= runsMax) return 0;
  const gaps = lives
    .flatMap(({ spans }) =>
      spans.map(({ first }, at) => first - (spans[at - 1]?.end ?? Number.NEGATIVE_INFINITY)),
    )
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  return gaps[Math.min(runs - runsMax, gaps.length) - 1] ?? 0;
}

function spansOf(runs: readonly number[], below: number): { firsts: Float64Array; ends: Float64Array } {
  if (runs.length % 2 !== 0) throw invalid("a gap without a run");
  const firsts = new Float64Array(runs.length / 2);
  const ends = new Float64Array(runs.length / 2);
  let at = 0;
  for (let i = 0; i < firsts.length; i++) {
    const gap = runs[2 * i] ?? 0;
    const length = runs[2 * i + 1] ?? 0;
    if (length === 0 || (gap === 0 && i > 0)) throw invalid("runs that touch, or have nothing in them");
    firsts[i] = at + gap;
    at += gap + length;
    if (at > below) throw invalid("a run goes beyond what is covered");
    ends[i] = at;
  }
  return { firsts, ends };
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: "list of a live set", reason });
}
