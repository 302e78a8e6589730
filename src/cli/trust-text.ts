import type { TrustInfo } from "../control/trust-api.ts";
import { shortTime } from "./text.ts";

/** Since when somebody is not believed, why, and who says so. */
export function trustLines(who: string, { state, since, reason, own, said }: TrustInfo): string[] {
  const words = said.map(({ kind, by, at, reason: why }) => `${by} (${kind}, ${shortTime(at)} UTC: ${why})`);
  const sayers = [...(own ? ["this node's own audits"] : []), ...words];
  const saidBy = sayers.length === 0 ? "" : `; said by ${sayers.join(", ")}`;
  if (state === "trusted") return [`${who} is trusted${saidBy}`];
  const from = since === undefined ? "" : ` since ${shortTime(since)} UTC`;
  const why = reason === undefined ? "" : `: ${reason}`;
  const what = state === "suspect" ? "gets no new data and counts as absent" : "gets no new data";
  return [`${who} is ${state}, ${what}${from}${why}${saidBy}. "cairn audit --clear ${who}" ends that`];
}
