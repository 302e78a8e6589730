import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { DAY_MS, HOUR_MS, parseBitRate, SECOND_MS } from "../base/units.ts";

/** What repair may send: `--uplink 10Mbit/s --budget 20% --night 80%`. */
export interface Schedule {
  readonly uplinkBitsPerSecond: number;
  /** Parts of the uplink, 0 to 1. */
  readonly dayShare: number;
  readonly nightShare: number;
  /** Hours of local time, 0 to 23; the night goes over midnight when it begins after it ends. */
  readonly nightFromHour: number;
  readonly nightToHour: number;
}

export const NIGHT_FROM_HOUR = 22;
export const NIGHT_TO_HOUR = 6;

/** "10Mbit/s", "512kbit": bits per second, decimal as uplinks are sold. Throws `USAGE`. */
export function parseUplink(text: string): number {
  const bits = parseBitRate(text);
  if (bits === undefined)
    throw new Fault({ code: "USAGE", reason: `"${text}" is not an uplink: write 10Mbit/s or 512kbit/s.` });
  return bits;
}

/** "20%": 0.2. Throws `USAGE`. */
export function parseShare(text: string): number {
  const match = /^(\d{1,3}(?:\.\d+)?)\s*%$/.exec(text.trim());
  const share = Number(match?.[1] ?? Number.NaN) / 100;
  if (!(share >= 0 && share <= 1)) {
    throw new Fault({ code: "USAGE", reason: `"${text}" is not a share: write 0% to 100%.` });
  }
  return share;
}

/** @param localMs time of day: milliseconds since local midnight */
export function bytesPerSecondAt(schedule: Schedule, localMs: number): number {
  const share = isNight(schedule, localMs) ? schedule.nightShare : schedule.dayShare;
  return (schedule.uplinkBitsPerSecond / 8) * share;
}

function isNight({ nightFromHour, nightToHour }: Schedule, localMs: number): boolean {
  assert(localMs >= 0 && localMs < DAY_MS, "a time of day lies within a day");
  const hour = localMs / HOUR_MS;
  if (nightFromHour <= nightToHour) return hour >= nightFromHour && hour < nightToHour;
  return hour >= nightFromHour || hour < nightToHour;
}

/** What the schedule lets through in a stretch of local time, however long. */
export function bytesWithin(schedule: Schedule, localMs: number, durationMs: number): number {
  const wholeDays = Math.floor(durationMs / DAY_MS);
  let bytes = wholeDays * bytesInDay(schedule);
  let left = durationMs - wholeDays * DAY_MS;
  for (let at = localMs; left > 0; ) {
    const stretch = Math.min(left, untilChange(schedule, at));
    bytes += bytesPerSecondAt(schedule, at) * (stretch / SECOND_MS);
    left -= stretch;
    at = (at + stretch) % DAY_MS;
  }
  return bytes;
}

/** How long so many bytes take from this time of day on; infinity when nothing is let through. */
export function transferMs(schedule: Schedule, localMs: number, bytes: number): number {
  const perDay = bytesInDay(schedule);
  if (bytes <= 0) return 0;
  if (perDay <= 0) return Number.POSITIVE_INFINITY;
  // One day less than the whole ones, so that rounding never leaves a last day out.
  const wholeDays = Math.max(0, Math.floor(bytes / perDay) - 1);
  let left = bytes - wholeDays * perDay;
  let ms = wholeDays * DAY_MS;
  for (let at = localMs; ; ) {
    const stretch = untilChange(schedule, at);
    const rate = bytesPerSecondAt(schedule, at) / SECOND_MS;
    if (rate * stretch >= left) return ms + left / rate;
    left -= rate * stretch;
    ms += stretch;
    at = (at + stretch) % DAY_MS;
  }
}

function bytesInDay({
  uplinkBitsPerSecond,
  dayShare,
  nightShare,
  nightFromHour,
  nightToHour,
}: Schedule): number {
  const nightHours = (nightToHour - nightFromHour + 24) % 24;
  const hours = nightHours * nightShare + (24 - nightHours) * dayShare;
  return (uplinkBitsPerSecond / 8) * hours * (HOUR_MS / SECOND_MS);
}

/** Until the rate may change next: the beginning or end of the night, or midnight. */
function untilChange({ nightFromHour, nightToHour }: Schedule, localMs: number): number {
  const changes = [nightFromHour * HOUR_MS, nightToHour * HOUR_MS, DAY_MS];
  return Math.min(...changes.filter((at) => at > localMs)) - localMs;
}
