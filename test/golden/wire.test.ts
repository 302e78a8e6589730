import { createDecipheriv, createHash, createPublicKey, verify } from "node:crypto";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { decode } from "cborg";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { idBytes, incarnationOf, peerIdOf, swarmIdOf } from "../../src/base/ids.ts";
import { sealBox } from "../../src/crypto/box.ts";
import { sha256 } from "../../src/crypto/hash.ts";
import { deriveRecoveryKeys } from "../../src/crypto/index.ts";
import { NO_INCARNATION, type Statement, signedHash, signStatement } from "../../src/crypto/signed.ts";
import { shardRoot } from "../../src/erasure/index.ts";
import { headContext } from "../../src/exchange/index.ts";
import { makeSlot, openSlot } from "../../src/node/slot.ts";
import { classFromData } from "../../src/placement/index.ts";
import {
  type DataAnswer,
  type DataRequest,
  dataAnswer,
  dataRequest,
  incarnationBody,
  keptBody,
  receiptBody,
  shardNote,
} from "../../src/wire/data.ts";
import { descriptorCodec, readDescriptor } from "../../src/wire/descriptor.ts";
import { headBody, headPayload, mapBody } from "../../src/wire/head.ts";
import { type RecoverAnswer, type RecoverRequest, recoverAnswer, recoverRequest } from "../../src/wire/recover.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { ownerKeys } from "../support/segments.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const swarm = swarmIdOf(new Uint8Array(32).fill(0x77));
const keys = ownerKeys(3);
const incarnation = incarnationOf(new Uint8Array(16).fill(0xab));
const earlier = incarnationOf(new Uint8Array(16).fill(0xaa));
const recovery = deriveRecoveryKeys(Uint8Array.from({ length: 32 }, (_, index) => index * 8));
const [holder, other] = [signer("golden holder"), signer("golden other holder")];
const random = Uint8Array.from({ length: 32 }, (_, index) => index);
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);

// A segment of 11 bytes as in the example of "Erasure coding": three data shards, two of parity, leaves of 64 bytes.
const shards = ["63616972", "6e206b65", "65707300", "68317117", "1f3525fb"].map((hex) => Buffer.from(hex, "hex"));
const NUMBER = 0x0102030405;

const descriptor = descriptorCodec.encode({
  v: 1,
  codec: 1,
  k: 3,
  m: 2,
  class: 4,
  segmentBytes: 11,
  shardBytes: 4,
  leafBytes: 64,
  roots: shards.map((bytes, index) => shardRoot(bytes, index, 64)),
  lockMs: 0,
  createdMs: AT_MS,
});

const locator = {
  id: filled(32, 0x51),
  incarnation: 1,
  class: 4,
  segment: NUMBER,
  frame: 2,
  offset: 4321,
  sealedBytes: 900,
  rawBytes: 2000,
  compressed: true,
};
const payload = headPayload.encode({ v: 1, incarnations: [earlier, incarnation], root: locator, snapshotSequence: 7 });
const head = headBody.encode({
  v: 1,
  parent: filled(32, 0x52),
  timeMs: AT_MS,
  nextSegment: NUMBER + 64,
  payload: sealBox(keys.metadataKey, payload, headContext(keys.owner), random),
});
const firstHead = headBody.encode({ v: 1, timeMs: AT_MS, nextSegment: 64, payload: filled(3, 1) });

const peers = [holder, other].map(({ publicKey }) => peerIdOf(publicKey)).sort();
const map = mapBody.encode({
  v: 1,
  class: 4,
  k: 1,
  m: 2,
  cap: 1,
  partitions: 16,
  peers,
  rows: [
    [0, [{ from: 0, slots: [1, 0, 65_535], versions: [] }]],
    [
      5,
      [
        { from: 5, slots: [0, 1, 65_535], versions: [] },
        { from: 37, slots: [1, 0, 0], versions: [[1, 0], [2, 0], [1, 3]] },
      ],
    ],
  ],
});

const receipt = receiptBody.encode({
  v: 1,
  owner: keys.owner,
  incarnation,
  number: NUMBER,
  index: 3,
  root: shardRoot(must(shards[3], "shard"), 3, 64),
  timeMs: AT_MS,
});

