import { concatBytes, u32be, u64be, utf8 } from "../base/bytes.ts";
import { type Incarnation, idBytes } from "../base/ids.ts";
import type { BytePath } from "../base/paths.ts";
import { pathBytes } from "../base/paths.ts";

/** A segment of this owner, its incarnation by its position in the owner's list of lives. */
export interface SegmentRef {
  readonly incarnation: number;
  readonly number: number;
}

export function refKey(ref: SegmentRef): string {
  return `${ref.incarnation}/${ref.number}`;
}

/** The first byte of every key in the catalog's namespace: one table each. */
const TABLE = {
  state: "S",
  segment: "s",
  chunk: "c",
  /** Chunk ids that no acknowledged head lists yet. */
  unlisted: "u",
  snapshot: "p",
  manifest: "f",
  path: "d",
  /** Plaintext of metadata chunks: a cache, every entry of which could be fetched again. */
  metadata: "m",
  map: "M",
  /** Maps of lives that a recovery ended, as they were signed. */
  formerMap: "g",
  head: "h",
  /** Entries of the audit trail, by their numbers. */
  trail: "a",
} as const;
export type Table = keyof typeof TABLE;

export function tablePrefix(table: Table): Uint8Array {
  return utf8(TABLE[table]);
}

/** All keys of a table, or of those that begin with `prefix`. */
export function tableRange(
  table: Table,
  prefix: Uint8Array = new Uint8Array(0),
): { from: Uint8Array; to: Uint8Array } {
  const from = concatBytes(tablePrefix(table), prefix);
  return { from, to: afterPrefix(from) };
}

/** The first key that no longer begins with `prefix`. */
function afterPrefix(prefix: Uint8Array): Uint8Array {
  const to = prefix.slice();
  for (let i = to.length - 1; i >= 0; i--) {
    const byte = to[i] ?? 0;
    if (byte < 255) {
      to[i] = byte + 1;
      return to.subarray(0, i + 1);
    }
  }
  return Uint8Array.of(255, 255);
}

export const stateKey = (name: string): Uint8Array => concatBytes(tablePrefix("state"), utf8(name));
export const chunkKey = (id: Uint8Array): Uint8Array => concatBytes(tablePrefix("chunk"), id);
export const unlistedKey = (id: Uint8Array): Uint8Array => concatBytes(tablePrefix("unlisted"), id);
export const metadataKey = (id: Uint8Array): Uint8Array => concatBytes(tablePrefix("metadata"), id);
export const snapshotKey = (sequence: number): Uint8Array =>
  concatBytes(tablePrefix("snapshot"), u64be(sequence));
export const manifestKey = (sequence: number): Uint8Array =>
  concatBytes(tablePrefix("manifest"), u64be(sequence));
export const pathKey = (path: BytePath): Uint8Array => concatBytes(tablePrefix("path"), pathBytes(path));
export const segmentKeyOf = (ref: SegmentRef): Uint8Array =>
  concatBytes(tablePrefix("segment"), u32be(ref.incarnation), u64be(ref.number));
export const trailKey = (sequence: number): Uint8Array => concatBytes(tablePrefix("trail"), u64be(sequence));
export const mapPrefix = (incarnation: number): Uint8Array => u32be(incarnation);
export const formerMapKey = (life: Incarnation, classId: number): Uint8Array =>
  concatBytes(tablePrefix("formerMap"), idBytes(life), u32be(classId));
export const mapKey = (incarnation: number, classId: number): Uint8Array =>
  concatBytes(tablePrefix("map"), mapPrefix(incarnation), u32be(classId));
