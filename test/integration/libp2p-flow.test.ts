import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { multiaddr } from "@multiformats/multiaddr";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Libp2pNode } from "../../src/adapters/libp2p/index.ts";
import { must } from "../../src/base/assert.ts";
import { ownerIdOf, type PeerId, parsePeerId, peerIdOf } from "../../src/base/ids.ts";
import { MIB } from "../../src/base/units.ts";
import { signerFromSeed } from "../../src/crypto/sign.ts";
import { codeOf, until } from "../contract/network.ts";
import { createRawLibp2p } from "../support/raw-libp2p.ts";
import { addressOf, IDLE, introduce, isConnected, message, portOf, TestSwarm } from "./libp2p-swarm.ts";

let swarm: TestSwarm;
beforeEach(async () => {
  swarm = await TestSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
});

/** Runs `task` and returns the largest value that `measure` had meanwhile. */
async function largest(measure: () => number, task: () => Promise<unknown>): Promise<number> {
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, measure());
  }, 2);
  try {
    await task();
  } finally {
    clearInterval(timer);
  }
  return most;
}

const patient = { idleTimeoutMs: 60_000 };

async function untilServed<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if ((await codeOf(Promise.reject(error))) !== "PEER_BUSY") throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A link of `bytesPerSecond` in front of a node, so that its sender meets a socket that is full most of the time. */
async function slowLink(to: number, bytesPerSecond: number): Promise<{ port: number; server: Server }> {
  const server = createServer({ pauseOnConnect: true }, (inner) => {
    const outer = connect(to, "127.0.0.1");
    const pass = (from: Socket, into: Socket): void => {
      from.on("data", (bytes) => {
        from.pause();
        into.write(bytes);
        setTimeout(() => from.resume(), (bytes.length / bytesPerSecond) * 1000);
      });
      from.on("close", () => into.destroy());
      from.on("error", () => into.destroy());
      from.resume();
    };
    pass(inner, outer);
    pass(outer, inner);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  swarm.onStop(async () => void server.close());
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, server };
}

test("a slow link does not make the sender buffer", async () => {
  const [sender, receiver] = [
    await swarm.node({ members: () => [] }),
    await swarm.node({ members: () => [] }),
  ];
  receiver.network.handle("data", async () => message());
  const link = await slowLink(portOf(receiver), 10 * MIB);
  await sender.directory.learn(receiver.network.self, [`/ip4/127.0.0.1/tcp/${link.port}`]);
  const body = new Uint8Array(4 * MIB);
  const queued = await largest(
    () => sender.gauges().streamBytes.queuedToSend,
    () =>
      Promise.all(
        Array.from({ length: 6 }, () =>
          sender.network.request(receiver.network.self, "data", message("", body), patient),
        ),
      ),
  );
  // One chunk for each of the requests under way at most.
  expect(queued).toBeLessThanOrEqual(6 * 256 * 1024);
});

test("a receiver without room lets the sender keep its bytes", async () => {
  const release = Promise.withResolvers<void>();
  const limits = { inboundBytesMax: 6 * MIB, inboundWaitMs: 60_000 };
  const [sender, receiver] = [await swarm.node(), await swarm.node({ limits })];
  await introduce(sender, receiver);
  let handled = 0;
  receiver.network.handle("data", async () => {
    handled++;
    await release.promise;
    return message();
  });
  const body = new Uint8Array(5 * MIB);
  const requests = Array.from({ length: 8 }, () =>
    sender.network.request(receiver.network.self, "data", message("", body), patient),
  );
  await until("one is being handled", () => handled === 1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(handled).toBe(1);
  expect(receiver.gauges().requestBytesInMemory).toBe(5 * MIB);
  expect(receiver.gauges().streamBytes.unread).toBe(0);
  expect(sender.gauges().streamBytes.queuedToSend).toBe(0);
  release.resolve();
  await Promise.all(requests);
  expect(receiver.gauges().requestBytesInMemory).toBe(0);
});

test("20 requests of 5 MiB both ways at once stay within the budgets of both ends", async () => {
  const limits = {
    inboundBytesMax: 16 * MIB,
    inboundBytesPerPeerMax: 16 * MIB,
    answersReadBytesMax: 16 * MIB,
    answersPendingBytesMax: 16 * MIB,
  };
  const nodes = [await swarm.node({ limits }), await swarm.node({ limits })] as const;
  await introduce(nodes[0], nodes[1]);
  for (const node of nodes) node.network.handle("data", async (_, received) => received);
  const most = { request: 0, read: 0, unread: 0 };
  const sample = (): number => {
    for (const node of nodes) {
      const gauges = node.gauges();
      most.request = Math.max(most.request, gauges.requestBytesInMemory);
      most.read = Math.max(most.read, gauges.answerBytesBeingRead);
      most.unread = Math.max(most.unread, gauges.streamBytes.unread);
    }
    return 0;
  };
  const exchangeAll = async (from: Libp2pNode, to: Libp2pNode): Promise<void> => {
    const one = async (index: number): Promise<void> => {
      const body = new Uint8Array(5 * MIB).fill(index);
      const send = () => from.network.request(to.network.self, "data", message(`${index}`, body), patient);
      const answer = await untilServed(send);
      expect(answer.body.every((byte) => byte === index)).toBe(true);
    };
    await Promise.all(Array.from({ length: 20 }, (_, index) => one(index)));
  };
  await until("connected", () => isConnected(nodes[0], nodes[1]) && isConnected(nodes[1], nodes[0]));
  const startMs = performance.now();
  await largest(sample, () =>
    Promise.all([exchangeAll(nodes[0], nodes[1]), exchangeAll(nodes[1], nodes[0])]),
  );
  console.log(`400 MiB in ${Math.round(performance.now() - startMs)} ms`, most);
  expect(most.request).toBeGreaterThan(0);
  expect(most.request).toBeLessThanOrEqual(16 * MIB);
  expect(most.read).toBeLessThanOrEqual(16 * MIB);
  for (const node of nodes)
    expect(node.gauges()).toMatchObject({ requestBytesInMemory: 0, answerBytesInMemory: 0 });
});

test("requests that arrive at once do not get more room for their answers together than there is", async () => {
  const limits = {
    answersPendingBytesMax: 16 * MIB,
    answersPendingBytesPerPeerMax: 10 * MIB,
    inboundWaitMs: 120_000,
    outboundPerPeer: 16,
  };
  const server = await swarm.node({ limits });
  const askers = [await swarm.node({ limits }), await swarm.node({ limits })];
  for (const asker of askers) await introduce(asker, server);
  const barrier = Promise.withResolvers<void>();
  let running = 0;
  let mostRunning = 0;
  server.network.handle(
    "data",
    async (_, { head }) => {
      if (head.length > 0) return message("small");
      mostRunning = Math.max(mostRunning, ++running);
      await barrier.promise;
      running--;
      return message("", new Uint8Array(5 * MIB));
    },
    (_, { head }) => (head.length > 0 ? 0 : 5 * MIB),
  );
  const requests = askers.flatMap((asker) =>
    Array.from({ length: 15 }, () => asker.network.request(server.network.self, "data", message(), patient)),
  );
  // Two of each peer, three of all.
  await until("as many run as there is room for", () => running === 3);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(running).toBe(3);
  expect(server.gauges().answerBytesInMemory).toBe(15 * MIB);
  // What needs no room does not wait for it.
  const small = await askers[0]?.network.request(server.network.self, "data", message("small"), patient);
  expect(small?.head.length).toBe(5);
  const most = await largest(
    () => server.gauges().answerBytesInMemory,
    () => {
      barrier.resolve();
      return Promise.all(requests);
    },
  );
  expect(most).toBeLessThanOrEqual(16 * MIB);
  expect(mostRunning).toBe(3);
  expect(server.gauges().answerBytesInMemory).toBe(0);
});

test("on a slow link answers wait behind each other for longer than anybody waits for room", async () => {
  const limits = { answersPendingBytesPerPeerMax: 4 * MIB, inboundWaitMs: 1000 };
  const [asker, server] = [
    await swarm.node({ members: () => [] }),
    await swarm.node({ limits, members: () => [] }),
  ];
  server.network.handle(
    "data",
    async () => message("", new Uint8Array(3 * MIB)),
    () => 3 * MIB,
  );
  const link = await slowLink(portOf(server), 4 * MIB);
  await asker.directory.learn(server.network.self, [`/ip4/127.0.0.1/tcp/${link.port}`]);
  const startMs = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => asker.network.request(server.network.self, "data", message(), patient)),
  );
  expect(answers.map(({ body }) => body.length)).toEqual(answers.map(() => 3 * MIB));
  // Else nobody had to wait, and this shows nothing.
  expect(performance.now() - startMs).toBeGreaterThan(2000);
});

