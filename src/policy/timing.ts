import { Cron } from "croner";
import { HOUR_MS, MINUTE_MS } from "../base/units.ts";

/** When a set's snapshots are made. */
export type Timing = {
  /** Begun so much later at most, by a share that follows from node and time: branches do not all begin at once. */
  readonly jitterMs: number;
  /** Whether one that was missed while the daemon was down is made as soon as it is up. */
  readonly catchUp: boolean;
} & (
  | { readonly kind: "interval"; readonly everyMs: number }
  /** Five fields; `timeZone` absent: that of the process. */
  | { readonly kind: "cron"; readonly expression: string; readonly timeZone?: string }
);

/** The newest try of a set, by the clock of this machine. */
export interface LastRun {
  readonly startedMs: number;
  readonly endedMs: number;
  /** In a row, this one included; 0: it made a snapshot. */
  readonly failures: number;
}

/** By so much a clock may be slewed without anybody calling it a step. */
export const CLOCK_TOLERANCE_MS = MINUTE_MS;
const RETRY_FIRST_MS = 5 * MINUTE_MS;
const RETRY_MAX_MS = HOUR_MS;
/** Whoever has waited so long comes before those of higher priority: a busy set starves nobody. */
const PATIENCE_MS = HOUR_MS;

/** After so many failures in a row. */
export function retryAfterMs(failures: number): number {
  return Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(failures - 1, 10));
}

/**
 * When a set's next snapshot should begin; in the past: it is due. `undefined`: never.
 *
 * `sinceMs` is when this node began to look (its start, or when its clock was set): what was due before is caught up, or
 * not. A last run that lies in the future was made by a clock that was wrong: one snapshot too many makes it right.
 */
export function nextDueMs(
  timing: Timing,
  last: LastRun | undefined,
  at: { readonly nowMs: number; readonly sinceMs: number; readonly seed: string },
): number | undefined {
  const { nowMs, sinceMs } = at;
  const jitter = (baseMs: number): number => Math.floor(shareOf(`${at.seed}/${baseMs}`) * timing.jitterMs);
  if (last === undefined) {
    if (timing.kind === "interval") return sinceMs + jitter(sinceMs);
    return added(nextCronMs(timing, sinceMs - 1), jitter);
  }
  if (Math.max(last.startedMs, last.endedMs) > nowMs + CLOCK_TOLERANCE_MS) return nowMs;
  const regular = regularMs(timing, last.startedMs, sinceMs, jitter);
  if (last.failures === 0) return regular;
  const retry = last.endedMs + retryAfterMs(last.failures);
  return regular === undefined ? retry : Math.min(regular, retry);
}

function regularMs(
  timing: Timing,
  lastMs: number,
  sinceMs: number,
  jitter: (baseMs: number) => number,
): number | undefined {
  const due =
    timing.kind === "interval"
      ? lastMs + timing.everyMs + jitter(lastMs)
      : added(nextCronMs(timing, lastMs), jitter);
  if (due === undefined || due >= sinceMs) return due;
  // Missed while nobody looked. After a power cut the whole site comes up at once: not all of it begins at once.
  if (timing.catchUp) return sinceMs + jitter(sinceMs);
  if (timing.kind === "cron") return added(nextCronMs(timing, sinceMs - 1), jitter);
  const offsetMs = due - lastMs - timing.everyMs;
  const turns = Math.ceil((sinceMs - lastMs - offsetMs) / timing.everyMs);
  return lastMs + turns * timing.everyMs + offsetMs;
}

const added = (ms: number | undefined, jitter: (baseMs: number) => number): number | undefined =>
  ms === undefined ? undefined : ms + jitter(ms);

/** FNV-1a as a share of 1: the same time falls everywhere else, and on this node always there. */
function shareOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  // Its low bits are the good ones; the last characters would hardly reach the high ones.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  hash ^= hash >>> 13;
  return (hash >>> 0) / 2 ** 32;
}

/** Throws RangeError with what is wrong; what can never come is wrong too. */
export function checkCron(expression: string): void {
  if (expression.trim().split(/\s+/).length !== 5)
    throw new RangeError(`"${expression}" has not the five fields of cron: minute hour day month weekday`);
  let next: Date | null;
  try {
    next = new Cron(expression, { paused: true, timezone: "UTC" }).nextRun(new Date(0));
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error);
    throw new RangeError(`"${expression}" is no cron expression: ${why}`);
  }
  if (next === null) throw new RangeError(`"${expression}" never comes`);
}

function nextCronMs(timing: Timing & { readonly kind: "cron" }, afterMs: number): number | undefined {
  const { expression, timeZone } = timing;
  const zone = timeZone === undefined ? {} : { timezone: timeZone };
  return new Cron(expression, { paused: true, ...zone }).nextRun(new Date(afterMs))?.getTime();
}

export interface PlannedSet {
  readonly name: string;
  readonly priority: number;
  readonly dueMs: number | undefined;
}

/** The set whose turn it is; one at a time. Among those that are due the more important first, but nobody waits for ever. */
export function chooseRun(sets: readonly PlannedSet[], nowMs: number): string | undefined {
  const due = sets.flatMap(({ name, priority, dueMs }) =>
    dueMs === undefined || dueMs > nowMs
      ? []
      : [{ name, priority, dueMs, late: nowMs - dueMs > PATIENCE_MS }],
  );
  due.sort(
    (a, b) =>
      Number(b.late) - Number(a.late) ||
      (a.late ? a.dueMs - b.dueMs : b.priority - a.priority) ||
      a.dueMs - b.dueMs ||
      (a.name < b.name ? -1 : 1),
  );
  return due[0]?.name;
}

/** Notices that the clock was set: wall time and time that never goes back went apart. */
export class ClockWatch {
  #wallMs: number;
  #monotonicMs: number;

  constructor(wallMs: number, monotonicMs: number) {
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
  }

  /** By how much, forward or back, since it was asked last; `undefined` where it was not. */
  look(wallMs: number, monotonicMs: number): number | undefined {
    const stepMs = wallMs - this.#wallMs - (monotonicMs - this.#monotonicMs);
    // A slow drift is followed only once it adds up, so that it is not lost in many small looks.
    if (Math.abs(stepMs) <= CLOCK_TOLERANCE_MS) return undefined;
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
    return stepMs;
  }
}
