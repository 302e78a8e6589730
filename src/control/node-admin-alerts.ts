import { equalBytes } from "../base/bytes.ts";
import type { Node } from "../node/index.ts";
import type * as results from "./results.ts";

/** What somebody should know about who may sign, and what waits for a signature. */
export function administratorAlerts(node: Node): results.Alert[] {
  const { administrators } = node;
  if (!administrators.includesThisNode || node.isFenced) return [];
  const alerts: results.Alert[] = [];
  const { keys, threshold } = administrators.set;
  if (keys.length === 1) {
    alerts.push({
      code: "single-administrator",
      text: "This swarm has one administrator: keep this node's recovery key where a fire here does not reach it.",
    });
  } else if (threshold === keys.length) {
    alerts.push({
      code: "all-administrators-needed",
      text: `All ${threshold} administrators must sign: when one of their keys is lost, nothing can be decided any more. Add another one, or lower the threshold.`,
    });
  }
  const own = administrators.list().filter(({ isOwn }) => isOwn);
  const unsigned = node.proposals.open().filter(({ state, signers, refusers }) => {
    const said = [...signers, ...refusers];
    return state === "open" && !said.some((key) => own.some((one) => equalBytes(one.key, key)));
  });
  if (unsigned.length > 0) {
    alerts.push({
      code: "signature-wanted",
      text: `${unsigned.length} decision(s) wait for this administrator's signature: "cairn admin pending" shows them.`,
    });
  }
  return alerts;
}