/** A peer that sends what it likes. */
async function rawStream(node: Libp2pNode, protocol: string) {
  const seed = randomBytes(32);
  const raw = await createRawLibp2p(seed);
  swarm.onStop(async () => raw.stop());
  const self = must(parsePeerId(raw.peerId.toString()), "peer id");
  const open = async () => {
    const connection = await raw.dial(multiaddr(addressOf(node)));
    const stream = await connection.newStream(protocol);
    const heard: number[] = [];
    stream.addEventListener("message", (event) => heard.push(...event.data.subarray()));
    return { stream, heard };
  };
  return { self, open };
}

test("the bytes of an exchange are as the format says", async () => {
  const node = await swarm.node();
  node.network.handle("data", async (_, received) => received);
  const raw = await rawStream(node, "/cairn/1/data");
  swarm.setRole(raw.self, "member");
  const small = await raw.open();
  small.stream.send(Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 7, 8, 9));
  await until("it answers", () => small.heard.length >= 14);
  expect(small.heard).toEqual([1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 7, 8, 9]);
  const large = await raw.open();
  // 65,537 bytes: one more than may come unasked.
  large.stream.send(Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 1));
  await until("it says go", () => large.heard.length > 0);
  expect(large.heard).toEqual([0]);
  large.stream.send(new Uint8Array(65_537).fill(5));
  await until("it answers", () => large.heard.length >= 10 + 65_537 - 1);
  expect(large.heard.slice(1, 11)).toEqual([1, 0, 0, 0, 0, 0, 1, 0, 1, 5]);
});

