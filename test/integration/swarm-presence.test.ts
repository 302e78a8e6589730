import { afterEach, describe, expect, test } from "vitest";
import { HOUR_MS, MINUTE_MS } from "../../src/base/units.ts";
import { type Machine, NINE_AT_THREE, Swarm } from "../support/swarm.ts";

let swarm: Swarm | undefined;

afterEach(async () => {
  await swarm?.stop();
  swarm = undefined;
});

async function swarmOf(sites: readonly string[]): Promise<Swarm> {
  swarm = await Swarm.create({ sites });
  await swarm.clock.advance(10 * MINUTE_MS);
  return swarm;
}

/** What each of these says of a node. */
function statesAt(machines: readonly Machine[], of: Machine): (string | undefined)[] {
  return machines.map(({ node }) => node.presence.nodes().get(of.peer)?.state);
}

function allSay(machines: readonly Machine[], of: Machine, state: string): void {
  expect(statesAt(machines, of)).toEqual(machines.map(() => state));
}

describe("a node that dies", () => {
  test.each([
    ["3 nodes at 3 sites", ["a", "b", "c"]],
    ["5 nodes at 2 sites", ["a", "a", "a", "b", "b"]],
    ["9 nodes at 3 sites", NINE_AT_THREE],
    ["12 nodes at 4 sites", ["a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "d", "d"]],
  ])("of %s is unreachable, then absent for all others, since it fell silent", async (_, sites) => {
    const { members, clock } = await swarmOf(sites);
    const [dead, ...others] = members.toReversed();
    if (dead === undefined) throw new Error("a swarm has members");
    for (const machine of members) allSay(members, machine, "alive");
    const diedMs = clock.wallMs();
    dead.crash();
    await clock.advance(20 * MINUTE_MS);
    allSay(others, dead, "alive");
    await clock.advance(45 * MINUTE_MS);
    allSay(others, dead, "absent");
    for (const { node } of others) {
      const sinceMs = node.presence.nodes().get(dead.peer)?.sinceMs ?? 0;
      expect(Math.abs(sinceMs - diedMs)).toBeLessThan(6 * MINUTE_MS);
      expect(node.presence.witnesses(dead.peer).length).toBeGreaterThanOrEqual(
        Math.min(3, Math.ceil(others.length / 2)),
      );
      expect(node.presence.weather()).toEqual({ kind: "calm" });
    }
    for (const machine of others) expect(machine.logged("node-absent")).toHaveLength(1);
    await dead.start();
    await clock.advance(HOUR_MS);
    for (const machine of members) allSay(members, machine, "alive");
    for (const { node } of members) expect(node.presence.witnesses(dead.peer)).toEqual([]);
  });
});
