import { base58btc } from "multiformats/bases/base58";
import { must } from "./assert.ts";
import { compareBytes, concatBytes, equalBytes, fromHex, toHex, u32be, u64be } from "./bytes.ts";

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A node's identity as libp2p prints it: base58 of the identity multihash of its Ed25519 key ("12D3Koo..."). */
export type PeerId = Branded<string, "PeerId">;
/** Ed25519 public key of the owner, 64 hex digits. */
export type OwnerId = Branded<string, "OwnerId">;
/** One unbroken life of an owner's home: 16 random bytes, 32 hex digits. */
export type Incarnation = Branded<string, "Incarnation">;
/** SHA-256 of the genesis record, 64 hex digits. */
export type SwarmId = Branded<string, "SwarmId">;
/** Hash of a manifest, 64 hex digits. */
export type SnapshotId = Branded<string, "SnapshotId">;
/** HMAC-SHA-256 of the plaintext under the owner's chunk key, 64 hex digits. */
export type ChunkId = Branded<string, "ChunkId">;

export interface SegmentId {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  /** Counts from 0 within an incarnation. */
  readonly number: number;
}

export interface ShardId extends SegmentId {
  /** 0 .. n-1; below k it is a data shard. */
  readonly index: number;
}

export const PUBLIC_KEY_BYTES = 32;
export const INCARNATION_BYTES = 16;
export const HASH_BYTES = 32;
/** Also the ceiling of every epoch: beyond it a JavaScript number is no longer exact. */
export const SEGMENT_NUMBER_MAX = 2 ** 48 - 1;

// protobuf {type: Ed25519, data: 32 bytes} inside an identity multihash, as the libp2p peer-id spec has it.
const PEER_ID_PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20);

export function peerIdOf(publicKey: Uint8Array): PeerId {
  return base58btc.baseEncode(concatBytes(PEER_ID_PREFIX, publicKey)) as PeerId;
}

/** `undefined` when the text is not the id of an Ed25519 key. */
export function parsePeerId(text: string): PeerId | undefined {
  return decodePeerId(text) === undefined ? undefined : (text as PeerId);
}

export function publicKeyOfPeer(peer: PeerId): Uint8Array {
  return must(decodePeerId(peer), "public key in a peer id");
}

function decodePeerId(text: string): Uint8Array | undefined {
  // 38 bytes make 52 characters; the bound keeps base58's quadratic decoding away from hostile input.
  if (text.length < 40 || text.length > 60) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = base58btc.baseDecode(text);
  } catch {
    return undefined;
  }
  if (bytes.length !== PEER_ID_PREFIX.length + PUBLIC_KEY_BYTES) return undefined;
  if (!equalBytes(bytes.subarray(0, PEER_ID_PREFIX.length), PEER_ID_PREFIX)) return undefined;
  return bytes.subarray(PEER_ID_PREFIX.length);
}

function hexId<T extends string>(text: string, bytes: number): T | undefined {
  return text.length === bytes * 2 && /^[0-9a-f]*$/.test(text) ? (text as T) : undefined;
}

function idOfBytes<T extends string>(bytes: Uint8Array, length: number, what: string): T {
  return must(hexId<T>(toHex(bytes), length), what);
}

export const ownerIdOf = (key: Uint8Array): OwnerId => idOfBytes(key, PUBLIC_KEY_BYTES, "owner key");
export const incarnationOf = (bytes: Uint8Array): Incarnation =>
  idOfBytes(bytes, INCARNATION_BYTES, "incarnation");
export const swarmIdOf = (hash: Uint8Array): SwarmId => idOfBytes(hash, HASH_BYTES, "swarm id");
export const snapshotIdOf = (hash: Uint8Array): SnapshotId => idOfBytes(hash, HASH_BYTES, "snapshot id");
export const chunkIdOf = (mac: Uint8Array): ChunkId => idOfBytes(mac, HASH_BYTES, "chunk id");

export const parseOwnerId = (text: string): OwnerId | undefined => hexId(text, PUBLIC_KEY_BYTES);
export const parseIncarnation = (text: string): Incarnation | undefined => hexId(text, INCARNATION_BYTES);
export const parseSwarmId = (text: string): SwarmId | undefined => hexId(text, HASH_BYTES);

/** The bytes of any of our hex ids. */
export function idBytes(id: OwnerId | Incarnation | SwarmId | SnapshotId | ChunkId): Uint8Array {
  return must(fromHex(id), "bytes of an id");
}

/** `owner/incarnation/number`: a key for maps and logs. */
export function segmentKey(id: SegmentId): string {
  return `${id.owner}/${id.incarnation}/${id.number}`;
}

export function shardKey(id: ShardId): string {
  return `${segmentKey(id)}/${id.index}`;
}

/** Bytes whose order is (owner, incarnation, number, index): lets a scrub resume at a cursor. */
export function shardIdBytes(id: ShardId): Uint8Array {
  return concatBytes(idBytes(id.owner), idBytes(id.incarnation), u64be(id.number), u32be(id.index));
}

const SHARD_ID_BYTES = PUBLIC_KEY_BYTES + INCARNATION_BYTES + 8 + 4;

/** `undefined` when the bytes are not what `shardIdBytes` makes. */
export function parseShardIdBytes(bytes: Uint8Array): ShardId | undefined {
  if (bytes.length !== SHARD_ID_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const number = view.getBigUint64(PUBLIC_KEY_BYTES + INCARNATION_BYTES);
  if (number > BigInt(SEGMENT_NUMBER_MAX)) return undefined;
  return {
    owner: ownerIdOf(bytes.subarray(0, PUBLIC_KEY_BYTES)),
    incarnation: incarnationOf(bytes.subarray(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES + INCARNATION_BYTES)),
    number: Number(number),
    index: view.getUint32(SHARD_ID_BYTES - 4),
  };
}

export function compareShardIds(a: ShardId, b: ShardId): number {
  return compareBytes(shardIdBytes(a), shardIdBytes(b));
}
