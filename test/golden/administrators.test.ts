import { createHash } from "node:crypto";
import { decode } from "cborg";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/base/bytes.ts";
import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import {
  exportAdministrator,
  importAdministrator,
  PASSPHRASE_SLOT_RANDOM_BYTES,
} from "../../src/crypto/index.ts";
import {
  decodeEntry,
  signAdministrators,
  signEndorsement,
  signGenesis,
  signWithdrawal,
} from "../../src/membership/entry.ts";
import { nodeStatusCodec } from "../../src/wire/membership.ts";
import { encodeSigned } from "../../src/wire/signed.ts";
import { signer } from "../unit/membership/world.ts";
import { goldenJson } from "./golden-file.ts";

const AT_MS = 1_800_000_000_000;
const [first, second] = [signer("golden administrator 1"), signer("golden administrator 2")];
const genesis = signGenesis(
  {
    v: 1,
    administrators: [first.publicKey],
    threshold: 1,
    createdMs: AT_MS,
    nonce: new Uint8Array(16).fill(0x11),
  },
  first,
);
const { swarm } = genesis;
const listed = new Uint8Array(32).fill(0x77);
const endorsement = signEndorsement(swarm, { v: 1, set: 0, entries: [listed], issuedMs: AT_MS }, first);
const withdrawal = signWithdrawal(swarm, { v: 1, entry: listed, issuedMs: AT_MS }, [first]);
const change = signAdministrators(
  swarm,
  {
    v: 1,
    number: 1,
    administrators: [first.publicKey, second.publicKey],
    threshold: 2,
    previous: genesis.hash,
    keeps: [endorsement.hash],
    issuedMs: AT_MS,
  },
  [first],
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
  administrator: second.publicKey,
});
const statement = { type: "status" as const, swarm, incarnation: NO_INCARNATION, epoch: 1, body: statusBody };
const exported = exportAdministrator(new Uint8Array(32).fill(0x88), {
  swarm,
  passphrase: "correct horse",
  random: new Uint8Array(PASSPHRASE_SLOT_RANDOM_BYTES).fill(0x99),
  cost: { memoryKib: 64 * 1024, passes: 3, lanes: 1 },
});

const encodings: Record<string, Uint8Array> = {
  endorsement: endorsement.bytes,
  withdrawal: withdrawal.bytes,
  administrators: change.bytes,
  administratorsHash: change.hash,
  statusWithKey: encodeSigned(signStatement(statement, second)),
  exported: Buffer.from(exported),
};

describe("encodings of administrators, version 1", () => {
  it("are the pinned bytes", () => {
    const hex = Object.fromEntries(Object.entries(encodings).map(([name, bytes]) => [name, toHex(bytes)]));
    expect(hex).toEqual(goldenJson("v1/membership/administrators.json", hex));
  });

  it("can be read back, and give the hash that is documented", () => {
    for (const entry of [endorsement, withdrawal, change]) {
      expect(toHex(decodeEntry(entry.bytes).hash)).toBe(toHex(entry.hash));
      const { type, epoch, body } = decode(entry.bytes);
      const u64 = Buffer.alloc(8);
      u64.writeBigUInt64BE(BigInt(epoch));
      const head = Buffer.from(`cairn/1/entry/${type}\0`);
      const hash = createHash("sha256").update(head).update(Buffer.from(swarm, "hex")).update(u64).update(body);
      expect(hash.digest("hex")).toBe(toHex(entry.hash));
    }
    expect(toHex(importAdministrator(exported, { swarm, passphrase: "correct horse" }))).toBe("88".repeat(32));
  });
});