const say = (statement: Omit<Statement, "swarm">, by = keys.signer) => signStatement({ swarm, ...statement }, by);
const signed = {
  descriptor: say({ type: "descriptor", incarnation, epoch: NUMBER, body: descriptor }),
  map: say({ type: "map", incarnation, epoch: 9, body: map }),
  head: say({ type: "head", incarnation, epoch: 12, body: head }),
  receipt: say({ type: "receipt", incarnation: NO_INCARNATION, epoch: AT_MS, body: receipt }, holder),
  slot: makeSlot(
    { bytes: () => random },
    recovery,
    { swarm, owner: keys.owner, root: filled(32, 3), administratorSeed: filled(32, 4) },
    AT_MS / 1000,
  ),
  incarnation: say(
    {
      type: "incarnation",
      incarnation: NO_INCARNATION,
      epoch: 1,
      body: incarnationBody.encode({ v: 1, owner: keys.owner, incarnation, timeMs: AT_MS }),
    },
    recovery.identity,
  ),
};
const records = { head: encodeSigned(signed.head), map: encodeSigned(signed.map) };
const kept = keptBody.encode({
  v: 1,
  owner: keys.owner,
  hashes: [sha256(records.head), sha256(records.map)],
  timeMs: AT_MS,
});
const headReceipt = say({ type: "head-receipt", incarnation: NO_INCARNATION, epoch: AT_MS, body: kept }, holder);

const segment = { owner: keys.owner, incarnation, number: NUMBER } as const;
const page = { genesis: filled(3, 2), entries: [filled(4, 3)], next: filled(33, 4) };
const requests = {
  put: { t: "put", v: 1, index: 3, descriptor: encodeSigned(signed.descriptor) },
  get: { t: "get", v: 1, ...segment, index: 2, offset: 262_144, length: 16_384 },
  have: { t: "have", v: 1, owner: keys.owner, incarnation, shards: [[0, 1], [NUMBER, 2]] },
  keep: { t: "keep", v: 1, records: [records.head, records.map] },
  records: { t: "records", v: 1, owner: keys.owner },
} satisfies Record<string, DataRequest>;
const answers = {
  receipt: { t: "receipt", v: 1, receipt: encodeSigned(signed.receipt) },
  shard: { t: "shard", v: 1, descriptor: encodeSigned(signed.descriptor), proof: [filled(32, 5)] },
  have: { t: "have", v: 1, held: Uint8Array.of(2) },
  kept: { t: "kept", v: 1, receipt: encodeSigned(headReceipt) },
  records: { t: "records", v: 1, records: [records.head] },
  refused: { t: "refused", v: 1, refusal: "no-room", reason: "No room left.", freeBytes: 4096 },
} satisfies Record<string, DataAnswer>;

const encodings: Record<string, Uint8Array> = {
  descriptorBody: descriptor,
  headPayload: payload,
  headBody: head,
  firstHeadBody: firstHead,
  mapBody: map,
  receiptBody: receipt,
  headReceiptBody: kept,
  shardNote: shardNote.encode({
    v: 1,
    root: shardRoot(must(shards[3], "shard"), 3, 64),
    descriptor: encodeSigned(signed.descriptor),
    receivedMs: AT_MS,
  }),
  ...Object.fromEntries(Object.entries(signed).map(([name, one]) => [name, encodeSigned(one)])),
  headHash: signedHash(signed.head),
  ...Object.fromEntries(Object.entries(requests).map(([name, one]) => [`request ${name}`, dataRequest.encode(one)])),
  ...Object.fromEntries(Object.entries(answers).map(([name, one]) => [`answer ${name}`, dataAnswer.encode(one)])),
  "recover hello": recoverRequest.encode({ t: "hello", v: 1, page: { after: page.next } }),
  "recover pool": recoverRequest.encode({ t: "pool", v: 1 }),
  "recover submit": recoverRequest.encode({
    t: "submit",
    v: 1,
    certificate: filled(5, 6),
    incarnation: encodeSigned(signed.incarnation),
  }),
  "recover welcome": recoverAnswer.encode({
    t: "welcome",
    v: 1,
    owner: keys.owner,
    nowMs: AT_MS,
    page,
    slots: [encodeSigned(signed.slot)],
    incarnations: [encodeSigned(signed.incarnation)],
  }),
  "recover pooled": recoverAnswer.encode({
    t: "pool",
    v: 1,
    peers: [{ peer: must(peers[0], "peer"), addresses: ["/ip4/192.0.2.1/tcp/4001"] }],
  }),
  "recover accepted": recoverAnswer.encode({
    t: "accepted",
    v: 1,
    accepted: { certificate: filled(5, 6), page },
  }),
  "recover refused": recoverAnswer.encode({ t: "refused", v: 1, refusal: "NOT_ALLOWED", reason: "no" }),
};

