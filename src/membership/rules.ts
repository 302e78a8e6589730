import { equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, publicKeyOfPeer } from "../base/ids.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { CertificateEntry, DelegationEntry, EntrySignature, GenesisEntry } from "./entry.ts";

/** By how much two machines' wall clocks may differ before times that they wrote are refused. */
export const CLOCK_SKEW_MS = 10 * MINUTE_MS;

function refuse(reason: string): never {
  throw new Fault({ code: "NOT_ALLOWED", reason });
}

function signedBy(signatures: readonly EntrySignature[], key: Uint8Array): boolean {
  return signatures.some(({ signer }) => equalBytes(signer, key));
}

export function checkGenesis(genesis: GenesisEntry): void {
  const { administrators, threshold } = genesis.body;
  const names = new Set(administrators.map((key) => Buffer.from(key).toString("latin1")));
  if (names.size !== administrators.length || threshold > administrators.length) {
    const reason = "its administrators do not make up its threshold";
    throw new Fault({ code: "FORMAT_INVALID", what: "genesis", reason });
  }
  const [first] = administrators;
  if (first === undefined || genesis.signatures.length !== 1 || !signedBy(genesis.signatures, first)) {
    const reason = "its first administrator alone signs it";
    throw new Fault({ code: "SIGNATURE_INVALID", what: "genesis", reason });
  }
}

export function checkDelegationTimes(entry: DelegationEntry): void {
  if (entry.body.expiresMs <= entry.body.issuedMs) refuse("the delegation expires before it begins");
}

/**
 * A newcomer's certificate against the delegation that lets it in. It signs with the guest key and with every
 * key that it claims (node, owner, recovery identity): else whoever has a token could name another member's
 * owner as its own. Expiry is judged by the certificate's own time here; the door also looks at its clock.
 */
export function checkDelegated(entry: CertificateEntry, delegation: DelegationEntry): void {
  const { body, signatures } = entry;
  const grant = delegation.body;
  if (body.site !== grant.site) refuse(`the token is for site ${grant.site}, not ${body.site}`);
  if (!equalBytes(body.nodeNumber, grant.nodeNumber)) refuse("the node number is not the delegation's");
  if (body.quotaBytes !== grant.quotaBytes) refuse("the quota is not the delegation's");
  if (body.issuedMs > grant.expiresMs + CLOCK_SKEW_MS) {
    throw new Fault({ code: "TOKEN_EXPIRED", expiredAt: new Date(grant.expiresMs).toISOString() });
  }
  if (body.issuedMs < grant.issuedMs - CLOCK_SKEW_MS) refuse("the certificate is older than its delegation");
  if (!signedBy(signatures, grant.guest)) refuse("the certificate is not signed by the token's guest");
  checkClaims(entry, ["node", "owner", "recovery identity"], 4);
}

/**
 * A recovered owner's certificate: its recovery identity and the new node sign. It holds nothing of others until an
 * administrator confirms it.
 */
export function checkRecoverySigners(entry: CertificateEntry): void {
  checkClaims(entry, ["node", "recovery identity"], 2);
  if (entry.body.holder) refuse("a recovered node is no holder before an administrator confirms it");
}

function checkClaims(
  entry: CertificateEntry,
  claims: readonly ("node" | "owner" | "recovery identity")[],
  signaturesExpected: number,
): void {
  const keys = {
    node: publicKeyOfPeer(entry.body.peer),
    owner: idBytes(entry.body.owner),
    "recovery identity": entry.body.recovery,
  };
  for (const claim of claims) {
    if (!signedBy(entry.signatures, keys[claim])) refuse(`the certificate is not signed by its ${claim}`);
  }
  if (entry.signatures.length !== signaturesExpected)
    refuse("the certificate has signatures that it should not have");
}
