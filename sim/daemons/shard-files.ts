import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join, sep } from "node:path";
import { decodeTrailer, FOOTER_BYTES, trailerBytes } from "../../src/adapters/store/shard-codec.ts";
import { parseShardFile, QUARANTINE_DIRECTORY, shardPath } from "../../src/adapters/store/shard-layout.ts";
import { equalBytes } from "../../src/base/bytes.ts";
import { isFault } from "../../src/base/fault.ts";
import { ownerIdOf, type ShardId, segmentKey } from "../../src/base/ids.ts";
import { shardRoot } from "../../src/erasure/index.ts";
import { shardNote } from "../../src/wire/data.ts";
import { descriptorCodec } from "../../src/wire/descriptor.ts";
import { decodeSigned } from "../../src/wire/signed.ts";

/** A shard as it lies in a home, whatever its node thinks of it. */
export interface FoundShard {
  readonly id: ShardId;
  readonly path: string;
  readonly fileBytes: number;
}

export interface Contents {
  readonly k: number;
  readonly n: number;
  /** What the owner's descriptor says that the bytes hash to. */
  readonly root: Uint8Array;
}

/** What is in the directory with others' shards, which may be missing. */
export function listShards(root: string): FoundShard[] {
  return namesBelow(root).flatMap((name) => {
    const path = join(root, name);
    const parsed = name.startsWith(QUARANTINE_DIRECTORY) ? undefined : shardOf(name);
    if (parsed === undefined || parsed.temporary || shardPath(root, parsed.id, parsed.version) !== path)
      return [];
    const stat = lstatSync(path, { throwIfNoEntry: false });
    return stat?.isFile() === true ? [{ id: parsed.id, path, fileBytes: stat.size }] : [];
  });
}

function namesBelow(root: string): string[] {
  try {
    return readdirSync(root, { recursive: true, encoding: "utf8" }).sort();
  } catch (error) {
    // A daemon that is at work removes directories, too.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function shardOf(name: string) {
  const [file = "", group = "", incarnation = "", owner = "", ...more] = name.split(sep).reverse();
  return more.length > 0 ? undefined : parseShardFile([owner, incarnation, group], file);
}

/** Checks the bytes of a file against the descriptor beside them; `undefined` where anything does not belong together. */
export function readIntact({ id, path }: FoundShard): Contents | undefined {
  const file = readAll(path);
  const trailerLength =
    file === undefined ? undefined : trailerBytes(file.subarray(-FOOTER_BYTES), file.length);
  if (file === undefined || trailerLength === undefined) return undefined;
  const contents = file.subarray(0, file.length - trailerLength);
  const trailer = decodeTrailer(file.subarray(contents.length), id);
  if (trailer === undefined) return undefined;
  try {
    const signed = decodeSigned(shardNote.decode(trailer.note).descriptor);
    const { k, m, roots, shardBytes, leafBytes } = descriptorCodec.decode(signed.body);
    const { signer, incarnation, epoch } = signed;
    const root = roots[id.index];
    const isOfShard = segmentKey({ owner: ownerIdOf(signer), incarnation, number: epoch }) === segmentKey(id);
    if (!isOfShard || root === undefined || contents.length !== shardBytes) return undefined;
    return equalBytes(shardRoot(contents, id.index, leafBytes), root) ? { k, n: k + m, root } : undefined;
  } catch (error) {
    if (isFault(error)) return undefined;
    throw error;
  }
}

/** `undefined` where it has gone meanwhile. */
function readAll(path: string): Uint8Array | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Turns one bit over in place, as a disk does. */
export function flipBit(path: string, share: number): void {
  const file = openSync(path, "r+");
  try {
    const position = Math.min(fstatSync(file).size - 1, Math.floor(fstatSync(file).size * share));
    const byte = new Uint8Array(1);
    readSync(file, byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ 0x10;
    writeSync(file, byte, 0, 1, position);
  } finally {
    closeSync(file);
  }
}

export function cutShort(path: string, bytes: number): void {
  truncateSync(path, bytes);
}

export function removeFile(path: string): void {
  unlinkSync(path);
}

/** Each in the other's place. */
export function exchange(a: string, b: string): void {
  renameSync(a, `${a}.x`);
  renameSync(b, a);
  renameSync(`${a}.x`, b);
}
