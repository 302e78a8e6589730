import { createHash } from "node:crypto";
import { assert } from "../../base/assert.ts";
import { concatBytes, equalBytes, readU64be, u32be, u64be, utf8 } from "../../base/bytes.ts";
import { Fault } from "../../base/fault.ts";
import { parseShardIdBytes, type ShardId, shardIdBytes } from "../../base/ids.ts";
import type { MetaStore } from "../../ports/meta-store.ts";
import type { ShardVersion } from "./shard-layout.ts";

/** What the index says about one shard. */
export interface ShardEntry {
  readonly version: ShardVersion;
  readonly bytes: number;
  readonly note: Uint8Array;
}

const ENTRY_VERSION = 1;
const ENTRY_HEAD_BYTES = 1 + 4 + 4 + 8;
const ENTRY_PREFIX = 0x01;
const TOMBSTONE_PREFIX = 0x02;
const QUARANTINE_PREFIX = 0x03;
const QUARANTINE_VERSION = 1;
const QUARANTINE_HEAD_BYTES = 1 + 4 + 4 + 8 + 8 + 8 + 2;
/** Longer reasons are cut. */
export const REASON_BYTES_MAX = 500;

export const ENTRY_RANGE = { from: Uint8Array.of(ENTRY_PREFIX), to: Uint8Array.of(ENTRY_PREFIX + 1) };
export const TOMBSTONE_RANGE = {
  from: Uint8Array.of(TOMBSTONE_PREFIX),
  to: Uint8Array.of(TOMBSTONE_PREFIX + 1),
};

export const QUARANTINE_RANGE = {
  from: Uint8Array.of(QUARANTINE_PREFIX),
  to: Uint8Array.of(QUARANTINE_PREFIX + 1),
};

export function entryKey(id: ShardId): Uint8Array {
  return concatBytes(Uint8Array.of(ENTRY_PREFIX), shardIdBytes(id));
}

/** Marks a shard as deleted from before its file is removed until the removal is on disk. */
export function tombstoneKey(id: ShardId): Uint8Array {
  return concatBytes(Uint8Array.of(TOMBSTONE_PREFIX), shardIdBytes(id));
}

export function idOfKey(key: Uint8Array): ShardId {
  const id = parseShardIdBytes(key.subarray(1));
  if (id === undefined) throw malformed("shard index key", "it is not a shard id");
  return id;
}

export function encodeEntry(entry: ShardEntry): Uint8Array {
  return concatBytes(
    Uint8Array.of(ENTRY_VERSION),
    u32be(entry.version.generation),
    u32be(entry.version.nonce),
    u64be(entry.bytes),
    entry.note,
  );
}

export function decodeEntry(value: Uint8Array): ShardEntry {
  if (value.length < ENTRY_HEAD_BYTES) throw malformed("shard index entry", "it is too short");
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  requireVersion("shard index entry", view.getUint8(0), ENTRY_VERSION);
  const bytes = readU64be(value, 9);
  if (bytes === undefined) throw malformed("shard index entry", "its length is out of range");
  return {
    version: { generation: view.getUint32(1), nonce: view.getUint32(5) },
    bytes,
    note: value.slice(ENTRY_HEAD_BYTES),
  };
}

export function entryOf(index: MetaStore, id: ShardId): ShardEntry | undefined {
  const value = index.get(entryKey(id));
  return value === undefined ? undefined : decodeEntry(value);
}

/** What the index says about a writing that was taken out of service. */
export interface QuarantineEntry extends ShardEntry {
  /** Length of the file that is kept aside; 0 when there was none. */
  readonly keptBytes: number;
  readonly sinceMs: number;
  readonly reason: string;
}

export function quarantineKey(id: ShardId): Uint8Array {
  return concatBytes(Uint8Array.of(QUARANTINE_PREFIX), shardIdBytes(id));
}

export function encodeQuarantine(entry: QuarantineEntry): Uint8Array {
  const reason = utf8(entry.reason).subarray(0, REASON_BYTES_MAX);
  return concatBytes(
    Uint8Array.of(QUARANTINE_VERSION),
    u32be(entry.version.generation),
    u32be(entry.version.nonce),
    u64be(entry.bytes),
    u64be(entry.keptBytes),
    u64be(entry.sinceMs),
    u32be(reason.length).subarray(2),
    reason,
    entry.note,
  );
}

