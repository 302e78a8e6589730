import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareBytes, equalBytes, fromHex, toHex, utf8 } from "../../../src/base/bytes.ts";
import {
  chunkIdOf,
  compareShardIds,
  idBytes,
  incarnationOf,
  ownerIdOf,
  parseIncarnation,
  parseOwnerId,
  parsePeerId,
  parseShardIdBytes,
  parseSwarmId,
  peerIdOf,
  publicKeyOfPeer,
  SEGMENT_NUMBER_MAX,
  type ShardId,
  segmentKey,
  shardIdBytes,
  shardKey,
  snapshotIdOf,
  swarmIdOf,
} from "../../../src/base/ids.ts";

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
const shardId = fc
  .record({
    owner: key,
    incarnation: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    number: fc.integer({ min: 0, max: SEGMENT_NUMBER_MAX }),
    index: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  })
  .map(
    (drawn): ShardId => ({
      ...drawn,
      owner: ownerIdOf(drawn.owner),
      incarnation: incarnationOf(drawn.incarnation),
    }),
  );

describe("peer ids", () => {
  test("are what libp2p prints for the same key", () => {
    // Public key of RFC 8032, test 1; the text is that of @libp2p/peer-id for it.
    const publicKey = fromHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    expect(peerIdOf(publicKey ?? utf8("?"))).toBe("12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV");
  });

  test("give their key back", () => {
    fc.assert(
      fc.property(key, (publicKey) => {
        const peer = peerIdOf(publicKey);
        expect(parsePeerId(peer)).toBe(peer);
        expect(equalBytes(publicKeyOfPeer(peer), publicKey)).toBe(true);
      }),
    );
  });

  test("other text is none", () => {
    const peer = peerIdOf(new Uint8Array(32).fill(1));
    const others = [
      "",
      "12D3Koo",
      peer.slice(0, -1),
      `${peer}1`,
      `1${peer}`,
      peer.replace("D", "0"),
      "1".repeat(52),
    ];
    // A secp256k1 peer id, and a CID of the key rather than its multihash.
    others.push("16Uiu2HAmPFejk12yp5uMGBH8HAGdbGtJq6Jx1UDUQUFHa8mTgLpF", `z${peer}`, "x".repeat(100_000));
    for (const text of others) expect(parsePeerId(text), text.slice(0, 60)).toBeUndefined();
  });
});

describe("hex ids", () => {
  test("have one length and one spelling each", () => {
    const text = "ab".repeat(32);
    expect(parseOwnerId(text)).toBe(text);
    expect(parseSwarmId(text)).toBe(text);
    expect(parseIncarnation("ab".repeat(16))).toBe("ab".repeat(16));
    for (const other of [
      text.toUpperCase(),
      text.slice(2),
      `${text}ab`,
      `${text.slice(2)}zz`,
      `${text.slice(1)}\n`,
    ]) {
      expect(parseOwnerId(other)).toBeUndefined();
    }
    expect(parseIncarnation(text)).toBeUndefined();
  });

  test("come from bytes of their length only, and go back", () => {
    const bytes = new Uint8Array(32).fill(200);
    for (const make of [ownerIdOf, swarmIdOf, snapshotIdOf, chunkIdOf]) {
      expect(equalBytes(idBytes(make(bytes)), bytes)).toBe(true);
      expect(() => make(bytes.subarray(1))).toThrow();
    }
    expect(() => incarnationOf(bytes)).toThrow();
  });
});

describe("shard ids", () => {
  test("come back from their bytes", () => {
    fc.assert(
      fc.property(shardId, (id) => {
        expect(parseShardIdBytes(shardIdBytes(id))).toEqual(id);
      }),
    );
  });

  test("order of bytes is owner, incarnation, number, index", () => {
    const order = (a: ShardId, b: ShardId) =>
      compareBytes(idBytes(a.owner), idBytes(b.owner)) ||
      compareBytes(idBytes(a.incarnation), idBytes(b.incarnation)) ||
      a.number - b.number ||
      a.index - b.index;
    fc.assert(
      fc.property(shardId, shardId, fc.boolean(), fc.boolean(), (a, b, sameOwner, sameNumber) => {
        const near: ShardId = {
          ...b,
          ...(sameOwner ? { owner: a.owner, incarnation: a.incarnation } : {}),
          ...(sameOwner && sameNumber ? { number: a.number } : {}),
        };
        expect(Math.sign(compareShardIds(a, near))).toBe(Math.sign(order(a, near)));
      }),
    );
  });

  test("bytes that are none give none", () => {
    const good = shardIdBytes({
      owner: ownerIdOf(new Uint8Array(32)),
      incarnation: incarnationOf(new Uint8Array(16)),
      number: SEGMENT_NUMBER_MAX,
      index: 3,
    });
    expect(parseShardIdBytes(good)?.number).toBe(SEGMENT_NUMBER_MAX);
    expect(parseShardIdBytes(good.subarray(1))).toBeUndefined();
    const beyond = fromHex(toHex(good).replace("0000ffffffffffff", "0001000000000000"));
    expect(parseShardIdBytes(beyond ?? good)).toBeUndefined();
  });

  test("keys are readable", () => {
    const id = {
      owner: ownerIdOf(new Uint8Array(32)),
      incarnation: incarnationOf(new Uint8Array(16)),
      number: 12,
      index: 3,
    };
    expect(segmentKey(id)).toBe(`${"0".repeat(64)}/${"0".repeat(32)}/12`);
    expect(shardKey(id)).toBe(`${segmentKey(id)}/3`);
  });
});
