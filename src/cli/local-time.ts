import { Fault } from "../base/fault.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../base/units.ts";

/** A moment that somebody typed, and how it was understood: with the time zone, so that a wrong one is seen. */
export interface TypedMoment {
  readonly ms: number;
  readonly text: string;
}

const FORM =
  /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?$/;

/**
 * `2026-11-03 14:00`, with seconds or without, `T` instead of the blank; in the local time zone unless `Z`, `UTC` or an
 * offset follows. A day alone means its end: whoever asks for a day wants what that day brought. A time that the
 * clocks skipped, or showed twice, is refused, because guessing would be an hour off without a word.
 */
export function parseMoment(typed: string): TypedMoment {
  const match = FORM.exec(typed.trim());
  if (match === null)
    throw usage(`"${typed}" is not a time, such as "2026-11-03 14:00", "2026-11-03" or "2026-11-03T14:00Z".`);
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((digits) => Number(digits ?? 0));
  const fields: Fields =
    match[4] === undefined ? [year, month, day, 0, 0, 0] : [year, month, day, hour, minute, second];
  const utcMs = Date.UTC(year, month - 1, day, fields[3], fields[4], fields[5]);
  if (!sameFields(fields, utcFields(new Date(utcMs)))) throw usage(`"${typed}" is not in the calendar.`);
  if (match[4] === undefined) return endOfDay(fields);
  const zone = match[7];
  const ms = zone === undefined ? localMs(fields, typed) : utcMs - offsetMs(zone, typed);
  return { ms, text: describe(ms) };
}

/** As a person in this time zone reads it: `2026-11-03 14:00:00 (Europe/Berlin)`. */
export function localTimeText(ms: number): string {
  const [year, month, day, hour, minute, second] = localFields(new Date(ms));
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)} (${zoneName()})`;
}

const usage = (reason: string): Fault => new Fault({ code: "USAGE", reason });

type Fields = readonly [number, number, number, number, number, number];

const zoneName = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

const describe = (ms: number): string =>
  `${localTimeText(ms)}, ${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;

function endOfDay([year, month, day]: Fields): TypedMoment {
  const ms = new Date(year, month - 1, day + 1).getTime() - 1;
  return { ms, text: describe(ms) };
}

function localMs(fields: Fields, typed: string): number {
  const [year, month, day, hour, minute, second] = fields;
  const ms = new Date(year, month - 1, day, hour, minute, second).getTime();
  if (!sameFields(fields, localFields(new Date(ms))))
    throw usage(`"${typed}" was skipped when the clocks of ${zoneName()} were set forward.`);
  // Clocks are set back by an hour, or half of one.
  for (const step of [HOUR_MS, HOUR_MS / 2, -HOUR_MS / 2, -HOUR_MS]) {
    if (sameFields(fields, localFields(new Date(ms + step))))
      throw usage(
        `"${typed}" was twice, as the clocks of ${zoneName()} were set back: add an offset such as +01:00, or Z.`,
      );
  }
  return ms;
}

function offsetMs(zone: string, typed: string): number {
  const match = /^([+-])(\d{2}):?(\d{2})$/.exec(zone);
  if (match === null) return 0;
  const ms = Number(match[2]) * HOUR_MS + Number(match[3]) * MINUTE_MS;
  if (ms > DAY_MS) throw usage(`"${typed}" has no offset that exists.`);
  return match[1] === "-" ? -ms : ms;
}

const sameFields = (a: Fields, b: Fields): boolean => a.every((field, i) => field === b[i]);

function localFields(date: Date): Fields {
  return [
    date.getFullYear(),
    date.getMonth() + 1,
    date.getDate(),
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
  ];
}

function utcFields(date: Date): Fields {
  return [
    date.getUTCFullYear(),
    date.getUTCMonth() + 1,
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
}
