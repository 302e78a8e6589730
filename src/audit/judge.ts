import { equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { type PeerId, publicKeyOfPeer, type SwarmId } from "../base/ids.ts";
import { checkSigned } from "../crypto/signed.ts";
import { verifyRange } from "../erasure/index.ts";
import {
  type AuditChallenge,
  type AuditFound,
  type AuditStatement,
  auditAnswerHash,
  auditStatement,
  leafLength,
} from "../wire/audit.ts";
import type { AuditRequest, DataAnswerOf } from "../wire/data.ts";
import { decodeSigned } from "../wire/signed.ts";

/** What one leaf of an answer is worth. */
export type Verdict =
  | { readonly is: "proven" }
  /** Signed: it does not have the shard, or not whole. */
  | {
      readonly is: "denied" /** It had said so by itself, and nobody holds that against it. */;
      readonly told?: true;
    }
  /** Signed, and not what the root says. */
  | { readonly is: "wrong"; readonly leaf: Uint8Array; readonly proof: Uint8Array[] }
  /** Not even what it signed: it convinces whoever got it over an authenticated connection, and nobody else. */
  | { readonly is: "garbled" };

export interface Judged {
  /** The signed record, for evidence. */
  readonly statement: Uint8Array;
  /** By the holder's own clock. */
  readonly timeMs: number;
  /** One for each challenge. */
  readonly verdicts: readonly Verdict[];
}

/**
 * What an answer to an audit proves. Pure. Throws `SIGNATURE_INVALID`, `FORMAT_INVALID` or `PEER_PROTOCOL` where it is
 * no answer to this request by this peer (another nonce, other leaves): then it proves nothing, neither way.
 */
export function judgeAnswer(
  peer: PeerId,
  swarm: SwarmId,
  request: AuditRequest,
  reply: { readonly answer: DataAnswerOf<"audit">; readonly body: Uint8Array },
): Judged {
  const { statement: bytes, proofs } = reply.answer;
  const signed = decodeSigned(bytes);
  checkSigned(signed, { type: "audit", swarm, signer: publicKeyOfPeer(peer) });
  const statement = auditStatement.decode(signed.body);
  const isMeant =
    statement.timeMs === signed.epoch &&
    statement.owner === request.owner &&
    equalBytes(statement.nonce, request.nonce) &&
    areAsked(statement, request.challenges);
  if (!isMeant) throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "an answer to another audit" });
  let at = 0;
  let offset = 0;
  const verdicts = statement.items.map(({ asked, found, told }): Verdict => {
    if (found === null) return { is: "denied", ...(told === true ? { told } : {}) };
    const proof = proofs[at++] ?? [];
    const leaf = reply.body.slice(offset, offset + leafLength(found, asked.leaf));
    offset += leaf.length;
    return verdictOn(asked, found, leaf, proof);
  });
  return { statement: bytes, timeMs: statement.timeMs, verdicts };
}

function verdictOn(
  { root, index, leaf: firstLeaf }: AuditChallenge,
  { shardBytes, leafBytes, hash }: AuditFound,
  bytes: Uint8Array,
  proof: Uint8Array[],
): Verdict {
  if (!equalBytes(auditAnswerHash(bytes, proof), hash)) return { is: "garbled" };
  const isRight = verifyRange({ root, index, shardBytes, leafBytes, firstLeaf, bytes, proof });
  return isRight ? { is: "proven" } : { is: "wrong", leaf: bytes, proof };
}

function areAsked(statement: AuditStatement, challenges: readonly AuditChallenge[]): boolean {
  return (
    statement.items.length === challenges.length &&
    statement.items.every(({ asked }, position) => isSame(asked, challenges[position]))
  );
}

function isSame(a: AuditChallenge, b: AuditChallenge | undefined): boolean {
  return (
    b !== undefined &&
    a.incarnation === b.incarnation &&
    a.number === b.number &&
    a.index === b.index &&
    a.leaf === b.leaf &&
    equalBytes(a.root, b.root)
  );
}
