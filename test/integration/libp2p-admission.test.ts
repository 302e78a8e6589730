import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import { identify } from "@libp2p/identify";
import type { Libp2p } from "@libp2p/interface";
import { kadDHT, passthroughMapper } from "@libp2p/kad-dht";
import { noise } from "@libp2p/noise";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import { afterEach, beforeEach, expect, test } from "vitest";
import { must } from "../../src/base/assert.ts";
import { parsePeerId } from "../../src/base/ids.ts";
import { codeOf, until } from "../contract/network.ts";
import { addressOf, IDLE, introduce, isConnected, message, portOf, TestSwarm } from "./libp2p-swarm.ts";

let swarm: TestSwarm;
beforeEach(async () => {
  swarm = await TestSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
});

const KAD = "/cairn/kad/1";
const EVERY_PROTOCOL = [
  "/cairn/1/hello",
  "/cairn/1/data",
  "/cairn/1/sync",
  "/cairn/1/join",
  "/cairn/1/recover",
  KAD,
  "/ipfs/id/1.0.0",
  "/ipfs/id/push/1.0.0",
  "/ipfs/ping/1.0.0",
];

/** A libp2p node that is none of ours and has everything switched on, kad-dht as a server included. */
async function foreignNode(): Promise<Libp2p> {
  const libp2p = await createLibp2p({
    privateKey: await generateKeyPairFromSeed("Ed25519", randomBytes(32)),
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({ protocol: KAD, clientMode: false, peerInfoMapper: passthroughMapper }),
    },
  });
  swarm.onStop(async () => libp2p.stop());
  return libp2p;
}

/** Whether anything comes back on a stream of this protocol. */
async function answers(libp2p: Libp2p, address: string, protocol: string): Promise<boolean> {
  try {
    const connection = await libp2p.dial(multiaddr(address));
    const stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(2000) });
    const heard = new Promise<boolean>((resolve) => {
      stream.addEventListener("message", () => resolve(true));
      stream.addEventListener("close", () => resolve(false));
      stream.addEventListener("remoteCloseWrite", () => resolve(false));
      setTimeout(() => resolve(false), 2000);
    });
    // Nine zero bytes are an empty request of ours; identify talks unasked; ping echoes 32 bytes.
    stream.send(new Uint8Array(protocol.includes("ping") ? 32 : 8));
    return await heard;
  } catch {
    return false;
  }
}

test("a stranger meets no protocol at all", async () => {
  const node = await swarm.node();
  node.network.handle("data", async () => message("secret"));
  const stranger = await foreignNode();
  for (const protocol of EVERY_PROTOCOL) {
    expect([protocol, await answers(stranger, addressOf(node), protocol)]).toEqual([protocol, false]);
  }
  // The same program as a member gets answers: the check above can fail.
  swarm.setRole(must(parsePeerId(stranger.peerId.toString()), "peer id"), "member");
  await until("identify answers", () => answers(stranger, addressOf(node), "/ipfs/id/1.0.0"));
  await until("data answers", () => answers(stranger, addressOf(node), "/cairn/1/data"));
});

test.each(["join-guest", "recovery-guest", "former"] as const)(
  "a %s that runs kad-dht, identify and ping gets nothing from them and enters no routing table",
  async (role) => {
    const [a, b] = [await swarm.node(), await swarm.node()];
    await introduce(b, a);
    await until("the members know each other", () => a.gauges().routingTablePeers === 1);
    const guest = await foreignNode();
    swarm.setRole(must(parsePeerId(guest.peerId.toString()), "peer id"), role);
    const connection = await guest.dial(multiaddr(addressOf(a)));
    for (const protocol of EVERY_PROTOCOL.filter((id) => !id.startsWith("/cairn/1/"))) {
      expect([protocol, await answers(guest, addressOf(a), protocol)]).toEqual([protocol, false]);
    }
    // Its own hello is answered, so that what follows is not because it was thrown out.
    expect(await answers(guest, addressOf(a), "/cairn/1/hello")).toBe(true);
    expect(connection.status).toBe("open");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect([a.gauges().routingTablePeers, b.gauges().routingTablePeers]).toEqual([1, 1]);
    expect(a.network.connected()).toEqual([b.network.self]);
  },
);

