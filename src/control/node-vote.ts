import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Node, PendingDecision } from "../node/index.ts";
import type * as admin from "./admin-api.ts";
import { pendingJson } from "./node-admin.ts";
import { proposalJson, proposalOf } from "./node-proposals.ts";

/** What this node's administrator says to something that waits: for signatures, or for its day. */
export async function voted(node: Node, { id, vote }: admin.VoteRequest): Promise<admin.VoteResult> {
  const { administrators, proposals } = node;
  const administrator = administrators.key();
  const found = proposals.find(id);
  if (found === undefined) return votedOnDecision(node, decisionOf(node, id), vote);
  const name = toHex(found.proposal.id);
  if (vote === "sign") {
    const deciding = await proposals.sign(found, administrator);
    const isDone = deciding.outcome !== "applied" && deciding.proposal.state === "done";
    const known = deciding.outcome === "known";
    return { id: name, vote, known, inEffect: isDone, ...proposalOf(node, deciding) };
  }
  await proposals[vote](found, administrator);
  const after = proposals.find(name);
  const proposal = after === undefined ? {} : { proposal: proposalJson(node, after) };
  return { id: name, vote, known: false, inEffect: after === undefined, ...proposal };
}

function decisionOf({ roster }: Node, asked: string): PendingDecision {
  const prefix = asked.toLowerCase();
  const [decision, ...others] = roster.pending().filter(({ hash }) => toHex(hash).startsWith(prefix));
  if (decision !== undefined && others.length === 0) return decision;
  const what = decision === undefined ? "nothing that waits" : "more than one thing";
  throw new Fault({ code: "USAGE", reason: `"${asked}" is ${what}; "cairn admin pending" lists it.` });
}

async function votedOnDecision(
  node: Node,
  decision: PendingDecision,
  vote: admin.VoteRequest["vote"],
): Promise<admin.VoteResult> {
  const { administration, roster } = node;
  const common = { id: toHex(decision.hash), vote, decision: pendingJson(node, decision) };
  const isWaiting = (): boolean => roster.pending().some((one) => toHex(one.hash) === common.id);
  if (vote === "sign") {
    const known = (await administration.endorse(decision)) === "known";
    return { ...common, known, inEffect: !isWaiting() };
  }
  const deciding = await administration.cancelOne(decision);
  return { ...common, known: false, inEffect: !isWaiting(), ...proposalOf(node, deciding) };
}
