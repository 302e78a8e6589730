import { must } from "../../../src/base/assert.ts";
import { ownerIdOf, type SwarmId } from "../../../src/base/ids.ts";
import type { Signer } from "../../../src/crypto/sign.ts";
import type { Invitation } from "../../../src/membership/administer.ts";
import {
  type CertificateEntry,
  type DelegationEntry,
  signCertificate,
} from "../../../src/membership/entry.ts";
import { guestSigner, parseToken } from "../../../src/membership/token.ts";
import type { Clock } from "../../../src/ports/index.ts";
import type { CertificateBody } from "../../../src/wire/membership.ts";
import type { Keys } from "./world.ts";

/** A newcomer's certificate by one use of a token, unless `changes` make it something else. */
export function newcomer(
  { swarm, clock }: { swarm: SwarmId; clock: Pick<Clock, "wallMs"> },
  invitation: Invitation,
  useIndex: number,
  keys: Keys,
  changes: Partial<Extract<CertificateBody, { by: "delegation" }>> = {},
  signers?: readonly Signer[],
): CertificateEntry {
  const delegation = must(invitation.delegations[useIndex], "delegation");
  const { site, nodeNumber, quotaBytes } = delegation.body;
  return signCertificate(
    swarm,
    {
      v: 1,
      by: "delegation",
      delegation: delegation.hash,
      peer: keys.peer,
      owner: ownerIdOf(keys.owner.publicKey),
      recovery: keys.recovery.publicKey,
      site,
      name: "newcomer",
      host: "newcomer.example",
      capacityBytes: 1e9,
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
      nodeNumber,
      generation: 0,
      holder: true,
      issuedMs: clock.wallMs(),
      ...changes,
    },
    signers ?? [guestSigner(parseToken(invitation.token), useIndex), keys.node, keys.owner, keys.recovery],
  );
}

export function delegated(
  swarm: { swarm: SwarmId; clock: Pick<Clock, "wallMs"> },
  invitation: Invitation,
  useIndex: number,
  keys: Keys,
): [DelegationEntry, CertificateEntry] {
  return [must(invitation.delegations[useIndex], "delegation"), newcomer(swarm, invitation, useIndex, keys)];
}
