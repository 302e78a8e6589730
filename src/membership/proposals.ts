import { compareBytes, equalBytes, toHex, utf8 } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { sha256 } from "../crypto/hash.ts";
import { NO_INCARNATION, type Signed } from "../crypto/signed.ts";
import { approvalBody, PROPOSAL_KEPT_MAX_MS, proposalBody } from "../wire/proposal.ts";
import {
  type AdministratorsEntry,
  type CertificateEntry,
  checkSignatures,
  type DelegationEntry,
  decodeEntry,
  type EndorsementEntry,
  type RemovalEntry,
  type RosterEntry,
  type WithdrawalEntry,
} from "./entry.ts";

/** What is proposed: the entries of one decision, each signed by the proposer alone. */
export type Deed =
  | { readonly kind: "removal"; readonly removal: RemovalEntry }
  | { readonly kind: "certificate"; readonly certificate: CertificateEntry }
  | { readonly kind: "withdrawal"; readonly withdrawals: readonly WithdrawalEntry[] }
  | { readonly kind: "invitation"; readonly delegations: readonly DelegationEntry[] }
  | {
      readonly kind: "administrators";
      readonly change: AdministratorsEntry;
      /** Of what the change keeps; they come before it. */
      readonly lists: readonly EndorsementEntry[];
    };

export interface Proposal {
  readonly id: Uint8Array;
  /** Public key. */
  readonly proposer: Uint8Array;
  readonly slot: number;
  readonly entries: readonly RosterEntry[];
  readonly deed: Deed;
  readonly issuedMs: number;
  readonly expiresMs: number;
}

export interface Approval {
  readonly signer: Uint8Array;
  readonly slot: number;
  readonly proposal: Uint8Array;
  readonly verdict: "signed" | "refused" | "none";
  readonly endorsements: readonly EndorsementEntry[];
  readonly signature: Uint8Array | undefined;
  readonly expiresMs: number;
}

function invalid(what: "proposal" | "approval", reason: string): never {
  throw new Fault({ code: "FORMAT_INVALID", what, reason });
}

/** Names what is decided, not who proposes it. */
export function proposalId(entries: readonly Pick<RosterEntry, "hash">[]): Uint8Array {
  return sha256(utf8("cairn/1/proposal-id\0"), ...entries.map(({ hash }) => hash));
}

/** `undefined` for one that was taken back. Shape and sense; signatures are checked once, when the record comes in. */
export function readProposal({ body, signer }: Pick<Signed, "body" | "signer">): Proposal | undefined {
  const { entries: encoded, slot, issuedMs, expiresMs } = proposalBody.decode(body);
  if (encoded.length === 0) return undefined;
  const entries = encoded.map((bytes) => decodeEntry(bytes));
  const deed = deedOf(entries);
  return { id: proposalId(entries), proposer: signer, slot, entries, deed, issuedMs, expiresMs };
}

export function readApproval({ body, signer }: Pick<Signed, "body" | "signer">): Approval {
  const { slot, proposal, verdict, endorsements, signature, expiresMs } = approvalBody.decode(body);
  const entries = endorsements.map((bytes) => {
    const entry = decodeEntry(bytes);
    return entry.type === "endorsement" ? entry : invalid("approval", `it has a ${entry.type}`);
  });
  return { signer, slot, proposal, verdict, endorsements: entries, signature, expiresMs };
}

/** For the record store. Throws `FORMAT_INVALID` or `SIGNATURE_INVALID`. */
export function checkProposal(record: Signed): void {
  checkTimes("proposal", record, proposalBody.decode(record.body));
  const entries = readProposal(record)?.entries ?? [];
  for (const entry of entries) checkSignedBy(record, entry);
}

export function checkApproval(record: Signed): void {
  const body = approvalBody.decode(record.body);
  checkTimes("approval", record, body);
  const { verdict, endorsements, signature } = readApproval(record);
  for (const entry of endorsements) {
    checkSignedBy(record, entry);
    if (!equalBytes(entry.body.administrator, record.signer)) invalid("approval", "it endorses for another");
  }
  const says = endorsements.length > 0 || signature !== undefined;
  if (says !== (verdict === "signed")) invalid("approval", "its verdict is not what it carries");
}

