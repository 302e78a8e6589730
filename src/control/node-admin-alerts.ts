import { equalBytes } from "../base/bytes.ts";
import type { Node } from "../node/index.ts";
import { iso } from "./node-json.ts";
import type * as results from "./results.ts";

/** What somebody should know about who may sign, and what waits for a signature. */
export function administratorAlerts(node: Node): results.Alert[] {
  const { administrators } = node;
  const alerts = [...forkAlerts(node), ...waitingAlerts(node)];
  if (!administrators.includesThisNode || node.isFenced) return alerts;
  const { keys, threshold } = administrators.set;
  if (keys.length === 1) {
    alerts.push({
      code: "single-administrator",
      text: 'This swarm has one administrator: keep this node\'s recovery key where a fire here does not reach it, and make a second one at another site ("cairn admin add PEER").',
    });
  } else if (threshold === keys.length) {
    alerts.push({
      code: "all-administrators-needed",
      text: `All ${threshold} administrators must sign: when one of their keys is lost, nothing can be decided any more. Add another one, or lower the threshold.`,
    });
  }
  const own = administrators.list().filter(({ isOwn }) => isOwn);
  const unsigned = node.proposals.open({ quick: true }).filter(({ state, signers, refusers }) => {
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

const NAMED_MAX = 5;

/** On every node: a day is for somebody to notice what a stolen key has signed. */
function waitingAlerts(node: Node): results.Alert[] {
  if (node.isFenced) return [];
  const waiting = node.roster.pending();
  if (waiting.length === 0) return [];
  const said = waiting.slice(0, NAMED_MAX).map(({ kind, peer, effectiveMs }) => {
    const whose = peer === node.ports.network.self ? "this node" : (node.roster.member(peer)?.name ?? peer);
    return `${WHAT_WAITS[kind]} ${whose} from ${iso(effectiveMs)}`;
  });
  const more = waiting.length > NAMED_MAX ? ` and ${waiting.length - NAMED_MAX} more` : "";
  return [
    {
      code: "decision-waits",
      text: `An administrator decided, and it takes effect unless it is taken back: ${said.join(", ")}${more}. If that is nobody's wish, "cairn admin withdraw" on an administrator's node ends it, and a key was stolen.`,
    },
  ];
}

const WHAT_WAITS = {
  removal: "removal of",
  "site-move": "another site for",
  certificate: "another certificate for",
} as const;

/** On every node: whoever looks at any of them should see that the swarm may go by two sets of administrators. */
function forkAlerts(node: Node): results.Alert[] {
  const forks = node.roster.administratorForks();
  const apart = forks.filter(({ isApart }) => isApart);
  const last = apart.at(-1) ?? forks.at(-1);
  if (last === undefined) return [];
  const { number } = last.rival.body;
  const what = `The administrators were changed in two ways at once (change ${number}, last seen ${iso(last.seenMs)}).`;
  const text =
    apart.length > 0
      ? `${what} Nodes that were apart for more than a day may go by the other one: compare "cairn admin list" on nodes of every site, decide for one side, and bring the other side's nodes over to it ("cairn recover" into a new home, through a member of that side).`
      : `${what} All nodes that have heard of both go by what "cairn admin list" shows here. If it was none of you, a key was stolen: the list shows which keys signed the other change.`;
  return [{ code: "administrators-forked", text }];
}