describe("records and messages, version 1", () => {
  const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
  const pinned = goldenJson("v1/wire/encodings.json", hex);

  it("are the pinned bytes", () => {
    expect(hex).toEqual(pinned);
  });

  it("are the pinned bytes where a recovery asks for the older heads of a life", () => {
    const request: RecoverRequest = { t: "heads", v: 1, incarnation };
    const answer: RecoverAnswer = { t: "heads", v: 1, heads: [records.head] };
    const bytes = { "recover heads": recoverRequest.encode(request), "recover headed": recoverAnswer.encode(answer) };
    const older = Object.fromEntries(Object.entries(bytes).map(([name, one]) => [name, toHex(one)]));
    expect(older).toEqual(goldenJson("v1/wire/older-heads.json", older));
    expect(recoverRequest.decode(bytes["recover heads"])).toEqual(request);
    expect(recoverAnswer.decode(bytes["recover headed"])).toEqual(answer);
  });

  it("can be read back", () => {
    for (const [name, one] of Object.entries(requests)) {
      expect(dataRequest.decode(must(encodings[`request ${name}`], name))).toEqual(one);
    }
    for (const [name, one] of Object.entries(answers)) {
      expect(dataAnswer.decode(must(encodings[`answer ${name}`], name))).toEqual(one);
    }
    for (const bytes of [...Object.values(signed), headReceipt].map(encodeSigned)) {
      expect(toHex(encodeSigned(decodeSigned(bytes)))).toBe(toHex(bytes));
    }
    expect(readDescriptor(encodeSigned(signed.descriptor), swarm).segment).toEqual(segment);
    expect(openSlot(recovery, encodeSigned(signed.slot)).root).toEqual(filled(32, 3));
    expect(classFromData(mapBody.decode(map)).rows.rows[5]).toHaveLength(2);
  });

  it.each(["descriptorBody", "mapBody", "headBody", "receiptBody"])("%s with a key too many is refused", (name) => {
    const codecs = { descriptorBody: descriptorCodec, mapBody, headBody, receiptBody };
    const known = codecs[name as keyof typeof codecs];
    const bytes = must(encodings[name], name);
    // A map of one entry more: "z" -> 0 behind the last one.
    const more = Buffer.concat([Buffer.of((bytes[0] ?? 0) + 1), bytes.subarray(1), Buffer.from("617a00", "hex")]);
    expect(() => known.decode(more)).toThrow(/Malformed/);
  });
});

