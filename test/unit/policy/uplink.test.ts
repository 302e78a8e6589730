import { describe, expect, it } from "vitest";
import { must } from "../../../src/base/assert.ts";
import { effectiveUplink, parsePolicy, type UplinkNow, uplinkAt } from "../../../src/policy/index.ts";

const POLICY = `version: 1
defaults:
  uplink: { at-most: 20Mbit/s }
sites:
  leipzig:
    uplink:
      at-most: 8Mbit/s
      time-zone: Europe/Berlin
      windows:
        - { from: "08:00", to: "18:00", days: [mon, tue, wed, thu, fri], at-most: 1Mbit/s }
        - { from: "22:00", to: "06:00", days: [sat], at-most: 50Mbit/s }
        - { from: "12:00", to: "24:00", days: [sun], at-most: 2Mbit/s }
`;

function ruleAt(site: string) {
  const parsed = parsePolicy(POLICY);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return effectiveUplink(parsed.policy, parsed.lineOf, { site, node: "till-3" });
}

/** In November Berlin is an hour ahead of UTC; the 21st of 2026 is a Saturday. */
const berlin = (day: number, time: string): UplinkNow =>
  uplinkAt(must(ruleAt("leipzig"), "a rule").value, Date.parse(`2026-11-${day}T${time}:00+01:00`));

describe("what a node may send", () => {
  it("is what is said nearest to it, as a whole", () => {
    expect(ruleAt("leipzig")?.from).toEqual({ level: "site leipzig", line: 6 });
    expect(ruleAt("erfurt")).toMatchObject({
      value: { bitsPerSecond: 20_000_000, windows: [] },
      from: { level: "defaults", line: 3 },
    });
  });

  it("changes with the time of day and the day, by the clocks of the time zone", () => {
    const others = { bitsPerSecond: 8_000_000 };
    const work = { bitsPerSecond: 1_000_000, until: "18:00" };
    expect(berlin(20, "07:59")).toEqual(others);
    expect(berlin(20, "08:00")).toEqual(work);
    expect(berlin(20, "17:59")).toEqual(work);
    expect(berlin(20, "18:00")).toEqual(others);
    expect(berlin(21, "12:00")).toEqual(others);
  });

  it("a window over midnight belongs to the day it begins on", () => {
    const night = { bitsPerSecond: 50_000_000, until: "06:00" };
    expect(berlin(20, "23:00")).toEqual({ bitsPerSecond: 8_000_000 });
    expect(berlin(21, "05:00")).toEqual({ bitsPerSecond: 8_000_000 });
    expect(berlin(21, "22:00")).toEqual(night);
    expect(berlin(22, "05:59")).toEqual(night);
    expect(berlin(22, "23:59")).toEqual({ bitsPerSecond: 2_000_000, until: "00:00" });
    expect(berlin(23, "00:00")).toEqual({ bitsPerSecond: 8_000_000 });
  });

  it.each([
    ["defaults: { uplink: { at-most: 64kbit/s } }", /at least 256kbit/],
    ["defaults: { uplink: { at-most: fast } }", /"fast" is not a rate/],
    [
      'defaults: { uplink: { windows: [{ from: "8", to: "18:00", at-most: 1Mbit/s }] } }',
      /"8" is not a time of day/,
    ],
    ['defaults: { uplink: { windows: [{ from: "08:00", to: "18:00" }] } }', /at-most/],
    ["sets: { shop: { paths: [/srv], uplink: { at-most: 1Mbit/s } } }", /"uplink" is not known here/],
  ])("%s is a mistake", (text, why) => {
    const parsed = parsePolicy(`version: 1\n${text}\n`);
    expect(parsed.ok ? "" : parsed.issues.map(({ message }) => message).join("; ")).toMatch(why);
  });
});
