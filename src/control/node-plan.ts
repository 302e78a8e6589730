import { Fault } from "../base/fault.ts";
import { findMember, type Member, type Node, planRemovalOf } from "../node/index.ts";
import { survivesJson } from "./node-json.ts";
import type { PlanRequest, PlanResult } from "./plan-api.ts";

const KINDS_SHOWN = 16;

export async function planHandler(node: Node, request: PlanRequest): Promise<PlanResult> {
  const members = asked(node, request);
  const plan = await planRemovalOf(node, new Set(members.map(({ peer }) => peer)));
  const { survival, byOwner, bytes } = plan;
  const why = new Map<string, number>();
  for (const one of plan.stuck) why.set(one.why, (why.get(one.why) ?? 0) + 1);
  return {
    remove: members.map(({ peer, name, site }) => ({ peerId: peer, name, site })),
    segments: plan.segments,
    bytes: {
      held: bytes.held,
      drained: bytes.drained,
      ...byOwner,
      repaired: byOwner.read + byOwner.sent,
      stuck: plan.stuckBytes,
    },
    ...(survival === undefined
      ? {}
      : {
          survives: {
            before: survivesJson(survival.before),
            during: survivesJson(survival.during),
            after: survivesJson(survival.after),
          },
          margin: {
            before: survival.before.margin,
            during: survival.during.margin,
            after: survival.after.margin,
          },
        }),
    received: [...plan.received].map(([peer, received]) => {
      const name = node.roster.member(peer)?.name;
      return { peerId: peer, ...(name === undefined ? {} : { name }), bytes: received };
    }),
    stuck: [...why].slice(0, KINDS_SHOWN).map(([text, shards]) => ({ why: text, shards })),
  };
}

function asked({ roster }: Node, { remove, removeSites }: PlanRequest): Member[] {
  const members = new Map(remove.map((peer) => findMember(roster, peer)).map((one) => [one.peer, one]));
  for (const site of removeSites) {
    const there = roster.members().filter((one) => one.site === site);
    if (there.length === 0) throw new Fault({ code: "USAGE", reason: `Nobody is at a site "${site}".` });
    for (const one of there) members.set(one.peer, one);
  }
  if (members.size === 0)
    throw new Fault({ code: "USAGE", reason: "Say who is to go: --remove PEER or --remove-site SITE." });
  return [...members.values()];
}
