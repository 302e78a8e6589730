import { equalBytes, toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type PeerId, peerIdOf, type ShardId, type SwarmId } from "../base/ids.ts";
import { sha256 } from "../crypto/hash.ts";
import { checkSigned } from "../crypto/signed.ts";
import { verifyRange } from "../erasure/index.ts";
import {
  type AuditStatement,
  auditAnswerHash,
  auditStatement,
  type ConvictionRecord,
  convictionCodec,
} from "../wire/audit.ts";
import { readReceipt } from "../wire/receipt.ts";
import { decodeSigned } from "../wire/signed.ts";

/** What a piece of evidence proves. */
export interface Conviction {
  /** SHA-256 of the evidence, hex. */
  readonly id: string;
  readonly holder: PeerId;
  readonly kind: "wrong" | "denied";
  readonly shard: ShardId;
  readonly leaf: number;
  /** By the holder's own clock. */
  readonly timeMs: number;
  /** Of the shards that the statement is about, those that it denies without having said so before. */
  readonly deniedShare: number;
  /** SHA-256 of the statement, hex. */
  readonly statement: string;
}

type Item = AuditStatement["items"][number];

/**
 * Whether this convicts a member of the swarm, by nothing but its own signatures. Pure, and needs no trust in whoever
 * shows it, nor in the owner of the shard: the statement names the root and the layout that the holder answered for.
 * Throws `FORMAT_INVALID` or `SIGNATURE_INVALID` where it proves nothing.
 */
export function checkConviction(bytes: Uint8Array, swarm: SwarmId): Conviction {
  const record = convictionCodec.decode(bytes);
  const signed = decodeSigned(record.statement);
  checkSigned(signed, { type: "audit", swarm });
  const statement = auditStatement.decode(signed.body);
  if (statement.timeMs !== signed.epoch) throw proves("its time is not its epoch");
  const item = statement.items[record.position];
  if (item === undefined) throw proves("the statement has no such item");
  const { incarnation, number, index, leaf } = item.asked;
  const shard: ShardId = { owner: statement.owner, incarnation, number, index };
  if (record.proof.t === "wrong") requireWrong(item, record.proof);
  else requireReceipt(record.proof.receipt, { swarm, signer: signed.signer, statement, shard, item });
  return {
    id: toHex(sha256(bytes)),
    holder: peerIdOf(signed.signer),
    kind: record.proof.t,
    shard,
    leaf,
    timeMs: statement.timeMs,
    deniedShare: deniedShareOf(statement.items),
    statement: toHex(sha256(record.statement)),
  };
}

/** Each shard once, however many of its leaves were asked for. */
export function deniedShareOf(items: readonly Pick<Item, "asked" | "found" | "told">[]): number {
  const place = ({ asked: { incarnation, number, index } }: Pick<Item, "asked">): string =>
    `${incarnation}/${number}/${index}`;
  const denied = items.filter(({ found, told }) => found === null && told !== true);
  return new Set(denied.map(place)).size / Math.max(1, new Set(items.map(place)).size);
}

export function encodeConviction(record: Omit<ConvictionRecord, "v">): Uint8Array {
  return convictionCodec.encode({ v: 1, ...record });
}

function requireWrong({ asked, found }: Item, answer: { leaf: Uint8Array; proof: Uint8Array[] }): void {
  if (found === null) throw proves("the holder said that it does not have the shard");
  if (!equalBytes(auditAnswerHash(answer.leaf, answer.proof), found.hash))
    throw proves("the holder did not sign this answer");
  const { shardBytes, leafBytes } = found;
  const { root, index, leaf: firstLeaf } = asked;
  const claim = { root, index, shardBytes, leafBytes, firstLeaf, bytes: answer.leaf, proof: answer.proof };
  if (verifyRange(claim)) throw proves("the answer is right");
}

function requireReceipt(
  bytes: Uint8Array,
  against: {
    swarm: SwarmId;
    signer: Uint8Array;
    statement: AuditStatement;
    shard: ShardId;
    item: Item;
  },
): void {
  const { swarm, signer, statement, shard, item } = against;
  if (item.found !== null) throw proves("the holder did not say that it has not got the shard");
  if (item.told === true) throw proves("the holder had said itself that it lost the shard");
  const receipt = readReceipt(bytes, swarm, peerIdOf(signer), shard, item.asked.root);
  if (receipt === undefined) throw proves("the receipt is for another shard");
  // Both times are the holder's own: what it said before it had the shard is no contradiction.
  if (receipt.timeMs > statement.timeMs) throw proves("the receipt is younger than the statement");
}

function proves(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: "conviction", reason });
}
