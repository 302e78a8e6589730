import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type {
  AdministratorStanding,
  AdministratorsChanged,
  AdministratorsFork,
  Decided,
  Deciding,
  Node,
  PendingDecision,
} from "../node/index.ts";
import type * as admin from "./admin-api.ts";
import type { ControlHandlers } from "./api.ts";
import { iso } from "./node-json.ts";
import { proposalJson, proposalOf } from "./node-proposals.ts";
import { voted } from "./node-vote.ts";

type AdminHandlers = Pick<
  ControlHandlers,
  | "remove"
  | "siteMove"
  | "quota"
  | "adminConfirm"
  | "adminList"
  | "adminKey"
  | "adminAdd"
  | "adminRemove"
  | "adminThreshold"
  | "adminPending"
  | "adminVote"
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
      const { member, deciding } = await administration.confirmHolder(peer);
      const { name, site, holder } = member;
      return { peerId: member.peer, name, site, holder, ...proposalOf(node, deciding) };
    },
    async quota({ peer, quotaBytes }) {
      return quotaJson(node, await administration.setQuota(peer, quotaBytes));
    },
    async adminThreshold({ threshold }) {
      const { deciding } = await administrators.setThreshold(threshold);
      const { set } = administrators;
      return { threshold: set.threshold, administrators: set.keys.length, ...proposalOf(node, deciding) };
    },
    adminPending: async () => ({
      proposals: node.proposals.open().map((one) => proposalJson(node, one)),
      decisions: node.roster.pending().map((one) => pendingJson(node, one)),
      threshold: administrators.set.threshold,
      administrators: administrators.set.keys.length,
    }),
    adminVote: (request) => voted(node, request),
    adminList: async () => ({
      administrators: administrators.list().map(administratorJson),
      threshold: administrators.set.threshold,
      number: administrators.set.number,
      forks: node.roster.administratorForks().map(forkJson),
    }),
    adminKey: async () => ({ key: toHex(administrators.key().publicKey) }),
    adminAdd: async ({ peer }) => changedJson(node, await administrators.add(peer)),
    adminRemove: async ({ peer }) => changedJson(node, await administrators.remove(peer)),
  };
}

function administratorJson({ key, sinceMs, isOwn, member }: AdministratorStanding): admin.AdminInfo {
  const peer = member === undefined ? {} : { peerId: member.peer, name: member.name, site: member.site };
  return { key: toHex(key), since: iso(sinceMs), self: isOwn, ...peer };
}

function forkJson({ rival, seenMs, isApart }: AdministratorsFork): admin.AdminForkInfo {
  const { number, administrators, threshold } = rival.body;
  return {
    number,
    seenAt: iso(seenMs),
    administrators: administrators.map(toHex),
    threshold,
    signedBy: rival.signatures.map(({ signer }) => toHex(signer)),
    apart: isApart,
  };
}

function changedJson(
  node: Node,
  { key, outcome, deciding, administrators }: AdministratorsChanged,
): admin.AdminChangeResult {
  const common = { key: toHex(key), administrators, ...proposalOf(node, deciding) };
  return { ...common, outcome: outcome === "deciding" ? outcomeOf(deciding) : outcome };
}

function quotaJson(node: Node, { member, outcome, deciding }: Decided): admin.QuotaResult {
  const { peer: peerId, name, quotaBytes } = member;
  const quota = quotaBytes === undefined ? {} : { quotaBytes };
  const common = { peerId, name, ...quota, ...proposalOf(node, deciding) };
  if (outcome === "deciding") return { ...common, outcome: outcomeOf(deciding) };
  return { ...common, outcome: outcome === "known" ? "known" : "changed" };
}

function outcomeOf(deciding: Deciding | undefined): "proposed" | "signed" | "known" {
  return deciding === undefined || deciding.outcome === "applied" ? "known" : deciding.outcome;
}

function decided(node: Node, { member, outcome, deciding, pending }: Decided): admin.DecisionResult {
  const isDone =
    deciding === undefined || deciding.outcome === "applied" || deciding.proposal.state === "done";
  return {
    peerId: member.peer,
    name: member.name,
    site: member.site,
    outcome: outcome === "deciding" ? outcomeOf(deciding) : outcome,
    ...proposalOf(node, deciding),
    inEffect: isDone && pending === undefined,
    ...(pending === undefined ? {} : { pending: pendingJson(node, pending) }),
    withdrawn: [],
  };
}

async function cancelled(
  node: Node,
  peer: string,
  kind: PendingDecision["kind"],
): Promise<admin.DecisionResult> {
  const { member, withdrawn, deciding } = await node.administration.cancel(peer, kind);
  const isDone = deciding.outcome === "applied" || deciding.proposal.state === "done";
  return {
    peerId: member.peer,
    name: member.name,
    site: member.site,
    outcome: isDone ? "cancelled" : outcomeOf(deciding),
    ...proposalOf(node, deciding),
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
    waitsMs: Math.max(0, Math.round(one.effectiveMs - node.ports.clock.wallMs())),
    signatures: one.signatures,
    ...(one.kind === "removal"
      ? { reason: one.reason, barsOwner: one.barsOwner }
      : { from: one.from, to: one.to }),
  };
}
