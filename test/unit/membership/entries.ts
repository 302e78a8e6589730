import { must } from "../../../src/base/assert.ts";
import { incarnationOf, ownerIdOf, peerIdOf, type SwarmId } from "../../../src/base/ids.ts";
import type { Signer } from "../../../src/crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../../../src/crypto/signed.ts";
import type { Invitation } from "../../../src/membership/administer.ts";
import {
  type CertificateEntry,
  type DelegationEntry,
  type RotationEntry,
  signCertificate,
  signRotation,
} from "../../../src/membership/entry.ts";
import { guestSigner, parseToken } from "../../../src/membership/token.ts";
import type { Clock } from "../../../src/ports/index.ts";
import { incarnationBody, slotBody } from "../../../src/wire/data.ts";
import type { CertificateBody, RotationBody } from "../../../src/wire/membership.ts";
import { encodeSigned } from "../../../src/wire/signed.ts";
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

/** The owner of `certificate` replaces its recovery key `from` by `to`; proper unless `changes` or `signers` make it something else. */
export function rotated(
  { swarm, clock }: { swarm: SwarmId; clock: Pick<Clock, "wallMs"> },
  certificate: CertificateEntry,
  init: {
    node: Signer;
    owner: Signer;
    from: Signer;
    to: Signer;
    number?: number;
    changes?: Partial<RotationBody>;
    signers?: readonly Signer[];
  },
): RotationEntry {
  const { node, owner, from, to, number = 1, changes = {}, signers } = init;
  const id = ownerIdOf(owner.publicKey);
  const by = (type: "slot" | "incarnation", body: Uint8Array) =>
    encodeSigned(signStatement({ type, swarm, incarnation: NO_INCARNATION, epoch: 1, body }, to));
  const incarnation = incarnationOf(new Uint8Array(16).fill(9));
  const body: RotationBody = {
    v: 1,
    owner: id,
    peer: peerIdOf(node.publicKey),
    certificate: certificate.hash,
    generation: certificate.body.generation,
    number,
    retires: from.publicKey,
    recovery: to.publicKey,
    slot: by("slot", slotBody.encode({ v: 1, swarm, owner: id, wrappedRoot: new Uint8Array(114) })),
    life: by("incarnation", incarnationBody.encode({ v: 1, owner: id, incarnation, timeMs: clock.wallMs() })),
    issuedMs: clock.wallMs(),
    ...changes,
  };
  return signRotation(swarm, body, signers ?? [node, owner, from, to]);
}
