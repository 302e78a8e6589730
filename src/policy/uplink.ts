import { must } from "../base/assert.ts";

export const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** A stretch of the day; one that ends before it begins, or with it, goes over midnight and belongs to the day it begins. */
export interface UplinkWindow {
  /** Minutes since midnight. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** Absent: every day. */
  readonly days?: readonly Weekday[] | undefined;
  readonly bitsPerSecond: number;
}

/** What a node may send at which time of day. */
export interface UplinkRule {
  /** Where no window says otherwise; absent: as much as the line takes. */
  readonly bitsPerSecond?: number | undefined;
  /** Of the first that fits. */
  readonly windows: readonly UplinkWindow[];
  /** Absent: that of the process. */
  readonly timeZone?: string | undefined;
}

export interface UplinkNow {
  /** Absent: as much as the line takes. */
  readonly bitsPerSecond?: number;
  /** `18:00`, in the rule's time zone: the end of the window. */
  readonly until?: string;
}

const DAY_MINUTES = 24 * 60;

export function uplinkAt(rule: UplinkRule, timeMs: number): UplinkNow {
  const { weekday, minute } = localTime(rule.timeZone, timeMs);
  const window = rule.windows.find((one) => holds(one, weekday, minute));
  if (window !== undefined) return { bitsPerSecond: window.bitsPerSecond, until: timeText(window.toMinute) };
  return rule.bitsPerSecond === undefined ? {} : { bitsPerSecond: rule.bitsPerSecond };
}

function holds({ fromMinute, toMinute, days }: UplinkWindow, weekday: number, minute: number): boolean {
  const isOn = (day: number): boolean => days === undefined || days.includes(must(WEEKDAYS[day], "weekday"));
  if (fromMinute < toMinute) return isOn(weekday) && minute >= fromMinute && minute < toMinute;
  if (minute >= fromMinute) return isOn(weekday);
  return minute < toMinute && isOn((weekday + 6) % 7);
}

/** Weeks begin on Monday. */
function localTime(timeZone: string | undefined, timeMs: number): { weekday: number; minute: number } {
  const format = new Intl.DateTimeFormat("en-US", {
    ...(timeZone === undefined ? {} : { timeZone }),
    ...{ weekday: "short", hour: "numeric", minute: "numeric", hourCycle: "h23" },
  });
  const parts = new Map(format.formatToParts(timeMs).map(({ type, value }) => [type, value]));
  const names: readonly string[] = WEEKDAYS;
  const name = must(parts.get("weekday"), "weekday of a date").toLowerCase();
  return {
    weekday: names.indexOf(name),
    minute: Number(parts.get("hour")) * 60 + Number(parts.get("minute")),
  };
}

/** `18:00`: 1080; `24:00` is the end of a day. `undefined` for what is no time of day. */
export function minuteOf(text: string): number | undefined {
  const [, hour = 99, minute = 99] = /^(\d{1,2}):(\d{2})$/.exec(text)?.map(Number) ?? [];
  const sum = hour * 60 + minute;
  return hour <= 24 && minute < 60 && sum <= DAY_MINUTES ? sum % DAY_MINUTES : undefined;
}

const two = (n: number): string => String(n).padStart(2, "0");
const timeText = (minute: number): string => `${two(Math.floor(minute / 60))}:${two(minute % 60)}`;
