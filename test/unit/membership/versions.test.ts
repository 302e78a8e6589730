import { expect, it } from "vitest";
import { UNHEARD_AFTER_MS, writableVersion } from "../../../src/membership/versions.ts";
import { keysOf } from "./world.ts";

const NOW_MS = 1e12;
const [a, b, c] = ["a", "b", "c"].map((name) => keysOf(name).peer);
if (a === undefined || b === undefined || c === undefined) throw new Error("three peers");
const old = { reads: [1], writes: 1 };
const next = { reads: [1, 2], writes: 2 };
const heard = { heardMs: NOW_MS - 1000 };

it("is the highest that we write and everybody reads", () => {
  const all = [a, b, c].map((peer) => ({ peer, formats: next, ...heard }));
  expect(writableVersion(next, all, NOW_MS)).toEqual({ version: 2, heldBackBy: [] });
  expect(writableVersion(old, all, NOW_MS)).toEqual({ version: 1, heldBackBy: [] });
  expect(writableVersion(next, [], NOW_MS)).toEqual({ version: 2, heldBackBy: [] });
});

it("waits for the last one to be upgraded, and says who it is", () => {
  const mixed = [
    { peer: a, formats: next, ...heard },
    { peer: b, formats: old, ...heard },
    { peer: c, formats: undefined, ...heard },
  ];
  expect(writableVersion(next, mixed, NOW_MS)).toEqual({ version: 1, heldBackBy: [b, c] });
});

it("is a version between the oldest and the newest where all read that", () => {
  const own = { reads: [2, 3, 4], writes: 4 };
  const others = [
    { peer: a, formats: { reads: [1, 2, 3], writes: 3 }, ...heard },
    { peer: b, formats: { reads: [3, 4, 5], writes: 5 }, ...heard },
  ];
  expect(writableVersion(own, others, NOW_MS)).toEqual({ version: 3, heldBackBy: [a] });
});

it("does not wait for one that has been away for a month", () => {
  const away = { peer: b, formats: old, heardMs: NOW_MS - UNHEARD_AFTER_MS - 1 };
  expect(writableVersion(next, [away], NOW_MS)).toEqual({ version: 2, heldBackBy: [] });
});
