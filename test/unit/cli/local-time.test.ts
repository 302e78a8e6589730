import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { localTimeText, parseMoment } from "../../../src/cli/local-time.ts";

let zone: string | undefined;
beforeAll(() => {
  zone = process.env["TZ"];
  process.env["TZ"] = "Europe/Berlin";
});
afterAll(() => {
  if (zone === undefined) delete process.env["TZ"];
  else process.env["TZ"] = zone;
});

const utc = (typed: string): string => new Date(parseMoment(typed).ms).toISOString();

describe("a moment that somebody typed", () => {
  it.each([
    ["2026-11-03 14:00", "2026-11-03T13:00:00.000Z"],
    ["2026-07-03 14:00:09", "2026-07-03T12:00:09.000Z"],
    ["2026-11-03T14:00", "2026-11-03T13:00:00.000Z"],
    [" 2026-11-03 14:00Z ", "2026-11-03T14:00:00.000Z"],
    ["2026-11-03 14:00 UTC", "2026-11-03T14:00:00.000Z"],
    ["2026-11-03T14:00:30.125Z", "2026-11-03T14:00:30.000Z"],
    ["2026-11-03 14:00+05:30", "2026-11-03T08:30:00.000Z"],
    ["2026-11-03 14:00 -0800", "2026-11-03T22:00:00.000Z"],
    ["2026-10-25", "2026-10-25T22:59:59.999Z"],
    ["2024-02-29", "2024-02-29T22:59:59.999Z"],
    ["2026-10-25 02:30+01:00", "2026-10-25T01:30:00.000Z"],
  ])("%j is %s in Berlin", (typed, expected) => {
    expect(utc(typed)).toBe(expected);
  });

  it.each(["yesterday", "2026-11-3", "14:00", "2026-13-01", "2026-02-30 12:00", "2026-11-03 25:00", ""])(
    "%j is none",
    (typed) => {
      expect(() => parseMoment(typed)).toThrow(`"${typed}"`);
    },
  );

  it("a time that the clocks skipped or showed twice is refused, with what to do", () => {
    expect(() => parseMoment("2026-03-29 02:30")).toThrow("set forward");
    expect(() => parseMoment("2026-10-25 02:30")).toThrow("add an offset");
    expect(utc("2026-10-25 03:00")).toBe("2026-10-25T02:00:00.000Z");
  });

  it("is shown with the zone in which it was understood", () => {
    expect(parseMoment("2026-11-03 14:00").text).toBe(
      "2026-11-03 14:00:00 (Europe/Berlin), 2026-11-03 13:00:00 UTC",
    );
    expect(localTimeText(Date.UTC(2026, 6, 1, 22, 5))).toBe("2026-07-02 00:05:00 (Europe/Berlin)");
  });
});