function checkTimes(
  what: "proposal" | "approval",
  { incarnation }: Signed,
  { issuedMs, expiresMs, keptMs }: { issuedMs: number; expiresMs: number; keptMs: number },
): void {
  if (incarnation !== NO_INCARNATION) invalid(what, "an administrator has no incarnation");
  if (expiresMs > keptMs || keptMs > issuedMs + PROPOSAL_KEPT_MAX_MS) invalid(what, "its times do not fit");
}

function checkSignedBy(record: Signed, entry: RosterEntry): void {
  const [only, ...others] = entry.signatures;
  if (only === undefined || others.length > 0 || !equalBytes(only.signer, record.signer)) {
    invalid(
      record.type === "approval" ? "approval" : "proposal",
      "an entry is not signed by its signer alone",
    );
  }
  checkSignatures(entry, record.swarm);
}

/**
 * What entries come to together. Only what can be said in one sentence is a proposal: nobody should sign ten tokens for
 * ten sites because the first one looked right.
 */
function deedOf(entries: readonly RosterEntry[]): Deed {
  const last = entries.at(-1);
  const rest = entries.slice(0, -1);
  if (last === undefined) return invalid("proposal", "it is empty");
  switch (last.type) {
    case "removal":
      if (rest.length > 0) break;
      return { kind: "removal", removal: last };
    case "certificate":
      if (rest.length > 0 || last.body.by !== "administrators") break;
      return { kind: "certificate", certificate: last };
    case "withdrawal": {
      const withdrawals = entries.filter((entry) => entry.type === "withdrawal");
      if (withdrawals.length < entries.length) break;
      return { kind: "withdrawal", withdrawals };
    }
    case "delegation": {
      const delegations = entries.filter((entry) => entry.type === "delegation" && isOfToken(entry, last));
      if (delegations.length < entries.length) break;
      return { kind: "invitation", delegations: delegations.filter((entry) => entry.type === "delegation") };
    }
    case "administrators": {
      const lists = rest.filter((entry) => entry.type === "endorsement");
      const named = new Set(last.body.keeps.map(toHex));
      if (lists.length < rest.length || named.size !== lists.length) break;
      if (!lists.every(({ hash }) => named.has(toHex(hash)))) break;
      return { kind: "administrators", change: last, lists };
    }
    case "genesis":
    case "endorsement":
      break;
  }
  return invalid("proposal", `its entries, the last of them a ${last.type}, are no one decision`);
}

function isOfToken({ body }: DelegationEntry, { body: other }: DelegationEntry): boolean {
  return (
    equalBytes(body.token, other.token) &&
    body.site === other.site &&
    body.expiresMs === other.expiresMs &&
    body.quotaBytes === other.quotaBytes
  );
}

/** What two proposals of the same thing have in common, however differently they were written. */
export function purposeOf(deed: Deed): string {
  switch (deed.kind) {
    case "removal": {
      const { owner, generation, barsOwner } = deed.removal.body;
      return `removal/${owner}/${generation}/${barsOwner}`;
    }
    case "certificate": {
      const { owner, peer, recovery, site, name, host, capacityBytes, quotaBytes, generation, holder } =
        deed.certificate.body;
      const said = [owner, peer, toHex(recovery), site, name, host, capacityBytes, quotaBytes, generation];
      return `certificate/${JSON.stringify([...said, holder])}`;
    }
    case "withdrawal":
      return `withdrawal/${deed.withdrawals
        .map(({ body }) => body.entry)
        .sort(compareBytes)
        .map(toHex)
        .join("/")}`;
    case "invitation":
      // Each token has a seed of its own.
      return `invitation/${toHex(proposalId(deed.delegations))}`;
    case "administrators": {
      const { number, administrators, threshold } = deed.change.body;
      return `administrators/${number}/${threshold}/${administrators.map(toHex).join("/")}`;
    }
  }
}
