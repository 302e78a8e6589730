import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ownerIdOf, type PeerId, peerIdOf } from "../../src/base/ids.ts";
import { codeOf, until } from "../contract/network.ts";
import { addressOf, IDLE, introduce, isConnected, message, TestSwarm } from "./libp2p-swarm.ts";

let swarm: TestSwarm;
beforeEach(async () => {
  swarm = await TestSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
});

test("after a restart on the same port the members meet again, though nobody tells them where", async () => {
  const seeds = [randomBytes(32), randomBytes(32)] as const;
  const directories = [swarm.freshDirectory(), swarm.freshDirectory()] as const;
  let a = await swarm.node({ seed: seeds[0], directory: directories[0] });
  let b = await swarm.node({ seed: seeds[1], directory: directories[1] });
  await introduce(b, a);
  await until("they are connected", () => isConnected(a, b) && isConnected(b, a));
  // One of them restarts: whoever looks first finds the other.
  const [listenA, listenB] = [addressOf(a), addressOf(b)];
  await swarm.stopNode(b);
  await until("its end is noticed", () => a.network.connected().length === 0);
  b = await swarm.node({ seed: seeds[1], directory: directories[1], listen: listenB });
  await until("they are connected again", () => isConnected(a, b) && isConnected(b, a));
  // Both restart: what they know is on disk alone.
  await Promise.all([swarm.stopNode(a), swarm.stopNode(b)]);
  a = await swarm.node({ seed: seeds[0], directory: directories[0], listen: listenA });
  b = await swarm.node({ seed: seeds[1], directory: directories[1], listen: listenB });
  await until("they are connected once more", () => isConnected(a, b) && isConnected(b, a));
});

test("a member whose port has changed is found again through a third", async () => {
  const seed = randomBytes(32);
  const third = await swarm.node();
  const a = await swarm.node();
  // It dials only the third, so that it is for the other to find it.
  const onlyThird = (): PeerId[] => [third.network.self];
  const before = await swarm.node({ seed, members: onlyThird });
  await introduce(a, third, before);
  await introduce(before, third);
  await until(
    "all are connected",
    () => isConnected(a, third) && isConnected(a, before) && isConnected(before, third),
  );
  await swarm.stopNode(before);
  await until("its end is noticed", () => a.network.connected().length === 1);
  const startMs = performance.now();
  const after = await swarm.node({ seed, members: onlyThird });
  after.network.handle("data", async () => message("moved"));
  await introduce(after, third);
  await until("it is found", () => isConnected(a, after));
  console.log(`found again after ${Math.round(performance.now() - startMs)} ms`);
  const answer = await a.network.request(after.network.self, "data", message(), IDLE);
  expect(new TextDecoder().decode(answer.head)).toBe("moved");
  // The one that found the other notes where once it has heard of it, which may be after the connection.
  await expect
    .poll(() => a.directory.addresses(after.network.self), { timeout: 60_000 })
    .toContain(addressOf(after));
});

test("a pool is found through a member that holds nothing, by one that never met the announcers", async () => {
  const third = await swarm.node({ members: () => [] });
  const onlyThird = (): PeerId[] => [third.network.self];
  const holders = [await swarm.node({ members: onlyThird }), await swarm.node({ members: onlyThird })];
  const seeker = await swarm.node({ members: onlyThird });
  const owner = ownerIdOf(randomBytes(32));
  // Announced before there is anybody to tell: it is told as soon as there is.
  for (const holder of holders) await holder.directory.announce(owner);
  for (const node of [...holders, seeker]) await introduce(node, third);
  const expected = holders.map((holder) => holder.network.self).sort();
  await until("both are found", async () => {
    const found = await seeker.directory.pool(owner);
    return found.sort().join() === expected.join();
  });
  expect(await seeker.directory.pool(ownerIdOf(randomBytes(32)))).toEqual([]);
});

test("a port that is taken is said so, and the database is free again after it", async () => {
  const first = await swarm.node();
  const directory = swarm.freshDirectory();
  const init = { directory, listen: addressOf(first) };
  expect(await codeOf(swarm.node(init))).toBe("USAGE");
  await swarm.node({ directory });
});

test("an address that was only heard of is kept over a restart", async () => {
  const [seed, directory] = [randomBytes(32), swarm.freshDirectory()];
  const nobody = (): PeerId[] => [];
  const before = await swarm.node({ seed, directory, members: nobody });
  const peer = peerIdOf(randomBytes(32));
  await before.directory.learn(peer, ["/ip4/192.0.2.1/tcp/1"]);
  await before.directory.learn(peer, ["/ip4/192.0.2.2/tcp/1", "/ip4/0.0.0.0/tcp/1", "nonsense"]);
  for (let port = 100; port < 140; port++) await before.directory.learn(peer, [`/ip4/192.0.2.3/tcp/${port}`]);
  await swarm.stopNode(before);
  const after = await swarm.node({ seed, directory, members: nobody });
  const known = await after.directory.addresses(peer);
  expect(known).toContain("/ip4/192.0.2.3/tcp/139");
  expect(known).toHaveLength(12);
});

test("dead addresses do not hide the one that works", async () => {
  const limits = { addressDialTimeoutMs: 500, dialTimeoutMs: 600 };
  const a = await swarm.node({ limits, members: () => [] });
  const b = await swarm.node({ members: () => [] });
  b.network.handle("data", async () => message());
  // A server that takes connections and says nothing, as an address does that is somebody else's now.
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const held = silent.address();
  const port = typeof held === "object" && held !== null ? held.port : 0;
  swarm.onStop(async () => void silent.close());
  await introduce(a, b);
  const dead = ["/ip4/127.0.0.1", "/ip4/127.0.0.2", "/dns4/localhost", "/dns/localhost"];
  await a.directory.learn(
    b.network.self,
    dead.map((host) => `${host}/tcp/${port}`),
  );
  expect((await a.directory.addresses(b.network.self)).at(-1)).toBe(addressOf(b));
  await a.network.request(b.network.self, "data", message(), IDLE);
  expect((await a.directory.addresses(b.network.self))[0]).toBe(addressOf(b));
});

test("what identify says of a peer does not push out the address that worked", async () => {
  const [a, b] = [await swarm.node({ members: () => [] }), await swarm.node({ members: () => [] })];
  b.network.handle("data", async () => message());
  const port = addressOf(b).split("/").at(-1);
  // As a forwarded port is: an address that the peer itself does not know.
  await a.directory.learn(b.network.self, ["/ip4/192.0.2.1/tcp/1", `/dns4/localhost/tcp/${port}`]);
  await a.network.request(b.network.self, "data", message(), IDLE);
  await until("identify has told", async () =>
    (await a.directory.addresses(b.network.self)).includes(addressOf(b)),
  );
  expect((await a.directory.addresses(b.network.self))[0]).toBe(`/dns4/localhost/tcp/${port}`);
});
