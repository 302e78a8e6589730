import { createHash, createHmac, createPublicKey, verify } from "node:crypto";
import { decode } from "cborg";
import { describe, expect, it } from "vitest";
import { must } from "../../src/base/assert.ts";
import { toHex } from "../../src/base/bytes.ts";
import { ownerIdOf, peerIdOf } from "../../src/base/ids.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import { removeMember } from "../../src/membership/administer.ts";
import {
  decodeEntry,
  signCertificate,
  signDelegation,
  signGenesis,
} from "../../src/membership/entry.ts";
import { ItemSet } from "../../src/membership/item-set.ts";
import { recordKeyBytes } from "../../src/membership/records.ts";
import { encodeToken, guestSigner, tokenId } from "../../src/membership/token.ts";
import {
  joinAnswerCodec,
  joinRequestCodec,
  nodeStatusCodec,
  rosterEntryCodec,
} from "../../src/wire/membership.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { syncAnswerCodec, syncRequestCodec } from "../../src/wire/sync.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const administrators = [signer("golden administrator 1"), signer("golden administrator 2")];
const [node, owner, recovery] = [signer("golden node"), signer("golden owner"), signer("golden recovery")];

const genesis = signGenesis(
  {
    v: 1,
    administrators: administrators.map((one) => one.publicKey),
    threshold: 2,
    createdMs: AT_MS,
    nonce: new Uint8Array(16).fill(0x11),
  },
  must(administrators[0], "administrator"),
);
const { swarm } = genesis;

const token = {
  swarm,
  seed: new Uint8Array(32).fill(0x22),
  site: "north-store",
  expiresMs: AT_MS + 86_400_000,
  uses: 2,
  addresses: [{ peer: peerIdOf(node.publicKey), address: "/ip4/192.0.2.1/tcp/4001" }],
};

const delegation = signDelegation(
  swarm,
  {
    v: 1,
    guest: guestSigner(token, 1).publicKey,
    site: token.site,
    nodeNumber: new Uint8Array(32).fill(0x33),
    issuedMs: AT_MS,
    expiresMs: token.expiresMs,
    token: tokenId(token),
    useIndex: 1,
    quotaBytes: 2 ** 40,
  },
  administrators,
);

const fields = {
  v: 1 as const,
  peer: peerIdOf(node.publicKey),
  owner: ownerIdOf(owner.publicKey),
  recovery: recovery.publicKey,
  site: token.site,
  name: "store 7",
  host: "store7.example",
  capacityBytes: 5e11,
  quotaBytes: 2 ** 40,
  nodeNumber: delegation.body.nodeNumber,
  generation: 0,
  holder: true,
  issuedMs: AT_MS + 1,
};
const delegated = signCertificate(swarm, { ...fields, by: "delegation", delegation: delegation.hash }, [
  guestSigner(token, 1),
  node,
  owner,
  recovery,
]);
const recovered = signCertificate(swarm, { ...fields, by: "recovery", generation: 1, holder: false }, [
  recovery,
  node,
]);
const confirmed = signCertificate(swarm, { ...fields, by: "administrators", generation: 2 }, administrators);
const removal = removeMember(
  { roster: { swarm }, clock: { wallMs: () => AT_MS + 2 } },
  {
    administrators,
    member: { ...fields, certificateHash: confirmed.hash, since: fields.issuedMs, generation: 2 },
    reason: "burnt down",
  },
);

const statusBody = nodeStatusCodec.encode({
  v: 1,
  addresses: ["/ip4/192.0.2.1/tcp/4001"],
  capacityBytes: 5e11,
  usedBytes: 1e9,
  freeBytes: 4.99e11,
  formatVersions: { reads: [1], writes: 1 },
  programVersion: "0.1.0",
  timeMs: AT_MS,
});
const statement = { type: "status" as const, swarm, incarnation: NO_INCARNATION, epoch: 1_800_000_000, body: statusBody };
const status = encodeSigned(signStatement(statement, node));

const itemKey = new Uint8Array(16).fill(0x44);
const itemHash = new Uint8Array(32).fill(0x55);
const items = new ItemSet();
items.put({ key: itemKey, epoch: 7, rank: 0, hash: itemHash });
const page = { genesis: genesis.bytes, entries: [delegation.bytes], next: new Uint8Array(33).fill(0x66) };

