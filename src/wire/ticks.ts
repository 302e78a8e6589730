import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type PeerId, publicKeyOfPeer } from "../base/ids.ts";

/** Half of a SHA-256: nobody finds what hashes to it. */
export const TICK_BYTES = 16;
/** Of one chain. */
export const TICKS_MAX = 4095;
/** Of all nodes, in one message: those of the largest swarm. */
export const TICKS_SENT_MAX = 8192;
const PREFIX_BYTES = 6;
/** Node, chain, position, value. */
export const PACKED_TICK_BYTES = PREFIX_BYTES + 2 + 2 + TICK_BYTES;

/** One value of a node's chain, as it travels. */
export interface PackedTick {
  /** Hex of the first bytes of the node's key: two nodes may have the same, the value tells. */
  readonly prefix: string;
  /** The last 16 bits of the epoch of the status that the chain belongs to. */
  readonly chain: number;
  readonly index: number;
  readonly value: Uint8Array;
}

export function tickPrefix(peer: PeerId): string {
  return toHex(publicKeyOfPeer(peer).subarray(0, PREFIX_BYTES));
}

export function packTick(
  peer: PeerId,
  { chain, index, value }: { chain: number; index: number; value: Uint8Array },
): Uint8Array {
  const bytes = new Uint8Array(PACKED_TICK_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(publicKeyOfPeer(peer).subarray(0, PREFIX_BYTES));
  view.setUint16(PREFIX_BYTES, chain);
  view.setUint16(PREFIX_BYTES + 2, index);
  bytes.set(value, PREFIX_BYTES + 4);
  return bytes;
}

/** Throws `FORMAT_INVALID`. */
export function* unpackTicks(bytes: Uint8Array): Iterable<PackedTick> {
  if (bytes.length % PACKED_TICK_BYTES !== 0)
    throw new Fault({ code: "FORMAT_INVALID", what: "ticks", reason: "they are cut off" });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += PACKED_TICK_BYTES) {
    yield {
      prefix: toHex(bytes.subarray(at, at + PREFIX_BYTES)),
      chain: view.getUint16(at + PREFIX_BYTES),
      index: view.getUint16(at + PREFIX_BYTES + 2),
      value: bytes.slice(at + PACKED_TICK_BYTES - TICK_BYTES, at + PACKED_TICK_BYTES),
    };
  }
}
