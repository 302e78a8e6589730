import { toHex } from "../base/bytes.ts";
import type { PeerId } from "../base/ids.ts";
import { type Cleared, findMember, type HolderAudit, type Node } from "../node/index.ts";
import type { CommandContext } from "./api.ts";
import type { AuditedHolder, AuditRequest, AuditResult } from "./audit-api.ts";
import { iso } from "./node-json.ts";
import { trustOf } from "./node-trust.ts";
import type * as results from "./results.ts";

export async function auditHandler(
  node: Node,
  { now, clear }: AuditRequest,
  context: CommandContext,
): Promise<AuditResult> {
  const { audits } = node;
  const cleared = clear === undefined ? undefined : await clearPeer(node, clear);
  if (now) node.requireUnfenced();
  const round = now
    ? await audits.rounds.now(context.signal, (done, total) =>
        context.progress({ type: "progress", phase: "check", segments: done, segmentsTotal: total }),
      )
    : undefined;
  const ofRound = round === undefined ? undefined : new Map(round.map((audit) => [audit.peer, audit]));
  const peers = new Set<PeerId>([
    ...audits.rounds.holders(),
    ...audits.book.holders().keys(),
    ...audits.trust.peers(),
  ]);
  const holders = await Promise.all([...peers].map((peer) => holderJson(node, peer, ofRound)));
  const sum = (of: (holder: AuditedHolder) => number): number =>
    holders.reduce((total, one) => total + of(one), 0);
  return {
    scanned: sum(({ asked }) => asked),
    corrupt: sum(({ missing, wrong }) => missing + wrong),
    quarantined: 0,
    repaired: 0,
    bytesMoved: (round ?? []).reduce((total, { bytes }) => total + bytes, 0),
    now,
    suspects: holders.filter(({ suspect }) => suspect !== undefined).length,
    holders,
    ...(cleared === undefined ? {} : { cleared: cleared.own, clearedForAll: cleared.bySwarm }),
  };
}

function clearPeer(node: Node, asked: string): Promise<Cleared> {
  const { peer } = findMember(node.roster, asked);
  const mayDecide = node.administrators.includesThisNode && !node.isFenced;
  return node.audits.clear(peer, mayDecide ? node.administrators.key() : undefined);
}

export function auditStanding({ audits }: Node): results.StatusResult["audit"] {
  const holders = audits.rounds.holders();
  const provenMs = holders.map((peer) => audits.book.holder(peer).lastProvenMs ?? 0);
  const oldestMs = Math.min(...provenMs);
  return {
    holders: holders.length,
    suspects: holders.filter((peer) => audits.trust.of(peer).kind === "suspect").length,
    doubted: audits.trust.peers().filter((peer) => audits.trust.of(peer).kind === "doubted").length,
    ...(holders.length === 0 || oldestMs === 0 ? {} : { oldestProven: iso(oldestMs) }),
  };
}

const NOT_ASKED = { asked: 0, proven: 0, late: 0, denied: 0, wrong: 0 };

async function holderJson(
  node: Node,
  peer: PeerId,
  ofRound: ReadonlyMap<PeerId, HolderAudit> | undefined,
): Promise<AuditedHolder> {
  const { book } = node.audits;
  const record = book.holder(peer);
  const { asked, proven, late, denied, wrong } =
    ofRound === undefined ? record : (ofRound.get(peer) ?? NOT_ASKED);
  const { lastAskedMs, lastProvenMs, problem, pending } = record;
  const trust = node.audits.trust.of(peer);
  const name = node.roster.member(peer)?.name;
  return {
    peerId: peer,
    ...(name === undefined ? {} : { name }),
    ...{ asked, proven, late, missing: denied, wrong },
    ...(lastAskedMs === undefined ? {} : { lastAsked: iso(lastAskedMs) }),
    ...(lastProvenMs === undefined ? {} : { lastProven: iso(lastProvenMs) }),
    pending: pending?.challenges.length ?? 0,
    ...(problem === undefined ? {} : { problem }),
    ...(trust.kind === "suspect" ? { suspect: { since: iso(trust.sinceMs), reason: trust.reason } } : {}),
    ...trustOf(node, peer),
    evidence: (await book.evidenceIds(peer)).map(toHex),
  };
}