// A reader written from docs/format alone, on node:crypto, HKDF and a CBOR decoder only.
describe("the format as documented", () => {
  const read = (name: string): Buffer => Buffer.from(must(encodings[name], name));
  const u64 = (value: number): Buffer => {
    const out = Buffer.alloc(8);
    out.writeBigUInt64BE(BigInt(value));
    return out;
  };
  const subkey = (key: Uint8Array, purpose: string): Uint8Array =>
    hkdf(sha512, key, undefined, Buffer.from(`cairn/1/${purpose}`), 32);
  const openBox = (key: Uint8Array, box: Buffer, aad: Uint8Array): Buffer => {
    expect([box[0], box[1]]).toEqual([1, 1]);
    const derived = hkdf(sha512, key, box.subarray(2, 34), Buffer.from("cairn/1/box\0\x01\x01", "latin1"), 64);
    expect(Buffer.from(derived.subarray(32))).toEqual(box.subarray(34, 66));
    const decipher = createDecipheriv("aes-256-gcm", derived.subarray(0, 32), Buffer.alloc(12));
    decipher.setAAD(aad).setAuthTag(box.subarray(-16));
    return Buffer.concat([decipher.update(box.subarray(66, -16)), decipher.final()]);
  };
  const signedBytes = (envelope: ReturnType<typeof decode>): Buffer =>
    Buffer.concat([
      Buffer.from(`cairn/1/${envelope.type}\0`),
      envelope.swarm,
      envelope.signer,
      envelope.incarnation,
      u64(envelope.epoch),
      envelope.body,
    ]);

  it.each(["descriptor", "map", "head", "receipt", "slot", "incarnation"])("verifies a %s", (name) => {
    const envelope = decode(read(name));
    expect([envelope.v, envelope.type]).toEqual([1, name]);
    const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), envelope.signer]);
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    expect(verify(null, signedBytes(envelope), key, envelope.signature)).toBe(true);
  });

  it("names a head by the hash of what is signed and its signature", () => {
    const envelope = decode(read("head"));
    const hash = createHash("sha256").update(signedBytes(envelope)).update(envelope.signature).digest();
    expect(hash).toEqual(read("headHash"));
  });

  it("opens a head", () => {
    const { body, signer: owner } = decode(read("head"));
    const { payload: box, nextSegment } = decode(body);
    expect(nextSegment).toBe(NUMBER + 64);
    const plain = openBox(subkey(Buffer.alloc(32, 3), "metadata-key"), Buffer.from(box), owner);
    const { incarnations, root, snapshotSequence } = decode(plain);
    expect([incarnations.length, snapshotSequence, root.segment, root.class]).toEqual([2, 7, NUMBER, 4]);
  });

  it("opens a slot with the words' entropy", () => {
    const entropy = Uint8Array.from({ length: 32 }, (_, index) => index * 8);
    const { body } = decode(read("slot"));
    const { swarm: of, owner, wrappedRoot, wrappedAdministrator } = decode(body);
    const wrapping = subkey(entropy, "recovery-wrapping-key");
    const aad = (purpose: string): Buffer =>
      Buffer.concat([Buffer.from(`cairn/1/wrapped-root\0cairn/1/slot/${purpose}\0`), of, owner]);
    expect(openBox(wrapping, Buffer.from(wrappedRoot), aad("root"))).toEqual(Buffer.alloc(32, 3));
    expect(openBox(wrapping, Buffer.from(wrappedAdministrator), aad("administrator"))).toEqual(Buffer.alloc(32, 4));
  });

  it("finds a segment's holders in a map", () => {
    const { partitions, peers: named, rows } = decode(decode(read("map")).body);
    const holders = (number: number): unknown[] => {
      const [, generations] = rows.find(([partition]: [number]) => partition === number % partitions) ?? [];
      const generation = generations?.filter(({ from }: { from: number }) => from <= number).at(-1);
      return (generation?.slots ?? []).map((slot: number) => (slot === 65_535 ? undefined : named[slot]));
    };
    expect(holders(21)).toEqual([named[0], named[1], undefined]);
    expect(holders(37)).toEqual([named[1], named[0], named[0]]);
    expect(holders(1)).toEqual([]);
    expect(Buffer.from(named[0]).equals(Buffer.from(holder.publicKey))).toBe(peers[0] === peerIdOf(holder.publicKey));
  });

  it("gives the roots of a descriptor and the fields of a receipt", () => {
    const body = decode(decode(read("descriptor")).body);
    const sha = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();
    shards.forEach((bytes, index) => {
      const leaf = sha(Buffer.from("000000000000000004", "hex"), bytes);
      const root = sha(Buffer.of(2, 1, 0, 0, 0, index), u64(4), Buffer.of(0, 0, 0, 64), leaf);
      expect(Buffer.from(body.roots[index])).toEqual(root);
    });
    expect(body.shardBytes).toBe(Math.ceil(body.segmentBytes / body.k));
    const envelope = decode(read("receipt"));
    const said = decode(envelope.body);
    expect([said.timeMs, said.index, said.number]).toEqual([envelope.epoch, 3, NUMBER]);
    expect(Buffer.from(said.root)).toEqual(Buffer.from(body.roots[3]));
    expect(Buffer.from(said.owner)).toEqual(Buffer.from(idBytes(keys.owner)));
  });
});
