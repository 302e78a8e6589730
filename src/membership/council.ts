import { equalBytes, toHex } from "../base/bytes.ts";
import type { Signer } from "../crypto/sign.ts";
import { verifySignature } from "../crypto/sign.ts";
import { NO_INCARNATION, type Statement, signedBytes, signStatement } from "../crypto/signed.ts";
import { ENDORSED_MAX } from "../wire/membership.ts";
import { type AdministratorsEntry, type RosterEntry, signEndorsement, withSignatures } from "./entry.ts";
import type { Approval, Proposal } from "./proposals.ts";
import type { Roster } from "./roster.ts";

type CouncilRoster = Pick<
  Roster,
  "swarm" | "administrators" | "entriesToKeep" | "entry" | "certificatesOf" | "pending" | "isWithdrawn"
>;

/** How a proposal stands: what its signatures come to now, by those who are administrators now. */
export interface ProposalStanding {
  readonly proposal: Proposal;
  /**
   * `open`: waits for signatures. `complete`: has them. `done`: is in the roster. `outdated`: would not do any more what
   * it says, `why`. `expired`: too late.
   */
  readonly state: "open" | "complete" | "done" | "outdated" | "expired";
  readonly why?: string;
  /** Public keys, the proposer's first. */
  readonly signers: readonly Uint8Array[];
  readonly refusers: readonly Uint8Array[];
  readonly missing: number;
}

/**
 * Pure. `undefined` where its proposer is no administrator any more. `quick`: what would fall with a change of the
 * administrators takes a look at the whole roster, and is left out while signatures are missing anyway.
 */
export function standingOf(
  proposal: Proposal,
  approvals: readonly Approval[],
  roster: CouncilRoster,
  nowMs: number,
  { quick = false }: { readonly quick?: boolean } = {},
): ProposalStanding | undefined {
  const { keys, threshold } = roster.administrators();
  const isAdministrator = (key: Uint8Array): boolean => keys.some((one) => equalBytes(one, key));
  if (!isAdministrator(proposal.proposer)) return undefined;
  const own = approvals.filter(
    ({ signer, proposal: id, expiresMs }) =>
      equalBytes(id, proposal.id) &&
      expiresMs > nowMs &&
      isAdministrator(signer) &&
      !equalBytes(signer, proposal.proposer),
  );
  const signed = own.filter((approval) => approval.verdict === "signed" && signs(approval, proposal));
  const signers = [proposal.proposer, ...signed.map(({ signer }) => signer)];
  const refusers = own.filter(({ verdict }) => verdict === "refused").map(({ signer }) => signer);
  const missing = Math.max(0, threshold - signers.length);
  const common = { proposal, signers, refusers, missing };
  if (proposal.entries.every(({ hash }) => roster.entry(hash) !== undefined))
    return { ...common, state: "done" };
  if (nowMs >= proposal.expiresMs) return { ...common, state: "expired" };
  const why = outdated(proposal, roster, nowMs, quick && missing > 0);
  if (why !== undefined) return { ...common, state: "outdated", why };
  return { ...common, state: missing === 0 ? "complete" : "open" };
}

/** What to apply to the roster, in this order, once a proposal is complete. */
export function decisionOf(
  { proposal, signers }: ProposalStanding,
  approvals: readonly Approval[],
  roster: Pick<Roster, "administrators">,
): RosterEntry[] {
  const { keys, threshold } = roster.administrators();
  const used = approvals.filter(
    (approval) =>
      equalBytes(approval.proposal, proposal.id) &&
      signers.some((key) => equalBytes(key, approval.signer)) &&
      signs(approval, proposal),
  );
  const { deed } = proposal;
  if (deed.kind !== "administrators") {
    return [...used.flatMap(({ endorsements }) => endorsements), ...proposal.entries];
  }
  const rank = ({ signer }: Approval): number => keys.findIndex((key) => equalBytes(key, signer));
  const others = [...used]
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, threshold - 1)
    .flatMap(({ signer, signature }) => (signature === undefined ? [] : [{ signer, signature }]));
  return [...deed.lists, withSignatures(deed.change, [...deed.change.signatures, ...others])];
}

/** What another administrator's signature on a proposal is. */
export function signProposal(
  { roster, nowMs }: { readonly roster: Pick<Roster, "swarm" | "administrators">; readonly nowMs: number },
  { entries, deed }: Proposal,
  administrator: Signer,
): { endorsements: Uint8Array[]; signature?: Uint8Array } {
  if (deed.kind === "administrators") {
    return { endorsements: [], signature: signStatement(statementOf(deed.change), administrator).signature };
  }
  const endorsements: Uint8Array[] = [];
  for (let from = 0; from < entries.length; from += ENDORSED_MAX) {
    const listed = entries.slice(from, from + ENDORSED_MAX).map(({ hash }) => hash);
    const body = { v: 1 as const, set: roster.administrators().number, entries: listed, issuedMs: nowMs };
    endorsements.push(signEndorsement(roster.swarm, body, administrator).bytes);
  }
  return { endorsements };
}

function statementOf({ swarm, epoch, bodyBytes }: AdministratorsEntry): Statement {
  return { type: "administrators", swarm, epoch, incarnation: NO_INCARNATION, body: bodyBytes };
}

function signs({ signer, endorsements, signature }: Approval, { entries, deed }: Proposal): boolean {
  if (deed.kind === "administrators") {
    if (signature === undefined) return false;
    return verifySignature(signer, signedBytes(statementOf(deed.change), signer), signature);
  }
  const endorsed = new Set(endorsements.flatMap(({ body }) => body.entries.map(toHex)));
  return entries.every(({ hash }) => endorsed.has(toHex(hash)));
}

/** Why what is proposed would not come to what its sentence says any more. */
function outdated(
  { deed }: Proposal,
  roster: CouncilRoster,
  nowMs: number,
  quick: boolean,
): string | undefined {
  switch (deed.kind) {
    case "removal": {
      const newest = roster.certificatesOf(deed.removal.body.owner)[0]?.body.generation ?? 0;
      return newest > deed.removal.body.generation ? "the node has a newer certificate" : undefined;
    }
    case "certificate": {
      const newest = roster.certificatesOf(deed.certificate.body.owner)[0]?.body.generation ?? -1;
      return newest >= deed.certificate.body.generation ? "the node has a newer certificate" : undefined;
    }
    case "withdrawal": {
      const waiting = new Set(roster.pending().map(({ hash }) => toHex(hash)));
      const isOver = deed.withdrawals.every(({ body }) => !waiting.has(toHex(body.entry)));
      return isOver ? "what it takes back is not waiting any more" : undefined;
    }
    case "invitation": {
      const over = deed.delegations.some(({ body }) => body.expiresMs <= nowMs);
      return over ? "the token has expired" : undefined;
    }
    case "administrators": {
      const { hash } = roster.administrators();
      const { previous, administrators: keys, threshold } = deed.change.body;
      if (!equalBytes(previous, hash)) return "the administrators have changed since";
      const kept = deed.lists.flatMap(({ body }) => body.entries);
      // What is kept needs nobody's signature any more. Nobody gets entries in by hiding them among others' votes.
      const unknown = kept.filter((one) => roster.entry(one) === undefined).length;
      if (unknown > 0) return `it would keep ${unknown} entries of the roster that are not known here`;
      if (quick) return undefined;
      const listed = new Set(kept.map(toHex));
      const falling = roster.entriesToKeep({ keys, threshold }).filter((one) => !listed.has(toHex(one.hash)));
      if (falling.length === 0) return undefined;
      return `${falling.length} decision(s) made since would fall with it`;
    }
  }
}
