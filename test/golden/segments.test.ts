import { createDecipheriv, createHash, createHmac } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { describe, expect, it } from "vitest";
import { KIB, MIB } from "../../src/base/units.ts";
import { hmacSha256 } from "../../src/crypto/hash.ts";
import { deriveRecoveryKeys, sealBox, sealPassphraseSlot } from "../../src/crypto/index.ts";
import { parseRecoveryKey, recoveryWords, wrapRoot } from "../../src/crypto/recovery-key.ts";
import type { PreparedChunk } from "../../src/ports/compute.ts";
import { openWholeSegment, sealSegment } from "../../src/segments/index.ts";
import { identityOf, noise, ownerKeys } from "../support/segments.ts";
import { golden, goldenJson } from "./golden-file.ts";

const ROOT_BYTE = 3;
const keys = ownerKeys(ROOT_BYTE);
const identity = identityOf(keys, 0x0102030405, 0xab);
const random = Uint8Array.from({ length: 32 }, (_, index) => index);
const utf8 = (text: string): Uint8Array => Buffer.from(text);

// A zstd frame of 1,000 times "a" as zstd 1.5 wrote it. Pinned: another zstd may well write other bytes.
const ZSTD_OF_A = Buffer.from("28b52ffd60e8024d00001061610100e32b8005", "hex");

function chunkOf(raw: Uint8Array, packed?: Uint8Array): PreparedChunk {
  return {
    id: hmacSha256(keys.chunkIdKey, raw),
    rawBytes: raw.length,
    stored: packed ?? raw,
    compressed: packed !== undefined,
  };
}

const plaintexts = [utf8("The first chunk of this segment."), Buffer.alloc(1000, "a"), noise(5000, 4)];
const chunks = plaintexts.map((raw, index) => chunkOf(raw, index === 1 ? ZSTD_OF_A : undefined));

function seal(segmentBytes: number, content: readonly PreparedChunk[]): Uint8Array {
  const { dataKey, saltKey } = keys;
  return sealSegment({ ...identity, dataKey, saltKey, random, chunks: content, segmentBytes });
}

/** A reader written from docs/format.md alone, sharing no code with src/. */
function referenceRead(segment: Buffer): Buffer[] {
  const subkey = (purpose: string): Uint8Array =>
    hkdf(sha512, Buffer.alloc(32, ROOT_BYTE), undefined, utf8(`cairn/1/${purpose}`), 32);
  const u64 = (value: number): Buffer => {
    const out = Buffer.alloc(8);
    out.writeBigUInt64BE(BigInt(value));
    return out;
  };
  const who = Buffer.concat([identity.owner, identity.incarnation, u64(identity.segment)]);
  const info = Buffer.concat([utf8("cairn/1/segment\0"), Buffer.of(1, 1), who]);
  const derived = hkdf(sha512, subkey("data-key"), segment.subarray(8, 40), info, 64);
  expect(segment.subarray(0, 8).toString("latin1")).toBe("CRNS\x01\x01\0\0");
  expect(segment.subarray(40, 72)).toEqual(Buffer.from(derived.subarray(32)));
  const open = (frame: number, last: number, from: number, to: number): Buffer => {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(frame, 8);
    const aad = Buffer.concat([who, nonce.subarray(8), Buffer.of(last)]);
    const decipher = createDecipheriv("aes-256-gcm", derived.subarray(0, 32), nonce);
    decipher.setAAD(aad).setAuthTag(segment.subarray(to - 16, to));
    return Buffer.concat([decipher.update(segment.subarray(from, to - 16)), decipher.final()]);
  };
  const locator = open(0, 0, 72, 100);
  const count = locator.readUInt32BE(0);
  const tocOffset = locator.readUInt32BE(4);
  expect(tocOffset + locator.readUInt32BE(8)).toBe(segment.length);
  const toc = open(count + 1, 1, tocOffset, segment.length);
  expect(toc.subarray(count * 45).every((byte) => byte === 0)).toBe(true);
  return Array.from({ length: count }, (_, index) => {
    const entry = toc.subarray(index * 45, index * 45 + 45);
    const offset = entry.readUInt32BE(32);
    const stored = open(index + 1, 0, offset, offset + entry.readUInt32BE(36));
    const raw = entry[44] === 1 ? zstdDecompressSync(stored) : stored;
    expect(raw).toHaveLength(entry.readUInt32BE(40));
    const id = createHmac("sha256", subkey("chunk-id-key")).update(raw).digest();
    expect(id).toEqual(Buffer.from(entry.subarray(0, 32)));
    return raw;
  });
}

describe("segments of format version 1", () => {
  const sealed = seal(16 * KIB, chunks);

  it("have these bytes", () => {
    expect(Buffer.from(sealed)).toEqual(golden("v1/segments/three-chunks.segment", sealed));
    const empty = seal(16 * KIB, []);
    expect(Buffer.from(empty)).toEqual(golden("v1/segments/empty.segment", empty));
  });

  it("have this hash at full size", () => {
    const full = seal(16 * MIB, [chunkOf(noise(4 * MIB, 5)), chunkOf(noise(4 * MIB, 6)), ...chunks]);
    const actual = { bytes: full.length, sha256: createHash("sha256").update(full).digest("hex") };
    expect(actual).toEqual(goldenJson("v1/segments/full-size.json", actual));
  });

  it("are read by a reader written from the format page", () => {
    const pinned = Buffer.from(golden("v1/segments/three-chunks.segment", sealed));
    expect(referenceRead(pinned)).toEqual(plaintexts.map((raw) => Buffer.from(raw)));
  });

  it("that were written are still read", () => {
    const pinned = golden("v1/segments/three-chunks.segment", sealed);
    const whole = openWholeSegment(keys, identity, pinned);
    expect(whole.toc.map((entry) => Buffer.from(whole.read(entry)))).toEqual(
      plaintexts.map((raw) => Buffer.from(raw)),
    );
  });
});

describe("keys of format version 1", () => {
  it("are derived as pinned", () => {
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
    const entropy = Uint8Array.from({ length: 32 }, (_, index) => index * 8);
    const recovery = deriveRecoveryKeys(entropy);
    const root = new Uint8Array(32).fill(ROOT_BYTE);
    const context = utf8("golden context");
    const cost = { memoryKib: 64 * 1024, passes: 3, lanes: 4 };
    const slot = sealPassphraseSlot("correct horse", root, Buffer.alloc(48, 1), context, cost);
    const actual = {
      rootHex: hex(root),
      dataKey: hex(keys.dataKey),
      metadataKey: hex(keys.metadataKey),
      chunkIdKey: hex(keys.chunkIdKey),
      gearKey: hex(keys.gearKey),
      saltKey: hex(keys.saltKey),
      owner: keys.owner,
      recoveryWords: recoveryWords(entropy),
      recoveryEntropyHex: hex(parseRecoveryKey(recoveryWords(entropy))),
      wrappingKey: hex(recovery.wrappingKey),
      recoveryIdentity: hex(recovery.identity.publicKey),
      contextHex: hex(context),
      wrappedRoot: hex(wrapRoot(recovery.wrappingKey, root, random, context)),
      passphrase: "correct horse",
      passphraseSlot: hex(slot),
      box: hex(sealBox(root, utf8("a small message"), utf8("additional data"), random)),
    };
    expect(actual).toEqual(goldenJson("v1/keys/keys.json", actual));
  });
});
