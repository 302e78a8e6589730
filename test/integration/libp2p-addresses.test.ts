import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { until } from "../contract/network.ts";
import { allConnected, areConnected, type RosterNode, RosterSwarm, tellAddresses } from "./libp2p-rosters.ts";
import { IDLE, message } from "./libp2p-swarm.ts";

/** What people are promised. */
const MINUTE_MS = 60_000;

let taken = 0;
const servers: Server[] = [];
let swarm: RosterSwarm;
beforeEach(async () => {
  swarm = await RosterSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
  for (const server of servers.splice(0)) server.close();
});

async function members(...names: readonly string[]): Promise<RosterNode[]> {
  for (const name of names) swarm.listed(name);
  const first = await swarm.founder();
  for (const name of names) await tellAddresses(await swarm.node(name), first);
  await until("all are connected", () => allConnected(swarm.nodes), MINUTE_MS);
  return [...swarm.nodes];
}

async function silentServer(): Promise<string> {
  const server = createServer(() => void taken++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  const address = server.address();
  return `/ip4/127.0.0.1/tcp/${typeof address === "object" && address !== null ? address.port : 0}`;
}

async function metWithinAMinute(what: string): Promise<void> {
  const fromMs = performance.now();
  await until("all are connected again", () => allConnected(swarm.nodes), MINUTE_MS);
  console.log(`${what}: all met after ${Math.round(performance.now() - fromMs)} ms`);
}

test("two that moved at once find each other through the one that stayed", async () => {
  const [, a, b] = await members("a", "b");
  if (a === undefined || b === undefined) throw new Error("three nodes");
  await Promise.all([a.stop(), b.stop()]);
  await until("they are gone", () => swarm.nodes[0]?.libp2p.network.connected().length === 0);
  // Port 0: another one than before.
  await Promise.all([swarm.node("a"), swarm.node("b")]);
  await metWithinAMinute("two of three moved");
});

test("old addresses that swallow what is sent do not hide the new ones", async () => {
  const [first, a, b] = await members("a", "b");
  if (first === undefined || a === undefined || b === undefined) throw new Error("three nodes");
  // Whoever has their old addresses now takes connections and says nothing; each costs a dial its three seconds.
  const silent = await Promise.all(Array.from({ length: 10 }, () => silentServer()));
  await a.libp2p.directory.learn(b.keys.peer, silent);
  await b.libp2p.directory.learn(a.keys.peer, silent);
  await first.stop();
  await Promise.all([a.stop(), b.stop()]);
  const moved = await Promise.all([swarm.node("a"), swarm.node("b")]);
  await until("they dial the old ones", () => taken >= 2);
  // Only now there is somebody who can tell where they are.
  const again = await swarm.node("first");
  for (const node of moved) await tellAddresses(again, node);
  // One after the other, the old ones would take half a minute.
  await until("all are connected again", () => allConnected(swarm.nodes), 20_000);
});

test("all but one move at once", async () => {
  const [, ...others] = await members("a", "b", "c", "d");
  await Promise.all(others.map((node) => node.stop()));
  await Promise.all(others.map((node) => swarm.node(node.name)));
  await metWithinAMinute("four of five moved");
});

test("one by one every node moves, night after night", async () => {
  await members("a", "b");
  for (const name of ["first", "a", "b", "first", "a", "b"]) {
    await swarm.nodes.find((node) => node.name === name)?.stop();
    await swarm.node(name);
    await metWithinAMinute(`${name} moved`);
  }
});

test("a node that nobody can dial works through the connections it dialled, in both directions", async () => {
  const names = ["a", "hidden"];
  for (const name of names) swarm.listed(name);
  const first = await swarm.founder();
  const a = await swarm.node("a");
  await tellAddresses(a, first);
  // It tells others an address at which nobody answers, as a node behind a router without forwarding does.
  const hidden = await swarm.node("hidden", { announce: ["/ip4/127.0.0.1/tcp/1"] });
  await tellAddresses(hidden, first);
  await until("all are connected", () => allConnected(swarm.nodes), MINUTE_MS);
  // What it says of itself arrives on its own time, not with the connection.
  await expect
    .poll(() => a.libp2p.directory.addresses(hidden.keys.peer), { timeout: MINUTE_MS })
    .toEqual(["/ip4/127.0.0.1/tcp/1"]);
  hidden.libp2p.network.handle("data", async () => message("from behind"));
  const { head } = await a.libp2p.network.request(hidden.keys.peer, "data", message(), IDLE);
  expect(new TextDecoder().decode(head)).toBe("from behind");
  // When the others lose the connection they cannot dial; it is for the hidden one to come back.
  await a.libp2p.network.disconnect(hidden.keys.peer);
  await first.libp2p.network.disconnect(hidden.keys.peer);
  await until("it has noticed", () => !areConnected(a, hidden));
  await metWithinAMinute("the hidden one was cut off");
  await a.libp2p.network.request(hidden.keys.peer, "data", message(), IDLE);
});