const encodings: Record<string, Uint8Array> = {
  genesis: genesis.bytes,
  delegation: delegation.bytes,
  certificateByDelegation: delegated.bytes,
  certificateByRecovery: recovered.bytes,
  certificateByAdministrators: confirmed.bytes,
  removal: removal.bytes,
  status,
  token: Buffer.from(encodeToken(token)),
  entryHash: delegation.hash,
  recordKey: recordKeyBytes({ type: "status", signer: node.publicKey }),
  setDigest: items.digest(),
  joinHello: joinRequestCodec.encode({ v: 1, kind: "hello", page: {} }),
  joinHelloNext: joinRequestCodec.encode({ v: 1, kind: "hello", page: { after: page.next } }),
  joinSubmit: joinRequestCodec.encode({ v: 1, kind: "submit", certificate: delegated.bytes }),
  joinWelcome: joinAnswerCodec.encode({ v: 1, kind: "welcome", nowMs: AT_MS, freeUses: [0, 1], page }),
  joinAccepted: joinAnswerCodec.encode({
    v: 1,
    kind: "accepted",
    accepted: { certificate: delegated.bytes, page },
  }),
  joinRefused: joinAnswerCodec.encode({
    v: 1,
    kind: "refused",
    refusal: "TOKEN_EXPIRED",
    reason: "late",
    expiredMs: AT_MS,
  }),
  syncCompare: syncRequestCodec.encode({ v: 1, kind: "compare", roster: itemHash, records: items.digest() }),
  syncCompared: syncAnswerCodec.encode({ v: 1, kind: "compared", records: items.bucketHashes() }),
  syncList: syncRequestCodec.encode({
    v: 1,
    kind: "list",
    set: "roster",
    buckets: new Uint8Array(32).fill(0x80),
    after: [itemKey, itemHash],
  }),
  syncListed: syncAnswerCodec.encode({ v: 1, kind: "listed", items: [[itemKey, 7, 0, itemHash]], more: false }),
  syncFetch: syncRequestCodec.encode({ v: 1, kind: "fetch", set: "records", items: [[itemKey, itemHash]] }),
  syncFetched: syncAnswerCodec.encode({ v: 1, kind: "fetched", answered: 1, entries: [status] }),
  syncPush: syncRequestCodec.encode({ v: 1, kind: "push", news: true, roster: [delegation.bytes], records: [status] }),
  syncTaken: syncAnswerCodec.encode({ v: 1, kind: "taken", added: 1, known: 2, refused: 3 }),
};

const introductions: Record<string, Uint8Array> = {
  introduce: syncRequestCodec.encode({ v: 1, kind: "introduce", to: peerIdOf(node.publicKey) }),
  introduced: syncAnswerCodec.encode({ v: 1, kind: "introduced", done: true }),
};

describe("membership encodings, version 1", () => {
  it("of introductions are the pinned bytes", () => {
    const hex = Object.fromEntries(Object.entries(introductions).map(([name, bytes]) => [name, toHex(bytes)]));
    expect(hex).toEqual(goldenJson("v1/membership/introductions.json", hex));
  });

  it("are the pinned bytes", () => {
    const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
    expect(hex).toEqual(goldenJson("v1/membership/encodings.json", hex));
  });

  it("can be read back", () => {
    for (const entry of [genesis, delegation, delegated, recovered, confirmed, removal]) {
      expect(toHex(decodeEntry(entry.bytes).hash)).toBe(toHex(entry.hash));
    }
    for (const name of ["joinHello", "joinHelloNext", "joinSubmit"]) {
      joinRequestCodec.decode(must(encodings[name], name));
    }
    for (const name of ["joinWelcome", "joinAccepted", "joinRefused"]) {
      joinAnswerCodec.decode(must(encodings[name], name));
    }
  });
});

// A reader written from docs/format alone, on node:crypto and a CBOR decoder only.
describe("the format as documented", () => {
  const sha256 = (...parts: Uint8Array[]): Buffer => {
    const hasher = createHash("sha256");
    for (const one of parts) hasher.update(one);
    return hasher.digest();
  };
  const u64 = (value: number): Buffer => {
    const out = Buffer.alloc(8);
    out.writeBigUInt64BE(BigInt(value));
    return out;
  };

  it("gives swarm id, entry hashes and signatures", () => {
    for (const bytes of [genesis.bytes, delegation.bytes, delegated.bytes, removal.bytes]) {
      const envelope = decode(bytes);
      const hash = sha256(
        Buffer.from(`cairn/1/entry/${envelope.type}\0`),
        envelope.swarm,
        u64(envelope.epoch),
        envelope.body,
      );
      expect(hash.toString("hex")).toBe(toHex(decodeEntry(bytes).hash));
      for (const { signer: key, signature } of envelope.signatures) {
        const signed = Buffer.concat([
          Buffer.from(`cairn/1/${envelope.type}\0`),
          envelope.swarm,
          key,
          Buffer.alloc(16),
          u64(envelope.epoch),
          envelope.body,
        ]);
        const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key]);
        const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
        expect(verify(null, signed, publicKey, signature)).toBe(true);
      }
    }
    const { body } = decode(genesis.bytes);
    expect(sha256(Buffer.from("cairn/1/genesis\0"), body).toString("hex")).toBe(swarm);
  });

  it("gives a token's parts and guests", () => {
    const bytes = Buffer.from(encodeToken(token).slice("cairn1-".length), "base64url");
    expect(bytes[0]).toBe(1);
    const contentBytes = bytes.readUInt16BE(1);
    expect(bytes.length).toBe(3 + contentBytes + 4);
    expect(bytes.subarray(-4)).toEqual(sha256(bytes.subarray(0, -4)).subarray(0, 4));
    const content = decode(bytes.subarray(3, 3 + contentBytes));
    expect(Buffer.from(content.seed).toString("hex")).toBe("22".repeat(32));
    expect(content.site).toBe("north-store");
    const mac = createHmac("sha256", content.seed).update("cairn/1/token\0").digest();
    expect(mac.subarray(0, 16).toString("hex")).toBe(toHex(delegation.body.token));
  });

  it("gives keys of records and digests of sets", () => {
    const key = sha256(Buffer.from("status\0"), node.publicKey, Buffer.alloc(16)).subarray(0, 16);
    expect(key.toString("hex")).toBe(toHex(must(encodings["recordKey"], "record key")));
    const buckets = Buffer.alloc(4096);
    sha256(itemHash).copy(buckets, 0x44 * 16, 0, 16);
    expect(sha256(buckets).toString("hex")).toBe(toHex(items.digest()));
    expect(rosterEntryCodec.decode(genesis.bytes).swarm).toBe(swarm);
  });
});
