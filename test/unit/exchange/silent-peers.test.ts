import { beforeEach, describe, expect, it } from "vitest";
import { VirtualClock } from "../../../sim/clock.ts";
import { MINUTE_MS } from "../../../src/base/units.ts";
import { SilentPeers } from "../../../src/exchange/index.ts";
import { peerNamed } from "../placement/nodes.ts";

const peer = peerNamed("hung");
let clock: VirtualClock;
let silent: SilentPeers;

beforeEach(() => {
  clock = new VirtualClock();
  silent = new SilentPeers({ clock });
});

describe("silent peers", () => {
  it("are asked last for a minute, then tried again; twice as long when they are silent again", async () => {
    silent.note(peer);
    await clock.advance(MINUTE_MS - 1);
    expect(silent.has(peer)).toBe(true);
    await clock.advance(1);
    expect(silent.has(peer)).toBe(false);
    silent.note(peer);
    await clock.advance(2 * MINUTE_MS - 1);
    expect(silent.has(peer)).toBe(true);
    await clock.advance(1);
    expect(silent.has(peer)).toBe(false);
  });

  it("several requests that wait at the same time are one silence", async () => {
    silent.note(peer);
    silent.note(peer);
    await clock.advance(MINUTE_MS);
    expect(silent.has(peer)).toBe(false);
  });

  it("are like any other after an answer", async () => {
    silent.note(peer);
    silent.answered(peer);
    expect(silent.has(peer)).toBe(false);
    silent.note(peer);
    await clock.advance(MINUTE_MS);
    expect(silent.has(peer)).toBe(false);
  });

  it("are never silent for longer than a quarter of an hour, and a minute", async () => {
    for (let round = 0; round < 20; round++) {
      silent.note(peer);
      await clock.advance(16 * MINUTE_MS);
      expect(silent.has(peer)).toBe(false);
    }
  });

  it("are remembered in bounded numbers", () => {
    for (let i = 0; i <= 1024; i++) silent.note(peerNamed(`peer ${i}`));
    expect(silent.has(peerNamed("peer 0"))).toBe(false);
    expect(silent.has(peerNamed("peer 1024"))).toBe(true);
  });

  it("are shunned while enough others are there", () => {
    const holders = new Map([
      [0, peer],
      [1, peerNamed("one")],
      [2, peerNamed("two")],
    ]);
    silent.note(peer);
    expect(silent.among(holders, 2).shunned).toEqual(new Set([0]));
    expect(silent.among(holders, 3).shunned).toBeUndefined();
    silent.among(holders, 2).onSlow?.(2);
    expect(silent.has(peerNamed("two"))).toBe(true);
  });
});
