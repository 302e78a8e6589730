import { describe, expect, test } from "vitest";
import { DAY_MS, MINUTE_MS, SECOND_MS } from "../../../src/base/units.ts";
import { parseUpkeep, UPKEEP_SETTINGS } from "../../../src/upkeep/index.ts";

describe("upkeep in settings.json", () => {
  test("is what it says, and by default what is written in the program", () => {
    expect(parseUpkeep({})).toEqual(UPKEEP_SETTINGS);
    const settings = parseUpkeep({
      beatEvery: "1s",
      unreachableAfter: "10s",
      lostAfter: "1d",
      grace: ["0s", "5s", "10s"],
      firstGraceWithOwner: "7s",
      storm: { window: "1m", share: "25%", nodes: 2 },
      backOff: { step: "2s", steps: 4 },
      uplink: "20Mbit/s",
      budget: "50%",
      night: "100%",
    });
    expect(settings.liveness).toEqual({
      ...UPKEEP_SETTINGS.liveness,
      unreachableAfterMs: 10 * SECOND_MS,
      lostAfterMs: DAY_MS,
    });
    expect(settings.grace).toEqual({ byMarginMs: [0, 5000, 10_000], firstWithOwnerMs: 7000 });
    expect(settings.storm).toEqual({
      ...UPKEEP_SETTINGS.storm,
      windowMs: MINUTE_MS,
      shareMax: 0.25,
      nodesMin: 2,
    });
    expect(settings.backOff).toEqual({ ...UPKEEP_SETTINGS.backOff, stepMs: 2000, stepsMax: 4 });
    expect(settings.schedule).toMatchObject({ uplinkBitsPerSecond: 2e7, dayShare: 0.5, nightShare: 1 });
    expect(settings.beatEveryMs).toBe(1000);
  });

  test.each([
    ["a number instead of a time", { beatEvery: 5 }],
    ["a time without a unit", { beatEvery: "5" }],
    ["a field that does not exist", { beatsEvery: "5m" }],
    ["grace that falls as margins rise", { grace: ["1h", "30m"] }],
    ["a share beyond all", { budget: "120%" }],
    ["no uplink", { uplink: "fast" }],
    ["a silence shorter than three beats", { unreachableAfter: "10m" }],
    ["nodes lost before they are unreachable", { lostAfter: "20m" }],
    ["reports that expire before they are renewed", { reportValid: "10m" }],
    ["a list", []],
  ])("refuses %s, with where it is", (_, text) => {
    expect(() => parseUpkeep(text)).toThrow(/settings\.json, upkeep/);
  });
});
