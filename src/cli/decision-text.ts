import type { DecisionResult, PendingDecisionInfo } from "../control/api.ts";
import { counted, shortTime } from "./text.ts";

/** One line: what, whom, when, and how it comes sooner. */
export function pendingLine(one: PendingDecisionInfo): string {
  const what = {
    removal: `removal of ${one.name}`,
    "site-move": `move of ${one.name} from site ${one.from ?? "?"} to ${one.to ?? "?"}`,
    certificate: `new certificate of ${one.name}`,
  }[one.kind];
  const barred = one.barsOwner === true ? ", its recovery key barred" : "";
  const reason = one.reason === undefined || one.reason === "" ? "" : ` ("${one.reason}")`;
  const sooner = one.signatures < 2 ? "; a second administrator's word puts it into effect at once" : "";
  return (
    `${what}${barred}${reason}, in effect from ${shortTime(one.effectiveAt)} UTC, ` +
    `signed by ${counted(one.signatures, "administrator")}${sooner}`
  );
}

const OUTCOMES: Readonly<Record<DecisionResult["outcome"], string>> = {
  announced: "Announced",
  confirmed: "Confirmed",
  known: "Known already",
  cancelled: "Cancelled",
};

export function decisionText(result: DecisionResult, inEffect: string): string {
  const word = OUTCOMES[result.outcome];
  if (result.outcome === "cancelled") {
    return result.withdrawn.map((one) => `${word}: ${pendingLine(one).split(", in effect")[0]}.\n`).join("");
  }
  if (result.pending === undefined) return `${word} and in effect: ${inEffect}.\n`;
  return `${word}: ${pendingLine(result.pending)}.\n`;
}
