import { afterEach, beforeEach, expect, test } from "vitest";
import { Fault } from "../../src/base/fault.ts";
import type { Network } from "../../src/ports/network.ts";
import { syncRequestCodec } from "../../src/wire/sync.ts";
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
  await until("all are connected", () => allConnected([a, b, x]));
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
  await until("it hears of the newcomer", () => areConnected(x, a));
  const fromMs = performance.now();
  await until("they meet", () => areConnected(newcomer, x));
  console.log(`the newcomer was let in after ${Math.round(performance.now() - fromMs)} ms`);
});

test("a member that missed the news and compares with nobody hears it at the newcomer's word", async () => {
  swarm.listed("x");
  // No comparison gets ahead of the introduction, and its connections stand all the time.
  const withoutComparing = (network: Network): Network => ({
    ...network,
    request: async (...args) => {
      const isComparison = args[1] === "sync" && syncRequestCodec.decode(args[2].head).kind === "compare";
      if (isComparison) throw new Fault({ code: "PEER_TIMEOUT", peer: args[0], afterMs: 0 });
      return await network.request(...args);
    },
  });
  const a = await swarm.founder({ wrap: withoutComparing });
  let isDeaf = false;
  const deafened = (network: Network): Network => ({
    ...withoutComparing(network),
    handle: (protocol, handler) =>
      network.handle(protocol, async (from, message) => {
        if (isDeaf) throw new Error("the news is lost");
        return await handler(from, message);
      }),
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
  await until("it is introduced", () => newcomer.events.includes("introduced"));
  await until("they meet", () => areConnected(newcomer, x));
});

test("a token used on both sides of a partition: one stays a member, the other hears who", async () => {
  const { a, b, x } = await threeMembers();
  await swarm.cut(a, x);
  await swarm.cut(b, x);
  const [left, right] = [swarm.admission("left", 7), swarm.admission("right", 7)];
  await a.roster.applyAll(left);
  await x.roster.applyAll(right);
  const one = await swarm.node("left", { entries: [...swarm.entries, ...left] });
  const other = await swarm.node("right", { entries: [...swarm.entries, ...right] });
  await tellAddresses(one, a);
  await tellAddresses(other, x);
  await until("both are let in", () => areConnected(one, a) && areConnected(other, x));
  swarm.heal(a, x);
  swarm.heal(b, x);
  const told = () => [one, other].map(({ keys, roster }) => roster.displacedBy(keys.peer)?.body.peer);
  await until("one of them is told", () => told().some((by) => by !== undefined));
  const [winner, loser] = told()[0] === undefined ? [one, other] : [other, one];
  expect(told()).toContain(winner.keys.peer);
  await until(
    "all others agree",
    () =>
      [a, b, x, winner].every(
        ({ roster }) =>
          roster.member(winner.keys.peer) !== undefined && roster.member(loser.keys.peer) === undefined,
      ),
    60_000,
  );
  await until("the one that stays is connected to all", () => allConnected([a, b, x, winner]));
});
