import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type {
  AdministratorStanding,
  AdministratorsChanged,
  Decided,
  Node,
  PendingDecision,
} from "../node/index.ts";
import type * as admin from "./admin-api.ts";
import type { ControlHandlers } from "./api.ts";
import { iso } from "./node-json.ts";

type AdminHandlers = Pick<
  ControlHandlers,
  "remove" | "siteMove" | "adminConfirm" | "adminList" | "adminAdd" | "adminRemove"
>;

/** What administrators ask of a node. */
export function adminHandlers(node: Node): AdminHandlers {
  const { administration, administrators } = node;
  return {
    async remove({ peer, reason, barsOwner, cancel }) {
      if (cancel) return cancelled(node, peer, "removal");
      const removed = await administration.remove(peer, { reason, barsOwner });
      const key = administrators.keyOf(removed.member.peer);
      return { ...decided(node, removed), ...(key === undefined ? {} : { administratorKey: toHex(key) }) };
    },
    async siteMove({ peer, site, cancel }) {
      if (cancel) return cancelled(node, peer, "site-move");
      if (site === undefined) throw new Fault({ code: "USAGE", reason: "Say which site it moves to." });
      return decided(node, await administration.moveSite(peer, site));
    },
    async adminConfirm({ peer }) {
      const member = await administration.confirmHolder(peer);
      return { peerId: member.peer, name: member.name, site: member.site };
    },
    adminList: async () => ({
      administrators: administrators.list().map(administratorJson),
      threshold: administrators.set.threshold,
      number: administrators.set.number,
    }),
    adminAdd: async ({ peer }) => changedJson(await administrators.add(peer)),
    adminRemove: async ({ peer }) => changedJson(await administrators.remove(peer)),
  };
}

function administratorJson({ key, sinceMs, isOwn, member }: AdministratorStanding): admin.AdminInfo {
  const peer = member === undefined ? {} : { peerId: member.peer, name: member.name, site: member.site };
  return { key: toHex(key), since: iso(sinceMs), self: isOwn, ...peer };
}

function changedJson({ key, outcome, administrators }: AdministratorsChanged): admin.AdminChangeResult {
  return { key: toHex(key), outcome, administrators };
}

function decided(node: Node, { member, outcome, pending }: Decided): admin.DecisionResult {
  return {
    peerId: member.peer,
    name: member.name,
    site: member.site,
    outcome,
    inEffect: pending === undefined,
    ...(pending === undefined ? {} : { pending: pendingJson(node, pending) }),
    withdrawn: [],
  };
}

async function cancelled(
  node: Node,
  peer: string,
  kind: PendingDecision["kind"],
): Promise<admin.DecisionResult> {
  const { member, withdrawn } = await node.administration.cancel(peer, kind);
  return {
    peerId: member.peer,
    name: member.name,
    site: member.site,
    outcome: "cancelled",
    inEffect: false,
    withdrawn: withdrawn.map((one) => pendingJson(node, one)),
  };
}

export function pendingJson(node: Node, one: PendingDecision): admin.PendingDecisionInfo {
  return {
    id: toHex(one.hash),
    kind: one.kind,
    peerId: one.peer,
    name: node.roster.member(one.peer)?.name ?? one.peer,
    announcedAt: iso(one.issuedMs),
    effectiveAt: iso(one.effectiveMs),
    signatures: one.signatures,
    ...(one.kind === "removal"
      ? { reason: one.reason, barsOwner: one.barsOwner }
      : { from: one.from, to: one.to }),
  };
}
