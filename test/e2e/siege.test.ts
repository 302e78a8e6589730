import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { MIB } from "../../src/base/units.ts";
import { SocketCrowd } from "../integration/libp2p-siege.ts";
import { DaemonSwarm, type TestNode } from "../support/daemons.ts";

let swarm: DaemonSwarm;
beforeAll(async () => {
  swarm = await DaemonSwarm.start({ sites: ["a", "b"] });
});
afterAll(() => swarm?.dispose());

function costOf(node: TestNode): { rssBytes: number; descriptors: number } {
  const status = readFileSync(`/proc/${node.pid}/status`, "utf8");
  const rssKib = Number(must(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1], "VmRSS"));
  return { rssBytes: rssKib * 1024, descriptors: readdirSync(`/proc/${node.pid}/fd`).length };
}

it("a daemon under siege lets a newcomer in by its token, and neither grows nor fills its log", async () => {
  const victim = swarm.node(0);
  const before = costOf(victim);
  const linesBefore = victim.log.length;
  const port = Number(must(/(\d+)$/.exec(victim.address)?.[1], "port"));
  const silent = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
  const crowds = [
    new SocketCrowd(port, { sources: silent, each: 100, onConnect: () => {} }),
    new SocketCrowd(port, {
      sources: ["127.0.0.5", "127.0.0.6"],
      each: 50,
      onConnect: (socket) => void socket.write(randomBytes(500)),
    }),
  ];
  try {
    await expect.poll(() => crowds[0]?.opened ?? 0, { timeout: 60_000 }).toBeGreaterThan(400);
    // It comes in by the one under siege, whose address the token has, and finds the others there.
    const newcomer = await swarm.join("c");
    await newcomer.start();
    await swarm.allAlive();
    const after = costOf(victim);
    expect(after.rssBytes - before.rssBytes).toBeLessThan(200 * MIB);
    expect(after.descriptors - before.descriptors).toBeLessThan(400);
    expect(victim.log.length - linesBefore).toBeLessThan(100);
  } finally {
    for (const crowd of crowds) crowd.end();
  }
  expect((await victim.peers()).length).toBe(3);
});
