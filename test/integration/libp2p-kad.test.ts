import { randomBytes } from "node:crypto";
import { generateKeyPair, publicKeyToProtobuf } from "@libp2p/crypto/keys";
import type { Connection, Stream } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KAD_PROTOCOL } from "../../src/adapters/libp2p/limits.ts";
import { must } from "../../src/base/assert.ts";
import { ownerIdOf, parsePeerId } from "../../src/base/ids.ts";
import { KIB, MIB } from "../../src/base/units.ts";
import { until } from "../contract/network.ts";
import { createRawLibp2p } from "../support/raw-libp2p.ts";
import { addressOf, IDLE, introduce, message, TestSwarm } from "./libp2p-swarm.ts";

// What a member can do to kad-dht and ping beside our own protocols. Where the other traps of libp2p are tested:
// - silent sockets: libp2p-admission "silent sockets", libp2p-abuse "that say nothing";
// - its limits on connections a second, which refuse a whole site behind one address: libp2p-admission "nine nodes";
// - hung peers: libp2p-flow "a hung peer"; in routing tables, with kad-dht's own time-outs: "hold up no lookup of kad-dht";
// - the connection monitor, which ends busy connections on slow links: libp2p-flow "is not taken for a dead one";
// - writing and reading without back-pressure: libp2p-flow "does not make the sender buffer", "without room", "unasked";
// - a peer store that forgets addresses after an hour: libp2p-directory "is kept over a restart".

let swarm: TestSwarm;
beforeEach(async () => {
  swarm = await TestSwarm.create();
});
afterEach(async () => {
  await swarm.stop();
});

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
}

/** Of protobuf: a field of bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of((number << 3) | 2), Buffer.from(varint(bytes.length)), bytes]);
}

const TYPE = { putValue: 0, getValue: 1 } as const;

/** A message of kad-dht, behind its length. */
function kadMessage(type: number, key: Uint8Array, record?: Uint8Array): Buffer {
  const parts = [Buffer.of(1 << 3, type), field(2, key), ...(record === undefined ? [] : [field(3, record)])];
  const bytes = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(varint(bytes.length)), bytes]);
}

const recordOf = (key: Uint8Array, value: Uint8Array): Buffer =>
  Buffer.concat([field(1, key), field(2, value), field(5, Buffer.from("2026-01-01T00:00:00.000000000Z"))]);

async function rawMember(to: string): Promise<Connection> {
  const raw = await createRawLibp2p(randomBytes(32));
  swarm.onStop(async () => raw.stop());
  swarm.setRole(must(parsePeerId(raw.peerId.toString()), "peer id"), "member");
  return raw.dial(multiaddr(to));
}

async function send(
  connection: Connection,
  bytes: Uint8Array,
): Promise<{ stream: Stream; heard: () => Buffer }> {
  const stream = await connection.newStream(KAD_PROTOCOL);
  const pieces: Uint8Array[] = [];
  stream.addEventListener("message", (event) => void pieces.push(event.data.subarray()));
  for (let at = 0; at < bytes.length && stream.status === "open"; at += 64 * KIB) {
    stream.send(bytes.subarray(at, at + 64 * KIB));
  }
  return { stream, heard: () => Buffer.concat(pieces) };
}

test("kad-dht takes a value record from no member, whatever its key and size, and gives out none", async () => {
  const node = await swarm.node({ members: () => [] });
  const connection = await rawMember(addressOf(node));
  const value = randomBytes(3 * MIB);
  // The one kind that kad-dht takes by default: somebody's public key, under its own hash.
  const { publicKey } = await generateKeyPair("Ed25519");
  const own = Buffer.concat([Buffer.from("/pk/"), publicKey.toMultihash().bytes]);
  const keys = [own, ...["/pk/somebody", "/cairn/roster", "no-name", ""].map((key) => Buffer.from(key))];
  for (const key of keys) {
    for (const bytes of [publicKeyToProtobuf(publicKey), value.subarray(0, 10), value]) {
      const { stream, heard } = await send(connection, kadMessage(TYPE.putValue, key, recordOf(key, bytes)));
      await until("it is refused", () => stream.status !== "open");
      expect(heard().length).toBe(0);
    }
    // Told of nothing but peers, if at all.
    const { stream, heard } = await send(connection, kadMessage(TYPE.getValue, key));
    await until("it answers, or refuses", () => stream.status !== "open" || heard().length > 0);
    expect(heard().length).toBeLessThan(KIB);
  }
  expect(connection.status).toBe("open");
});

test("messages of kad-dht that are none, or without end, cost the stream, and lookups go on", async () => {
  const holder = await swarm.node({ members: () => [] });
  const node = await swarm.node({ members: () => [holder.network.self] });
  const connection = await rawMember(addressOf(node));
  const hostile = [
    randomBytes(64 * KIB),
    // Announces 2^49 bytes, and sends some of them.
    Buffer.concat([Buffer.of(255, 255, 255, 255, 255, 255, 127), Buffer.alloc(MIB)]),
    // Announces 64 MiB, and sends eight.
    Buffer.concat([Buffer.from(varint(64 * MIB)), Buffer.alloc(8 * MIB)]),
    Buffer.of(0),
    kadMessage(99, Buffer.from("key")),
  ];
  for (const bytes of hostile) await send(connection, bytes).catch(() => undefined);
  await introduce(node, holder);
  const owner = ownerIdOf(randomBytes(32));
  await until("the pool is found", async () => {
    await holder.directory.announce(owner);
    return (await node.directory.pool(owner)).includes(holder.network.self);
  });
  expect(node.gauges().streamBytes.unread).toBeLessThan(16 * MIB);
});

test("pings side by side are all answered, and cost no connection", async () => {
  // With signs of life of our own going on beside them.
  const limits = { silentMs: 200, signOfLifeMs: 5000 };
  const node = await swarm.node({ limits, members: () => [] });
  node.network.handle("data", async () => message("served"));
  const other = await swarm.node({ members: () => [] });
  await introduce(other, node);
  const connection = await rawMember(addressOf(node));
  for (let round = 0; round < 5; round++) {
    const echoes = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const stream = await connection.newStream("/ipfs/ping/1.0.0", { maxOutboundStreams: 16 });
        const sent = randomBytes(32);
        const heard: number[] = [];
        stream.addEventListener("message", (event) => void heard.push(...event.data.subarray()));
        stream.send(sent);
        await until("it is echoed", () => heard.length === 32);
        await stream.close();
        return Buffer.from(heard).equals(sent);
      }),
    );
    expect(echoes).toEqual(echoes.map(() => true));
  }
  expect(connection.status).toBe("open");
  const answer = await other.network.request(node.network.self, "data", message(), IDLE);
  expect(new TextDecoder().decode(answer.head)).toBe("served");
});
