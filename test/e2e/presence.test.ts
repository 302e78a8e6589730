import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { maintenanceResult, type PresenceInfo } from "../../src/control/presence-api.ts";
import type { PeerInfo } from "../../src/control/results.ts";
import { DaemonSwarm, eventually, type TestNode } from "../support/daemons.ts";

// Who is up, as real daemons see it, with policy clocks of seconds by their settings.

const UPKEEP = {
  beatEvery: "2s",
  unreachableAfter: "12s",
  returnStable: "3s",
  reportValid: "60s",
  lostAfter: "1h",
};
const PATIENT = { everyMs: 1000 };

let swarm: DaemonSwarm;

beforeAll(async () => {
  swarm = await DaemonSwarm.start({
    sites: ["a", "b", "c", "c"],
    beforeStarting: (node) => node.configure({ upkeep: UPKEEP }),
  });
});
afterAll(() => swarm?.dispose());

async function peerAt(observer: TestNode, node: TestNode): Promise<PeerInfo> {
  return must(
    (await observer.peers()).find(({ peerId }) => peerId === node.peerId),
    "peer",
  );
}

async function presenceAt(observer: TestNode): Promise<PresenceInfo> {
  return must((await observer.status()).presence, "presence");
}

function untilAllSay(observers: readonly TestNode[], node: TestNode, state: string): Promise<void> {
  return eventually(
    `${node.name} is ${state} for all`,
    async () => {
      for (const observer of observers)
        if ((await peerAt(observer, node)).liveness?.state !== state) return false;
      return true;
    },
    PATIENT,
  );
}

it("a killed node becomes unreachable, then absent since it was killed, and comes back", async () => {
  const [a, b, dead, d] = [swarm.node(0), swarm.node(1), swarm.node(2), swarm.node(3)];
  const others = [a, b, d];
  await untilAllSay(swarm.nodes, dead, "alive");
  const killedMs = Date.now();
  await dead.kill();
  await untilAllSay(others, dead, "absent");
  for (const observer of others) {
    const { liveness } = await peerAt(observer, dead);
    expect(Math.abs(Date.parse(must(liveness, "liveness").since) - killedMs)).toBeLessThan(20_000);
    const { states, away, weather, events } = await presenceAt(observer);
    expect(states).toMatchObject({ alive: 3, absent: 1, lost: 0 });
    expect(away.map(({ peerId }) => peerId)).toEqual([dead.peerId]);
    expect(weather).toEqual({ kind: "calm" });
    expect(events.absent).toBeGreaterThanOrEqual(1);
    expect(observer.logged("node-absent").some(({ peer }) => peer === dead.peerId)).toBe(true);
  }
  // Seen by one before it was believed by all.
  expect(others.some((node) => node.logged("node-unreachable").length > 0)).toBe(true);
  const status = await a.status();
  expect(status.alerts.map(({ code }) => code)).toContain("nodes-absent");
  expect((await a.cli("status")).stdout).toMatch(/n2: absent since/);
  await dead.start();
  await untilAllSay(swarm.nodes, dead, "alive");
  expect((await presenceAt(dead)).states).toMatchObject({ alive: 4 });
});

it("a restart keeps who was away since when", async () => {
  const [a, b, dead] = [swarm.node(0), swarm.node(1), swarm.node(3)];
  await dead.kill();
  await untilAllSay([a, b], dead, "absent");
  const before = (await peerAt(a, dead)).liveness;
  await a.stop();
  await a.start();
  expect((await peerAt(a, dead)).liveness).toEqual(before);
  await dead.start();
  await untilAllSay(swarm.nodes, dead, "alive");
});

it("an announced outage is known to all at once, stays while the node is off, and ends with it", async () => {
  const [a, b, off] = [swarm.node(0), swarm.node(1), swarm.node(2)];
  const begun = await off.ask(maintenanceResult, "maintenance", "1h");
  const until = must(begun.until, "end of the outage");
  await eventually("all know of the outage", async () => {
    for (const observer of [a, b]) {
      const { liveness } = await peerAt(observer, off);
      if (liveness?.state !== "alive" || liveness.plannedUntil !== until) return false;
    }
    return true;
  });
  await off.stop();
  await untilAllSay([a, b], off, "absent");
  expect((await peerAt(a, off)).liveness?.plannedUntil).toBe(until);
  expect((await a.cli("peers")).stdout).toMatch(/absent, planned until/);
  await off.start();
  await untilAllSay(swarm.nodes, off, "alive");
  expect((await off.status()).alerts.map(({ code }) => code)).toContain("maintenance");
  expect((await off.ask(maintenanceResult, "maintenance", "--end")).until).toBeUndefined();
  await eventually("nobody expects it to be off any more", async () => {
    for (const observer of [a, b])
      if ((await peerAt(observer, off)).liveness?.plannedUntil !== undefined) return false;
    return true;
  });
  expect((await off.cli("maintenance", "15d")).status).toBe(2);
});