export function decodeQuarantine(value: Uint8Array): QuarantineEntry {
  const what = "quarantine entry";
  if (value.length < QUARANTINE_HEAD_BYTES) throw malformed(what, "it is too short");
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  requireVersion(what, view.getUint8(0), QUARANTINE_VERSION);
  const [bytes, keptBytes, sinceMs] = [9, 17, 25].map((offset) => readU64be(value, offset));
  const reasonEnd = QUARANTINE_HEAD_BYTES + view.getUint16(QUARANTINE_HEAD_BYTES - 2);
  if (bytes === undefined || keptBytes === undefined || sinceMs === undefined || reasonEnd > value.length)
    throw malformed(what, "a number is out of range");
  return {
    version: { generation: view.getUint32(1), nonce: view.getUint32(5) },
    bytes,
    keptBytes,
    sinceMs,
    reason: new TextDecoder().decode(value.subarray(QUARANTINE_HEAD_BYTES, reasonEnd)),
    note: value.slice(reasonEnd),
  };
}

export function quarantineOf(index: MetaStore, id: ShardId): QuarantineEntry | undefined {
  const value = index.get(quarantineKey(id));
  return value === undefined ? undefined : decodeQuarantine(value);
}

/** The highest generation that the index knows of, held, deleted or kept aside; 0 for none. */
export function generationFloor(index: MetaStore, id: ShardId): number {
  const tombstone = index.get(tombstoneKey(id));
  const deleted = tombstone === undefined ? 0 : decodeTombstone(tombstone);
  const held = entryOf(index, id)?.version.generation ?? 0;
  return Math.max(deleted, held, quarantineOf(index, id)?.version.generation ?? 0);
}

/** The value of a tombstone is the generation up to which files are to be removed. */
export function encodeTombstone(generation: number): Uint8Array {
  return u32be(generation);
}

function decodeTombstone(value: Uint8Array): number {
  if (value.length !== 4) throw malformed("shard tombstone", "it is not four bytes long");
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
}

/**
 * What follows the shard's bytes in its file, so that the files alone are enough to make the index anew: the
 * note, then a footer of fixed length at the very end.
 */
const FOOTER_MAGIC = utf8("cairnsh1");
const ID_BYTES = 60;
const SUM_BYTES = 32;
export const FOOTER_BYTES = ID_BYTES + 4 + 8 + 4 + FOOTER_MAGIC.length + SUM_BYTES;

export function encodeTrailer(id: ShardId, generation: number, bytes: number, note: Uint8Array): Uint8Array {
  const head = concatBytes(
    note,
    shardIdBytes(id),
    u32be(generation),
    u64be(bytes),
    u32be(note.length),
    FOOTER_MAGIC,
  );
  const trailer = concatBytes(head, checksum(head));
  assert(trailer.length === note.length + FOOTER_BYTES, "a trailer is a note and a footer");
  return trailer;
}

/** Lengths from the footer, unchecked but for their sum; `undefined` when this is not the end of our file. */
export function trailerBytes(footer: Uint8Array, fileBytes: number): number | undefined {
  if (footer.length !== FOOTER_BYTES) return undefined;
  const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
  const bytes = readU64be(footer, ID_BYTES + 4);
  const noteBytes = view.getUint32(ID_BYTES + 12);
  return bytes !== undefined && bytes + noteBytes + FOOTER_BYTES === fileBytes
    ? noteBytes + FOOTER_BYTES
    : undefined;
}

/** `undefined` when it fails its checksum or is of another shard. */
export function decodeTrailer(
  trailer: Uint8Array,
  id: ShardId,
): { generation: number; bytes: number; note: Uint8Array } | undefined {
  if (trailer.length < FOOTER_BYTES) return undefined;
  const head = trailer.subarray(0, trailer.length - SUM_BYTES);
  if (!equalBytes(checksum(head), trailer.subarray(head.length))) return undefined;
  const footer = trailer.subarray(trailer.length - FOOTER_BYTES);
  const magic = footer.subarray(ID_BYTES + 16, ID_BYTES + 16 + FOOTER_MAGIC.length);
  if (!equalBytes(magic, FOOTER_MAGIC) || !equalBytes(footer.subarray(0, ID_BYTES), shardIdBytes(id))) {
    return undefined;
  }
  const bytes = readU64be(footer, ID_BYTES + 4);
  if (bytes === undefined) return undefined;
  const generation = new DataView(footer.buffer, footer.byteOffset).getUint32(ID_BYTES);
  return { generation, bytes, note: trailer.slice(0, trailer.length - FOOTER_BYTES) };
}

function checksum(head: Uint8Array): Uint8Array {
  return createHash("sha256").update(head).digest();
}

function requireVersion(what: string, version: number, newestKnown: number): void {
  if (version !== newestKnown) throw new Fault({ code: "FORMAT_VERSION", what, version, newestKnown });
}

function malformed(what: string, reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what, reason });
}
