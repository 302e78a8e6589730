import { equalBytes } from "../base/bytes.ts";
import { type PeerId, publicKeyOfPeer, type ShardId, type SwarmId } from "../base/ids.ts";
import { checkSigned } from "../crypto/signed.ts";
import { receiptBody } from "./data.ts";
import { decodeSigned } from "./signed.ts";

export interface ReadReceipt {
  /** By the holder's own clock; the epoch of the record too. */
  readonly timeMs: number;
  readonly signature: Uint8Array;
}

/**
 * A receipt as its holder signed it; `undefined` where it is for another shard or root. Who accepts a receipt and who
 * convicts by one ask here, so that they cannot differ. Throws `FORMAT_INVALID` and `SIGNATURE_INVALID`.
 */
export function readReceipt(
  bytes: Uint8Array,
  swarm: SwarmId,
  holder: PeerId,
  shard: ShardId,
  root: Uint8Array,
): ReadReceipt | undefined {
  const signed = decodeSigned(bytes);
  checkSigned(signed, { type: "receipt", swarm, signer: publicKeyOfPeer(holder) });
  const receipt = receiptBody.decode(signed.body);
  const isFor =
    receipt.owner === shard.owner &&
    receipt.incarnation === shard.incarnation &&
    receipt.number === shard.number &&
    receipt.index === shard.index &&
    receipt.timeMs === signed.epoch &&
    equalBytes(receipt.root, root);
  return isFor ? { timeMs: receipt.timeMs, signature: signed.signature } : undefined;
}
