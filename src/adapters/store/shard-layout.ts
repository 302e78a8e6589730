import { join } from "node:path";
import {
  type Incarnation,
  type OwnerId,
  parseIncarnation,
  parseOwnerId,
  SEGMENT_NUMBER_MAX,
  type ShardId,
  shardKey,
} from "../../base/ids.ts";

/** One writing of a shard's bytes. No two writings ever share a name, so none is overwritten. */
export interface ShardVersion {
  /** Counts from 1 while the shard is held: of two files of one shard the higher holds. */
  readonly generation: number;
  /** Random, 32 bits: tells a retried writing from one whose fate is unknown. */
  readonly nonce: number;
}

/** Segments that share a directory: consecutive ones do, so that a burst of puts shares directory syncs. */
const SEGMENTS_PER_DIRECTORY = 4096;
const U32_MAX = 2 ** 32 - 1;
const FILE_NAME = /^([0-9a-f]{12})-(0|[1-9]\d{0,9})\.([1-9]\d{0,9})-([0-9a-f]{8})(\.tmp)?$/;

/** Path components below the store's directory: owner, incarnation, group of segments. */
export function shardDirectoryParts(id: ShardId): readonly [string, string, string] {
  return [id.owner, id.incarnation, hex(Math.floor(id.number / SEGMENTS_PER_DIRECTORY), 9)];
}

export function shardFileName(id: ShardId, version: ShardVersion): string {
  return `${hex(id.number, 12)}-${id.index}.${version.generation}-${hex(version.nonce, 8)}`;
}

export function shardPath(root: string, id: ShardId, version: ShardVersion): string {
  return join(root, ...shardDirectoryParts(id), shardFileName(id, version));
}

export function sameVersion(a: ShardVersion, b: ShardVersion): boolean {
  return a.generation === b.generation && a.nonce === b.nonce;
}

/** A key for sets of writings. */
export function versionKey(id: ShardId, version: ShardVersion): string {
  return `${shardKey(id)}/${version.generation}-${version.nonce}`;
}

/** The writing alone, as text. */
export function versionText(version: ShardVersion): string {
  return `${version.generation}-${hex(version.nonce, 8)}`;
}

export const TEMPORARY_SUFFIX = ".tmp";
/** Below the store's directory, laid out like it: files of shards that were found to be bad. */
export const QUARANTINE_DIRECTORY = "quarantine";
/** Beside the file there, or where it would be: why it is there, as text for people. */
export const REASON_SUFFIX = ".why";

export interface ParsedShardFile {
  readonly id: ShardId;
  readonly version: ShardVersion;
  readonly temporary: boolean;
}

/** `undefined` when the file is not one of ours, or lies where it does not belong. */
export function parseShardFile(
  parts: readonly [owner: string, incarnation: string, group: string],
  name: string,
): ParsedShardFile | undefined {
  const owner: OwnerId | undefined = parseOwnerId(parts[0]);
  const incarnation: Incarnation | undefined = parseIncarnation(parts[1]);
  const match = FILE_NAME.exec(name);
  if (owner === undefined || incarnation === undefined || match === null) return undefined;
  const [, number = "", index = "", generation = "", nonce = "", temporary] = match;
  const id: ShardId = { owner, incarnation, number: Number.parseInt(number, 16), index: Number(index) };
  if (id.index > U32_MAX || Number(generation) > U32_MAX) return undefined;
  if (id.number > SEGMENT_NUMBER_MAX || shardDirectoryParts(id)[2] !== parts[2]) return undefined;
  return {
    id,
    version: { generation: Number(generation), nonce: Number.parseInt(nonce, 16) },
    temporary: temporary !== undefined,
  };
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
