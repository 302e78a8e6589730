import { assert } from "../base/assert.ts";
import { concatBytes, equalBytes, u32be, u64be, utf8 } from "../base/bytes.ts";
import { INCARNATION_BYTES, PUBLIC_KEY_BYTES, SEGMENT_NUMBER_MAX } from "../base/ids.ts";
import {
  AEAD_TAG_BYTES,
  COMMITMENT_BYTES,
  type CommittedKey,
  deriveCommittedKey,
  SALT_BYTES,
  SUITE_AES_256_GCM,
} from "../crypto/aead.ts";
import { infoOf } from "../crypto/kdf.ts";

// The bytes of a segment, format version 1; docs/format.md says the same in prose.

const VERSION = 1;
/** Magic, version, suite, two reserved zero bytes. */
const PREAMBLE = concatBytes(utf8("CRNS"), Uint8Array.of(VERSION, SUITE_AES_256_GCM, 0, 0));
const COMMITMENT_OFFSET = PREAMBLE.length + SALT_BYTES;

/** What is in clear at the front of every segment: preamble, salt, key commitment. */
export const SEGMENT_HEADER_BYTES = COMMITMENT_OFFSET + COMMITMENT_BYTES;

/** Frame 0: number of chunks, offset and sealed length of the table of contents, u32 each. */
const LOCATOR_BYTES = 12;
export const LOCATOR_FRAME = 0;
/** Frame numbers are 32 bits wide. */
export const FRAME_MAX = 2 ** 32 - 1;
const LOCATOR_SEALED_BYTES = LOCATOR_BYTES + AEAD_TAG_BYTES;

/** Where frame 1, the first chunk, begins. */
export const FIRST_CHUNK_OFFSET = SEGMENT_HEADER_BYTES + LOCATOR_SEALED_BYTES;

const CHUNK_ID_BYTES = 32;
/** Chunk id, then u32 each: offset, sealed length, raw length; then a byte of flags. */
export const TOC_ENTRY_BYTES = CHUNK_ID_BYTES + 3 * 4 + 1;
const FLAG_COMPRESSED = 1;

/** What a chunk costs in a segment besides its stored bytes: the tag of its frame and its line in the table. */
export const ENTRY_OVERHEAD_BYTES = AEAD_TAG_BYTES + TOC_ENTRY_BYTES;
/** Size of a segment without any chunk or padding. */
export const EMPTY_CONTENT_BYTES = FIRST_CHUNK_OFFSET + AEAD_TAG_BYTES;

/** Offsets are 32 bits wide. */
export const SEGMENT_BYTES_MAX = 2 ** 32 - 1;

/** Whose segment it is and which: part of the key and of every frame, so that none can be shown as another. */
export interface SegmentIdentity {
  /** Ed25519 public key, 32 bytes. */
  readonly owner: Uint8Array;
  /** 16 bytes. */
  readonly incarnation: Uint8Array;
  readonly segment: number;
}

/** Where a chunk lies in its sealed segment. */
export interface FramePlace {
  /** 1 for the first chunk; also the counter of its nonce. */
  readonly frame: number;
  /** From the beginning of the segment. */
  readonly offset: number;
  /** Ciphertext and tag. */
  readonly sealedBytes: number;
}

export interface TocEntry extends FramePlace {
  /** HMAC of the plaintext, 32 bytes. */
  readonly id: Uint8Array;
  readonly rawBytes: number;
  readonly compressed: boolean;
}

function identityBytes(identity: SegmentIdentity): Uint8Array {
  assert(identity.owner.length === PUBLIC_KEY_BYTES, "an owner key has 32 bytes");
  assert(identity.incarnation.length === INCARNATION_BYTES, "an incarnation has 16 bytes");
  assert(identity.segment <= SEGMENT_NUMBER_MAX, "a segment number has 48 bits");
  return concatBytes(identity.owner, identity.incarnation, u64be(identity.segment));
}

export function segmentKeyOf(dataKey: Uint8Array, salt: Uint8Array, identity: SegmentIdentity): CommittedKey {
  const info = infoOf("segment", Uint8Array.of(VERSION, SUITE_AES_256_GCM), identityBytes(identity));
  return deriveCommittedKey(dataKey, salt, info);
}

export type FrameAad = (frame: number, last: boolean) => Uint8Array;

/**
 * Additional data of the frames of one segment: identity, frame number (u32), 1 for the last frame and 0 for all others.
 * The bytes are valid until the next call: a segment may have thousands of frames, and each uses them once.
 */
