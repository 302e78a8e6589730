import { describe, expect, test } from "vitest";
import {
  DAY_MS,
  formatBytes,
  formatDuration,
  GIB,
  HOUR_MS,
  KIB,
  MIB,
  parseDuration,
  parseSize,
  TIB,
} from "../../../src/base/units.ts";

describe("parseSize", () => {
  test.each([
    ["1000", 1000],
    ["0", 0],
    ["64MiB", 64 * MIB],
    ["64 mib", 64 * MIB],
    ["10GB", 10e9],
    ["512k", 512 * KIB],
    ["1.5g", 1.5 * GIB],
    ["2T", 2 * TIB],
    [" 7b ", 7],
  ])("%j", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each([
    "",
    "MiB",
    "-1",
    "1e3",
    "1.",
    ".5",
    "1 KiB 2",
    "5 parsecs",
    "99999999T",
    "NaN",
    "0x10",
    "1constructor",
  ])("%j is no size", (text) => expect(parseSize(text)).toBeUndefined());

  test("names that every object has are no units", () => {
    for (const name of ["constructor", "toString", "valueOf", "hasOwnProperty"]) {
      expect(parseSize(`1${name}`)).toBeUndefined();
      expect(parseDuration(`1${name}`)).toBeUndefined();
    }
  });
});

describe("parseDuration", () => {
  test.each([
    ["500ms", 500],
    ["90s", 90_000],
    ["5m", 300_000],
    ["5min", 300_000],
    ["36h", 36 * HOUR_MS],
    ["30d", 30 * DAY_MS],
    ["2W", 14 * DAY_MS],
    ["1.5h", 1.5 * HOUR_MS],
  ])("%j", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(["", "10", "0", "h", "-5s", "1y", "999999999999999d"])("%j is no duration", (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );
});

describe("formatBytes", () => {
  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [10 * KIB, "10.0 KiB"],
    [1.5 * GIB, "1.50 GiB"],
    [1023.99 * KIB, "1.00 MiB"],
    [10 * KIB - 1, "10.0 KiB"],
    [1024 * TIB, "1.00 PiB"],
    [5000 * 1024 * TIB, "5000.0 PiB"],
  ])("%d", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe("formatDuration", () => {
  test.each([
    [0, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [1500, "1.5 s"],
    [59_960, "1 min 0 s"],
    [90_000, "1 min 30 s"],
    [119_700, "2 min 0 s"],
    [59 * 60_000 + 59_800, "1 h 0 min"],
    [90 * 60_000, "1 h 30 min"],
    [2 * HOUR_MS - 1000, "2 h 0 min"],
    [47 * HOUR_MS, "47 h 0 min"],
    [2 * DAY_MS, "2 d"],
    [100 * DAY_MS, "100 d"],
  ])("%d", (ms, text) => expect(formatDuration(ms)).toBe(text));
});
