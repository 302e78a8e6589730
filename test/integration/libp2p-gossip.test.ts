import { afterEach, beforeEach, expect, test } from "vitest";
import type { Network } from "../../src/ports/network.ts";
import { until } from "../contract/network.ts";
import { allConnected, areConnected, RosterSwarm, tellAddresses } from "./libp2p-rosters.ts";

let swarm: RosterSwarm;
beforeEach(async () => {
  swarm = await RosterSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
});

async function threeMembers() {
  for (const name of ["b", "x"]) swarm.listed(name);
  const a = await swarm.founder();
  const [b, x] = [await swarm.node("b"), await swarm.node("x")];
  await tellAddresses(b, a);
  await tellAddresses(x, a);
  await until("all are connected", () => allConnected([a, b, x]), 60_000);
  return { a, b, x };
}

test("who could not hear of a newcomer is connected to it soon after it can", async () => {
  const { a, b, x } = await threeMembers();
  await swarm.cut(a, x);
  await swarm.cut(b, x);
  const admission = swarm.admission("newcomer");
  await a.roster.applyAll(admission);
  const newcomer = await swarm.node("newcomer", { entries: [...swarm.entries, ...admission] });
  await tellAddresses(newcomer, a, x);
  await until("those who know it let it in", () => areConnected(newcomer, a) && areConnected(newcomer, b));
  await until("the other turns it away", () => newcomer.events.includes("not-introduced"));
  expect(x.roster.roleOf(newcomer.keys.peer)).toBe("stranger");
  expect(areConnected(newcomer, x)).toBe(false);
  swarm.heal(a, x);
  await until("it hears of the newcomer", () => areConnected(x, a), 60_000);
  const fromMs = performance.now();
  await until("they meet", () => areConnected(newcomer, x), 60_000);
  console.log(`the newcomer was let in after ${Math.round(performance.now() - fromMs)} ms`);
});

test("a member that missed the news and compares with nobody hears it at the newcomer's word", async () => {
  swarm.listed("x");
  const a = await swarm.founder();
  let isDeaf = false;
  // Its connections stand all the time, so that nothing but an introduction tells it.
  const deafened = (network: Network): Network => ({
    ...network,
    handle: (protocol, handler) =>
      network.handle(protocol, async (from, message) => {
        if (isDeaf) throw new Error("the news is lost");
        return await handler(from, message);
      }),
    request: async (...args) => {
      if (args[1] === "sync") throw new Error("it compares with nobody");
      return await network.request(...args);
    },
  });
  const x = await swarm.node("x", { wrap: deafened });
  await tellAddresses(x, a);
  await until("they are connected", () => areConnected(a, x));
  isDeaf = true;
  const admission = swarm.admission("newcomer");
  await a.roster.applyAll(admission);
  const newcomer = await swarm.node("newcomer", { entries: [...swarm.entries, ...admission] });
  await tellAddresses(newcomer, a, x);
  await until("it is turned away", () => newcomer.events.includes("not-introduced"));
  isDeaf = false;
  await until("it is introduced", () => newcomer.events.includes("introduced"), 60_000);
  await until("they meet", () => areConnected(newcomer, x), 60_000);
});