test("lengths beyond the limits are refused before anything is allocated or read", async () => {
  const node = await swarm.node();
  let handled = false;
  node.network.handle("data", async () => {
    handled = true;
    return message();
  });
  const raw = await rawStream(node, "/cairn/1/data");
  swarm.setRole(raw.self, "member");
  for (const [headBytes, bodyBytes] of [
    [0xffffffff, 0],
    [0, 0xffffffff],
    [9 * MIB, 0],
    [0, 18 * MIB],
  ] as const) {
    const { stream, heard } = await raw.open();
    const header = Buffer.alloc(8);
    header.writeUInt32BE(headBytes, 0);
    header.writeUInt32BE(bodyBytes, 4);
    stream.send(header);
    await until("it answers", () => heard.length > 0);
    expect(heard).toEqual([4]);
    expect(node.gauges().requestBytesInMemory).toBe(0);
  }
  expect(handled).toBe(false);
});

test("a guest's request has limits of its own", async () => {
  const node = await swarm.node();
  node.network.handle("join", async () => message("in"));
  const guest = await swarm.guest("join-guest");
  const peer = await guest.dial(addressOf(node));
  expect(await codeOf(guest.network.request(peer, "join", message("", new Uint8Array(1)), IDLE))).toBe(
    "PEER_PROTOCOL",
  );
  const raw = await rawStream(node, "/cairn/1/join");
  swarm.setRole(raw.self, "join-guest");
  const { stream, heard } = await raw.open();
  stream.send(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1));
  await until("it answers", () => heard.length > 0);
  expect(heard).toEqual([4]);
});

/** Waits until it has not changed for half a second, however long it changes before; returns what it is then. */
async function settled(measure: () => number): Promise<number> {
  let last = measure();
  let sinceMs = performance.now();
  while (performance.now() - sinceMs < 500) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (measure() === last) continue;
    last = measure();
    sinceMs = performance.now();
  }
  return last;
}

