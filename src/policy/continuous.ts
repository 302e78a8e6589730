import { DAY_MS, SECOND_MS } from "../base/units.ts";
import { CLOCK_TOLERANCE_MS, type LastRun, retryAfterMs } from "./timing.ts";

/** Changes that are in no snapshot yet, by the clock of this machine; both the same for a single one. */
export interface Unsaved {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Whoever copies many files should have ended; at most a quarter of the time that was asked for. */
const SETTLE_MAX_MS = 10 * SECOND_MS;
/** Also where nothing was noticed: nobody sees everything. */
export const UNNOTICED_MAX_MS = DAY_MS;

/**
 * When the next snapshot of a continuous set should begin; in the past: it is due.
 *
 * It is to have ended within `everyMs` of the first change, so that it begins earlier by what the last one took. One begins
 * at least twice that after the one before, whatever changes: at most half of the time goes into them.
 */
export function continuousDueMs(
  everyMs: number,
  last: LastRun | undefined,
  unsaved: Unsaved | undefined,
  nowMs: number,
): number {
  // A last run that lies in the future was made by a clock that was wrong.
  const isWrong = last !== undefined && Math.max(last.startedMs, last.endedMs) > nowMs + CLOCK_TOLERANCE_MS;
  if (last === undefined || isWrong) return unsaved === undefined ? nowMs : settledMs(everyMs, 0, unsaved);
  const tookMs = Math.max(0, last.endedMs - last.startedMs);
  const apartMs = Math.max(everyMs - tookMs, 2 * tookMs);
  const earliestMs = Math.max(
    last.startedMs + apartMs,
    last.failures === 0 ? 0 : last.endedMs + retryAfterMs(last.failures),
  );
  const dailyMs = last.startedMs + UNNOTICED_MAX_MS;
  const noticedMs = unsaved === undefined ? dailyMs : settledMs(everyMs, tookMs, unsaved);
  return Math.max(earliestMs, Math.min(dailyMs, noticedMs));
}

function settledMs(everyMs: number, tookMs: number, { firstMs, lastMs }: Unsaved): number {
  const latestMs = firstMs + Math.max(0, everyMs - tookMs);
  return Math.min(latestMs, lastMs + Math.min(SETTLE_MAX_MS, everyMs / 4));
}
