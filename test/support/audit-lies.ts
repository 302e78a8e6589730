import { NO_INCARNATION, signStatement } from "../../src/crypto/signed.ts";
import type { NetMessage } from "../../src/ports/index.ts";
import { auditAnswerHash, auditStatement } from "../../src/wire/audit.ts";
import { dataAnswer } from "../../src/wire/data.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import type { Machine } from "./swarm.ts";

type Statement = ReturnType<(typeof auditStatement)["decode"]>;

/** An answer to an audit with another statement, signed by the holder all the same. */
export function withStatement(
  holder: Machine,
  answer: NetMessage,
  change: (statement: Statement) => Statement,
): NetMessage {
  const head = dataAnswer.decode(answer.head);
  if (head.t !== "audit") throw new Error(head.t);
  const before = decodeSigned(head.statement);
  const said = change(auditStatement.decode(before.body));
  const body = auditStatement.encode(said);
  const of = { type: "audit", swarm: before.swarm, incarnation: NO_INCARNATION, epoch: said.timeMs } as const;
  const statement = encodeSigned(signStatement({ ...of, body }, holder.identity.node));
  return { ...answer, head: dataAnswer.encode({ ...head, statement }) };
}

/** Other bytes than it was given, and a signature for them. */
export function signedGarbage(holder: Machine, answer: NetMessage): NetMessage {
  const head = dataAnswer.decode(answer.head);
  if (head.t !== "audit") throw new Error(head.t);
  const body = answer.body.map((byte) => byte ^ 1);
  let offset = 0;
  return withStatement(holder, { ...answer, body }, (statement) => ({
    ...statement,
    items: statement.items.map((item, i) => {
      if (item.found === null) return item;
      const { shardBytes, leafBytes } = item.found;
      const length = Math.min(leafBytes, shardBytes - item.asked.leaf * leafBytes);
      const leaf = body.slice(offset, offset + length);
      offset += length;
      return { ...item, found: { ...item.found, hash: auditAnswerHash(leaf, head.proofs[i] ?? []) } };
    }),
  }));
}