test("who sends more than it said, unasked, is read no further than a few windows", async () => {
  const node = await swarm.node();
  let handled = 0;
  node.network.handle("data", () => {
    handled++;
    return new Promise(() => {});
  });
  const raw = await rawStream(node, "/cairn/1/data");
  swarm.setRole(raw.self, "member");
  const { stream } = await raw.open();
  stream.send(new Uint8Array(8));
  for (let sent = 0; sent < 64; sent++) stream.send(new Uint8Array(MIB));
  const queued = await settled(() => stream.writeBufferLength);
  expect({ status: stream.status, handled }).toEqual({ status: "open", handled: 1 });
  // The node grants half a MiB anew for what comes before it gets to pausing the stream; then it takes nothing more.
  expect(64 * MIB + 8 - queued).toBeLessThanOrEqual(8 * MIB);
  expect(node.gauges().streamBytes.unread).toBeLessThanOrEqual(MIB);
});

async function child(members: readonly PeerId[], directory: string) {
  const process_ = spawn(process.execPath, [new URL("./libp2p-child.ts", import.meta.url).pathname], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  swarm.onStop(async () => {
    process_.kill("SIGCONT");
    process_.kill("SIGKILL");
    await new Promise((resolve) =>
      process_.exitCode === null && process_.signalCode === null
        ? process_.once("exit", resolve)
        : resolve(0),
    );
  });
  const seed = randomBytes(32);
  process_.stdin.write(`${JSON.stringify({ seedHex: seed.toString("hex"), directory, members })}\n`);
  const line = await new Promise<string>((resolve) =>
    createInterface({ input: process_.stdout }).once("line", resolve),
  );
  const { address } = JSON.parse(line) as { address: string };
  return { peer: peerIdOf(signerFromSeed(seed).publicKey), address, process: process_ };
}

test("a hung peer costs its own requests the timeout, others nothing, and its connection is closed", async () => {
  const limits = { silentMs: 600, signOfLifeMs: 600, helloTimeoutMs: 600 };
  const [node, other] = [
    await swarm.node({ limits, members: () => [] }),
    await swarm.node({ members: () => [] }),
  ];
  other.network.handle("data", async () => message("fine"));
  await introduce(node, other);
  const hung = await child([node.network.self], swarm.freshDirectory());
  swarm.setRole(hung.peer, "member");
  await node.directory.learn(hung.peer, [hung.address]);
  await node.network.request(hung.peer, "data", message(), IDLE);
  expect(node.network.connected()).toContain(hung.peer);
  hung.process.kill("SIGSTOP");

  const startMs = performance.now();
  const toHung = Array.from({ length: 12 }, (_, index) =>
    codeOf(
      node.network.request(hung.peer, "data", message("", new Uint8Array(index * 200_000)), {
        idleTimeoutMs: 1500,
      }),
    ),
  );
  const answer = await node.network.request(other.network.self, "data", message(), IDLE);
  expect(new TextDecoder().decode(answer.head)).toBe("fine");
  const codes = await Promise.all(toHung);
  const tookMs = performance.now() - startMs;
  expect(codes.every((code) => code === "PEER_TIMEOUT" || code === "PEER_UNREACHABLE")).toBe(true);
  // Those that had to wait for a place do not wait one after the other.
  expect(tookMs).toBeLessThan((12 * 1500) / 2);
  await until("the silent connection is closed", () => !node.network.connected().includes(hung.peer));
  // The system still takes the connection, but nobody shakes hands.
  expect(await codeOf(node.network.request(hung.peer, "data", message(), { idleTimeoutMs: 10_000 }))).toBe(
    "PEER_UNREACHABLE",
  );
  hung.process.kill("SIGCONT");
  await until("it is back", async () => {
    const outcome = await node.network.request(hung.peer, "data", message(), IDLE).catch(() => undefined);
    return outcome !== undefined;
  });
});

test("a hung peer that nobody asks anything is noticed too", async () => {
  const node = await swarm.node({ limits: { silentMs: 500, signOfLifeMs: 500 }, members: () => [] });
  const hung = await child([node.network.self], swarm.freshDirectory());
  swarm.setRole(hung.peer, "member");
  await node.directory.learn(hung.peer, [hung.address]);
  await node.network.request(hung.peer, "data", message(), IDLE);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(node.network.connected()).toEqual([hung.peer]);
  hung.process.kill("SIGSTOP");
  await until("its connection is closed", () => node.network.connected().length === 0);
});

test("members that hang and are in the routing table hold up no lookup of kad-dht longer than its time", async () => {
  const lookupTimeoutMs = 3000;
  const holder = await swarm.node({ members: () => [] });
  const seeker = await swarm.node({ limits: { lookupTimeoutMs }, members: () => [holder.network.self] });
  const hanging = await Promise.all(
    [0, 1, 2].map(() => child([seeker.network.self, holder.network.self], swarm.freshDirectory())),
  );
  for (const { peer, address } of hanging) {
    swarm.setRole(peer, "member");
    await seeker.directory.learn(peer, [address]);
    await seeker.network.request(peer, "data", message(), IDLE);
  }
  await introduce(seeker, holder);
  const owner = ownerIdOf(randomBytes(32));
  await holder.directory.announce(owner);
  await until("the pool is found", async () => (await seeker.directory.pool(owner)).length === 1);
  for (const { process } of hanging) process.kill("SIGSTOP");
  const startMs = performance.now();
  // What answers is found all the same; who is nowhere is not looked for for minutes.
  expect(await seeker.directory.pool(owner)).toEqual([holder.network.self]);
  expect(await seeker.directory.find(peerIdOf(signerFromSeed(randomBytes(32)).publicKey))).toEqual([]);
  expect(performance.now() - startMs).toBeLessThan(2 * lookupTimeoutMs + 20_000);
  for (const { process } of hanging) process.kill("SIGCONT");
});

test("a link that is slow and busy is not taken for a dead one", async () => {
  // The queue alone is seconds long: no answer to anything comes in the time.
  const limits = { silentMs: 500, signOfLifeMs: 500 };
  const [sender, receiver] = [
    await swarm.node({ limits, members: () => [] }),
    await swarm.node({ limits, members: () => [] }),
  ];
  receiver.network.handle("data", async () => message());
  const link = await slowLink(portOf(receiver), MIB);
  await sender.directory.learn(receiver.network.self, [`/ip4/127.0.0.1/tcp/${link.port}`]);
  let losses = 0;
  sender.network.onConnection((_, connected) => {
    if (!connected) losses++;
  });
  const body = new Uint8Array(MIB);
  await Promise.all(
    Array.from({ length: 8 }, () =>
      sender.network.request(receiver.network.self, "data", message("", body), patient),
    ),
  );
  expect(losses).toBe(0);
});

test("a guest that waits long for an answer is not thrown out", async () => {
  const node = await swarm.node({ limits: { silentMs: 200, signOfLifeMs: 200 } });
  node.network.handle("recover", async () => {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    return message("at last");
  });
  const guest = await swarm.guest("recovery-guest");
  const peer = await guest.dial(addressOf(node));
  const answer = await guest.network.request(peer, "recover", message(), IDLE);
  expect(new TextDecoder().decode(answer.head)).toBe("at last");
});

test("a peer that is killed is unreachable at once", async () => {
  const node = await swarm.node({ members: () => [] });
  const killed = await child([node.network.self], swarm.freshDirectory());
  swarm.setRole(killed.peer, "member");
  await node.directory.learn(killed.peer, [killed.address]);
  await node.network.request(killed.peer, "data", message(), IDLE);
  killed.process.kill("SIGKILL");
  await until("it is noticed", () => !node.network.connected().includes(killed.peer));
  expect(await codeOf(node.network.request(killed.peer, "data", message(), IDLE))).toBe("PEER_UNREACHABLE");
});

test("two that speak different framings talk in the newest that both know", async () => {
  const [next, now] = [await swarm.node({ framings: [2, 1] }), await swarm.node()];
  await introduce(next, now);
  await until("they are connected", () => isConnected(next, now) && isConnected(now, next));
  for (const [from, to] of [
    [next, now],
    [now, next],
  ] as const) {
    to.network.handle("data", async () => message("understood"));
    const { head } = await from.network.request(to.network.self, "data", message(), IDLE);
    expect(new TextDecoder().decode(head)).toBe("understood");
  }
});