test("former members together have few connections and requests, each two at most, and members none the fewer", async () => {
  const limits = { formerConnectionsMax: 3, inboundFormersTotal: 1 };
  const node = await swarm.node({ limits });
  const held = Promise.withResolvers<void>();
  let serving = 0;
  node.network.handle("sync", async () => {
    serving++;
    await held.promise;
    return message();
  });
  const [a, b, c] = [await swarm.guest("former"), await swarm.guest("former"), await swarm.guest("former")];
  for (const former of [a, b, c]) await former.dial(addressOf(node));
  const late = await swarm.guest("former");
  expect(await codeOf(late.dial(addressOf(node)))).toMatch(/NOT_A_MEMBER|PEER_UNREACHABLE/);
  expect(node.gauges().connections).toBe(3);
  // One of them is served, the next one is told to come back.
  const first = a.network.request(node.network.self, "sync", message(), IDLE);
  await until("it is served", () => serving === 1);
  expect(await codeOf(b.network.request(node.network.self, "sync", message(), IDLE))).toBe("PEER_BUSY");
  const member = await swarm.node();
  await introduce(member, node);
  const asked = member.network.request(node.network.self, "sync", message(), IDLE);
  await until("the member is served, too", () => serving === 2);
  held.resolve();
  await Promise.all([first, asked]);
});

test("a member whom the other side does not list yet is told so long before it would give up, and gets in once it is listed", async () => {
  const [a, b] = [await swarm.node(), await swarm.node({ role: "stranger", members: () => [] })];
  b.network.handle("data", async () => message("hello"));
  a.network.handle("data", async () => message("hello"));
  await introduce(b, a);
  const startMs = performance.now();
  const outcome = await b.network
    .request(a.network.self, "data", message(), IDLE)
    .catch((error: unknown) => error);
  expect(outcome).toMatchObject({
    detail: { code: "PEER_UNREACHABLE", reason: expect.stringContaining("does not admit") },
  });
  expect(performance.now() - startMs).toBeLessThan(IDLE.idleTimeoutMs / 2);
  expect(b.network.connected()).toEqual([]);
  swarm.setRole(b.network.self, "member");
  const answer = await b.network.request(a.network.self, "data", message(), IDLE);
  expect(new TextDecoder().decode(answer.head)).toBe("hello");
});

test("silent sockets do not keep members out", async () => {
  const node = await swarm.node();
  node.network.handle("data", async () => message());
  const sockets = Array.from({ length: 25 }, () => connect(portOf(node), "127.0.0.1"));
  for (const socket of sockets) socket.on("error", () => {});
  swarm.onStop(async () => {
    for (const socket of sockets) socket.destroy();
  });
  await until("all are connected", () => sockets.every((socket) => !socket.connecting));
  const member = await swarm.node();
  await introduce(member, node);
  await member.network.request(node.network.self, "data", message(), IDLE);
  // And they do not stay.
  await until("they are closed", () => sockets.every((socket) => socket.closed || socket.destroyed));
});

test("nine nodes that know one of them are all connected within seconds, and each has all in its routing table", async () => {
  const nodes = await Promise.all(Array.from({ length: 9 }, () => swarm.node()));
  const [first, ...others] = nodes;
  const startMs = performance.now();
  for (const node of others) await introduce(node, must(first, "first node"));
  await until("all are connected", () =>
    nodes.every((from) => nodes.every((to) => from === to || isConnected(from, to))),
  );
  const tookMs = performance.now() - startMs;
  await until("the routing tables are full", () =>
    nodes.every((node) => node.gauges().routingTablePeers === 8),
  );
  console.log(
    `nine nodes connected in ${Math.round(tookMs)} ms`,
    nodes.map((node) => node.gauges().connections).join(" "),
  );
});

test("a member dials nobody who is no member", async () => {
  const [a, b] = [await swarm.node(), await swarm.node({ role: "stranger" })];
  await introduce(a, b);
  expect(await codeOf(a.network.request(b.network.self, "data", message(), IDLE))).toBe("PEER_UNREACHABLE");
});
