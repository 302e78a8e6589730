import { createHash } from "node:crypto";
import { decode } from "cborg";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { incarnationOf, ownerIdOf, peerIdOf, swarmIdOf } from "../../src/base/ids.ts";
import { deriveOwnerKeys, deriveRecoveryKeys } from "../../src/crypto/index.ts";
import { decodeEntry, signCertificate } from "../../src/membership/entry.ts";
import { makeRotation } from "../../src/node/rotation.ts";
import { openSlot } from "../../src/node/slot.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const swarm = swarmIdOf(new Uint8Array(32).fill(0x11));
const root = new Uint8Array(32).fill(0x33);
const { signer: owner } = deriveOwnerKeys(root);
const node = signer("golden node");
const [old, next] = [0x44, 0x55].map((byte) => deriveRecoveryKeys(new Uint8Array(32).fill(byte)));
if (old === undefined || next === undefined) throw new Error("two keys");

const rotation = makeRotation(
  { bytes: (length) => new Uint8Array(length).fill(0x66) },
  {
    swarm,
    owner: ownerIdOf(owner.publicKey),
    peer: peerIdOf(node.publicKey),
    certificate: new Uint8Array(32).fill(0x77),
    generation: 3,
    number: 2,
    retires: old.identity.publicKey,
    incarnation: incarnationOf(new Uint8Array(16).fill(0x88)),
  },
  { node, owner, old: old.identity, next },
  { content: { swarm, owner: ownerIdOf(owner.publicKey), root }, nowMs: AT_MS },
);
const other = signer("golden node by the new key");
const recovered = signCertificate(
  swarm,
  {
    v: 1,
    by: "recovery",
    rotation: rotation.hash,
    peer: peerIdOf(other.publicKey),
    owner: ownerIdOf(owner.publicKey),
    recovery: next.identity.publicKey,
    site: "store-7",
    name: "store 7",
    host: "store7.example",
    capacityBytes: 5e11,
    nodeNumber: new Uint8Array(32).fill(0x99),
    generation: 4,
    holder: false,
    issuedMs: AT_MS + 1,
  },
  [next.identity, other],
);

describe("a replaced recovery key, version 1", () => {
  const encodings = { rotation: rotation.bytes, rotationHash: rotation.hash, certificate: recovered.bytes };

  it("is the pinned bytes", () => {
    const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
    expect(hex).toEqual(goldenJson("v1/membership/rotation.json", hex));
  });

  it("can be read back, gives the hash that is documented, and carries what the new words open", () => {
    for (const entry of [rotation, recovered]) {
      expect(toHex(decodeEntry(entry.bytes).hash)).toBe(toHex(entry.hash));
      const { type, epoch, body } = decode(entry.bytes);
      const u64 = Buffer.alloc(8);
      u64.writeBigUInt64BE(BigInt(epoch));
      const head = Buffer.from(`cairn/1/entry/${type}\0`);
      const hash = createHash("sha256").update(head).update(Buffer.from(swarm, "hex")).update(u64).update(body);
      expect(hash.digest("hex")).toBe(toHex(entry.hash));
    }
    expect(openSlot(next, rotation.body.slot).root).toEqual(root);
    expect(() => openSlot(old, rotation.body.slot)).toThrow();
  });
});
