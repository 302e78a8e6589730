import { formatDuration } from "../base/units.ts";
import type { DecisionResult, PendingDecisionInfo, ProposalInfo } from "../control/api.ts";
import { counted, printable, shortId, shortTime } from "./text.ts";

/** Names and reasons are other people's: here they become one line each, whatever is in them. */

/** One line: what, whom, when, and how it comes sooner. */
export function pendingLine(one: PendingDecisionInfo): string {
  const what = {
    removal: `removal of ${one.name}`,
    "site-move": `move of ${one.name} from site ${one.from ?? "?"} to ${one.to ?? "?"}`,
    certificate: `new certificate of ${one.name}`,
  }[one.kind];
  const barred = one.barsOwner === true ? ", its recovery key barred" : "";
  const reason = one.reason === undefined || one.reason === "" ? "" : ` ("${one.reason}")`;
  const inTime = one.waitsMs === undefined ? "" : ` (in ${formatDuration(one.waitsMs)})`;
  const sooner =
    one.signatures < 2
      ? "; a second administrator's word puts it into effect at once"
      : "; others of this day come before it";
  return printable(
    `${what}${barred}${reason}, in effect from ${shortTime(one.effectiveAt)} UTC${inTime}, ` +
      `signed by ${counted(one.signatures, "administrator")}${sooner}`,
  );
}

const OUTCOMES: Readonly<Record<DecisionResult["outcome"], string>> = {
  announced: "Announced",
  confirmed: "Confirmed",
  known: "Known already",
  cancelled: "Cancelled",
  proposed: "Proposed",
  signed: "Signed",
};

export function decisionText(result: DecisionResult, inEffect: string): string {
  if (result.proposal !== undefined && !result.inEffect && result.pending === undefined) {
    return proposalText(result.outcome, result.proposal);
  }
  const word = OUTCOMES[result.outcome];
  if (result.outcome === "cancelled") {
    return result.withdrawn.map((one) => `${word}: ${pendingLine(one).split(", in effect")[0]}.\n`).join("");
  }
  if (result.pending === undefined) return `${word} and in effect: ${printable(inEffect)}.\n`;
  return `${word}: ${pendingLine(result.pending)}.\n`;
}

const voters = (them: ProposalInfo["signedBy"]): string =>
  them.map(({ key, name }) => name ?? `key ${shortId(key)}`).join(", ");

/** One line: what, who has signed, who is missing, until when. */
export function proposalLine(proposal: ProposalInfo): string {
  const { id, text, signedBy, refusedBy, missing, expiresAt, state, why } = proposal;
  const refused = refusedBy.length === 0 ? "" : `, refused by ${voters(refusedBy)}`;
  const rest =
    state === "outdated" ? `cannot be decided any more: ${why ?? ""}` : `${missing} more must sign`;
  return printable(
    `${shortId(id)}  ${text}; signed by ${voters(signedBy)}${refused}, ${rest}, ` +
      `until ${shortTime(expiresAt)} UTC`,
  );
}

/** What became of a command whose decision several administrators have to sign. */
export function proposalText(outcome: string, proposal: ProposalInfo): string {
  const { id, missing, expiresAt } = proposal;
  const text = printable(proposal.text);
  const word = { proposed: "Proposed", signed: "Signed" }[outcome] ?? "Signed before";
  if (proposal.state === "done") return `${word}, and decided: ${text}.\n`;
  const them = missing === 1 ? "1 more administrator has" : `${missing} more administrators have`;
  return (
    `${word}, and not in effect: ${text}.\n` +
    `${them} to sign it by ${shortTime(expiresAt)} UTC: "cairn admin sign ${shortId(id)}" on a node of theirs.\n`
  );
}