export function frameAadOf(identity: SegmentIdentity): FrameAad {
  const aad = concatBytes(identityBytes(identity), new Uint8Array(5));
  const view = new DataView(aad.buffer, aad.byteOffset, aad.byteLength);
  return (frame, last) => {
    view.setUint32(aad.length - 5, frame);
    view.setUint8(aad.length - 1, last ? 1 : 0);
    return aad;
  };
}

export function encodeHeader(salt: Uint8Array, commitment: Uint8Array): Uint8Array {
  return concatBytes(PREAMBLE, salt, commitment);
}

/** A sentence instead when it is no header that this version reads. */
export function decodeHeader(header: Uint8Array): { salt: Uint8Array; commitment: Uint8Array } | string {
  if (header.length < SEGMENT_HEADER_BYTES) return "the header is cut off";
  const version = header[4];
  if (!equalBytes(header.subarray(0, 4), PREAMBLE.subarray(0, 4))) return "it does not begin like a segment";
  if (version !== VERSION) return `it has format version ${version}, this program reads ${VERSION}`;
  if (!equalBytes(header.subarray(0, PREAMBLE.length), PREAMBLE)) return "its cipher suite is not known";
  return {
    salt: header.subarray(PREAMBLE.length, COMMITMENT_OFFSET),
    commitment: header.subarray(COMMITMENT_OFFSET, SEGMENT_HEADER_BYTES),
  };
}

export interface Locator {
  readonly chunkCount: number;
  readonly tocOffset: number;
  /** The whole last frame: table, padding, tag. */
  readonly tocSealedBytes: number;
}

export function encodeLocator(locator: Locator): Uint8Array {
  return concatBytes(u32be(locator.chunkCount), u32be(locator.tocOffset), u32be(locator.tocSealedBytes));
}

/** `undefined` when it has another length. */
export function decodeLocator(bytes: Uint8Array): Locator | undefined {
  if (bytes.length !== LOCATOR_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, LOCATOR_BYTES);
  return { chunkCount: view.getUint32(0), tocOffset: view.getUint32(4), tocSealedBytes: view.getUint32(8) };
}

/** The last frame's plaintext: the entries, then zeros up to `plaintextBytes`. */
export function encodeToc(entries: readonly TocEntry[], plaintextBytes: number): Uint8Array {
  assert(entries.length * TOC_ENTRY_BYTES <= plaintextBytes, "the table of contents fits");
  const out = new Uint8Array(plaintextBytes);
  const view = new DataView(out.buffer);
  for (const [index, entry] of entries.entries()) {
    assert(entry.id.length === CHUNK_ID_BYTES, "a chunk id has 32 bytes");
    const at = index * TOC_ENTRY_BYTES;
    out.set(entry.id, at);
    view.setUint32(at + 32, entry.offset);
    view.setUint32(at + 36, entry.sealedBytes);
    view.setUint32(at + 40, entry.rawBytes);
    view.setUint8(at + 44, entry.compressed ? FLAG_COMPRESSED : 0);
  }
  return out;
}

/** A sentence instead when the table contradicts itself or the locator: frames follow each other without a gap. */
export function decodeToc(bytes: Uint8Array, locator: Locator): TocEntry[] | string {
  const tableBytes = locator.chunkCount * TOC_ENTRY_BYTES;
  if (bytes.length < tableBytes) return "the table of contents is cut off";
  if (bytes.subarray(tableBytes).some((byte) => byte !== 0)) return "the padding is not zero";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: TocEntry[] = [];
  let offset = FIRST_CHUNK_OFFSET;
  for (let at = 0; at < tableBytes; at += TOC_ENTRY_BYTES) {
    const frame = entries.length + 1;
    const entry: TocEntry = {
      // A copy, or every id would keep the whole table and its padding in memory.
      id: new Uint8Array(bytes.subarray(at, at + CHUNK_ID_BYTES)),
      frame,
      offset: view.getUint32(at + 32),
      sealedBytes: view.getUint32(at + 36),
      rawBytes: view.getUint32(at + 40),
      compressed: view.getUint8(at + 44) === FLAG_COMPRESSED,
    };
    if (entry.offset !== offset) return `frame ${frame} is not where the one before it ends`;
    if (entry.sealedBytes < AEAD_TAG_BYTES) return `frame ${frame} has no room for its tag`;
    if (view.getUint8(at + 44) > FLAG_COMPRESSED) return `frame ${frame} has flags that are not known`;
    offset += entry.sealedBytes;
    entries.push(entry);
  }
  if (offset !== locator.tocOffset) return "the table of contents is not where the last chunk ends";
  return entries;
}
