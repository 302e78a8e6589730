import { DAY_MS, MINUTE_MS } from "../base/units.ts";

/** Every byte is read again within this time (DESIGN: latent sector errors are found before they meet a second one). */
export const PERIOD_DEFAULT_MS = 30 * DAY_MS;
/** Of the disk's time, at most. */
export const DISK_SHARE_DEFAULT = 0.1;
/** A round is planned for this share of the period: the rest is for nights on which the machine is off. */
const ROUND_SHARE = 0.75;
/** From this share of the period on nothing waits for the plan. */
const HURRY_SHARE = 0.9;
/** Longest time in which nothing is looked at, the disk's presence included. */
const TICK_MS = MINUTE_MS;

export interface Plan {
  readonly nowMs: number;
  readonly periodMs: number;
  readonly round: { readonly startedMs: number; readonly bytes: number; readonly complete: boolean };
  /** Of all that is held, as near as is known without counting. */
  readonly bytesTotal: number;
  readonly oldestAgeMs: number;
}

export type Step =
  | { readonly do: "read" }
  | { readonly do: "begin" }
  | { readonly do: "wait"; readonly ms: number };

/** How long a round is planned to take. */
export function roundMs(periodMs: number): number {
  return periodMs * ROUND_SHARE;
}

/**
 * What is due now. Bytes are read at an even rate over the round, so that a byte's turn comes at about the same time
 * of each round; behind the plan, or with bytes that are nearly too old, at once.
 */
export function nextStep({ nowMs, periodMs, round, bytesTotal, oldestAgeMs }: Plan): Step {
  const planMs = roundMs(periodMs);
  const hurry = bytesTotal > 0 && oldestAgeMs >= periodMs * HURRY_SHARE;
  if (round.complete) {
    const dueMs = round.startedMs + planMs;
    return hurry || nowMs >= dueMs ? { do: "begin" } : wait(dueMs - nowMs);
  }
  // More was read than is held in all when shards went meanwhile.
  const total = Math.max(1, bytesTotal, round.bytes);
  const dueMs = round.startedMs + planMs * (round.bytes / total);
  return hurry || nowMs >= dueMs ? { do: "read" } : wait(dueMs - nowMs);
}

/** After so much work the disk is left alone for so long. */
export function restMs(busyMs: number, diskShare: number): number {
  return Math.ceil(Math.max(0, busyMs) * (1 / diskShare - 1));
}

/** How many of several other shards could be read decides whether one that could not is bad, or its disk is. */
export function isDiskFailing(probes: { readonly readable: number; readonly unreadable: number }): boolean {
  return probes.unreadable >= 3 && probes.unreadable > probes.readable;
}

function wait(ms: number): Step {
  return { do: "wait", ms: Math.max(1, Math.min(TICK_MS, Math.ceil(ms))) };
}
