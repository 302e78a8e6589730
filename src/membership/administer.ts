import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { ownerIdOf, peerIdOf, type SwarmId } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Clock, Rng } from "../ports/index.ts";
import { TOKEN_USES_MAX, type TokenContent } from "../wire/membership.ts";
import {
  type CertificateEntry,
  type DelegationEntry,
  type EndorsementEntry,
  type GenesisEntry,
  type RemovalEntry,
  type RosterEntry,
  signCertificate,
  signDelegation,
  signEndorsement,
  signGenesis,
  signRemoval,
  signWithdrawal,
  type WithdrawalEntry,
} from "./entry.ts";
import type { Roster } from "./roster.ts";
import { checkSiteName } from "./site.ts";
import { encodeToken, guestSigner, tokenId } from "./token.ts";
import type { FormerMember, Member } from "./view.ts";

export const NODE_NUMBER_BYTES = 32;

/** What a machine says of itself when it gets in. */
export interface NodeDescription {
  readonly site: string;
  readonly name: string;
  /** Shards of one segment go to different hosts as far as there are any. Usually the machine's host name. */
  readonly host: string;
  readonly capacityBytes: number;
}

interface Tools {
  readonly rng: Pick<Rng, "bytes">;
  readonly clock: Pick<Clock, "wallMs">;
}

/** A new swarm: its genesis and the certificate of its first node, both to be given to `Roster.create`. */
export function createSwarm(
  { rng, clock }: Tools,
  init: {
    readonly administrators: readonly Signer[];
    /** @default 1 */
    readonly threshold?: number;
    /** Public keys: of the first node, its owner, its owner's recovery identity. */
    readonly node: Uint8Array;
    readonly owner: Uint8Array;
    readonly recovery: Uint8Array;
    readonly description: NodeDescription;
  },
): { swarm: SwarmId; genesis: GenesisEntry; certificate: CertificateEntry } {
  const [first] = init.administrators;
  const threshold = init.threshold ?? 1;
  assert(first !== undefined && threshold <= init.administrators.length, "the threshold can be met");
  const issuedMs = clock.wallMs();
  const genesis = signGenesis(
    {
      v: 1,
      administrators: init.administrators.map(({ publicKey }) => publicKey),
      threshold,
      createdMs: issuedMs,
      nonce: rng.bytes(16),
    },
    first,
  );
  const certificate = signCertificate(
    genesis.swarm,
    {
      v: 1,
      by: "administrators",
      peer: peerIdOf(init.node),
      owner: ownerIdOf(init.owner),
      recovery: init.recovery,
      ...init.description,
      site: checkSiteName(init.description.site, []),
      nodeNumber: rng.bytes(NODE_NUMBER_BYTES),
      generation: 0,
      holder: true,
      issuedMs,
    },
    init.administrators.slice(0, threshold),
  );
  return { swarm: genesis.swarm, genesis, certificate };
}

export interface Invitation {
  /** The line of text for the newcomer. */
  readonly token: string;
  /** One for each use; the token works at nodes that have applied them. */
  readonly delegations: readonly DelegationEntry[];
}

/**
 * Signs what lets `uses` new nodes in at one site, with no administrator needed when they come. The caller
 * applies the delegations to its roster, which spreads them. Throws `USAGE` for a bad site name or number of uses.
 */
export function invite(
  { roster, rng, clock }: Tools & { readonly roster: Pick<Roster, "swarm" | "sites"> },
  init: {
    /** Where more must sign than these, they propose it. */
    readonly administrators: readonly Signer[];
    readonly site: string;
    /** From now. */
    readonly expiresInMs: number;
    /** @default 1 */
    readonly uses?: number;
    /** Members to dial, best first; the first four are taken. */
    readonly addresses: TokenContent["addresses"];
    readonly quotaBytes?: number;
  },
): Invitation {
  const uses = init.uses ?? 1;
  if (!Number.isInteger(uses) || uses < 1 || uses > TOKEN_USES_MAX) {
    throw new Fault({ code: "USAGE", reason: `A token has 1 to ${TOKEN_USES_MAX} uses.` });
  }
  if (!(init.expiresInMs > 0)) throw new Fault({ code: "USAGE", reason: "A token expires in the future." });
  const issuedMs = clock.wallMs();
  const token: TokenContent = {
    swarm: roster.swarm,
    seed: rng.bytes(32),
    site: checkSiteName(init.site, roster.sites()),
    expiresMs: issuedMs + Math.ceil(init.expiresInMs),
    uses,
    addresses: init.addresses.slice(0, 4),
  };
  const id = tokenId(token);
  const delegations = Array.from({ length: uses }, (_, useIndex) =>
    signDelegation(
      roster.swarm,
      {
        v: 1,
        guest: guestSigner(token, useIndex).publicKey,
        site: token.site,
        nodeNumber: rng.bytes(NODE_NUMBER_BYTES),
        issuedMs,
        expiresMs: token.expiresMs,
        token: id,
        useIndex,
        ...(init.quotaBytes === undefined ? {} : { quotaBytes: init.quotaBytes }),
      },
      init.administrators,
    ),
  );
  return { token: encodeToken(token), delegations };
}

/**
 * Administrators certify a node anew, under the next generation: a recovered one becomes a holder, or a node gets
 * another site (after a day, if one administrator alone signs), capacity or name. A new node number is drawn:
 * the recovered node chose its own and could have chosen it to attract certain shards.
 */
export function certifyAnew(
  { roster, rng, clock }: Tools & { readonly roster: Pick<Roster, "swarm" | "sites"> },
  init: {
    readonly administrators: readonly Signer[];
    readonly member: Member;
    /** The highest that any certificate of the owner has, one that waits included. @default the member's */
    readonly generation?: number;
    readonly changes?: Partial<NodeDescription> & {
      readonly holder?: boolean;
      readonly quotaBytes?: number | "none";
    };
  },
): CertificateEntry {
  const { member, changes = {} } = init;
  const asked = changes.quotaBytes ?? member.quotaBytes;
  const quotaBytes = asked === "none" ? undefined : asked;
  return signCertificate(
    roster.swarm,
    {
      v: 1,
      by: "administrators",
      peer: member.peer,
      owner: member.owner,
      recovery: member.recovery,
      site: changes.site === undefined ? member.site : checkSiteName(changes.site, roster.sites()),
      name: changes.name ?? member.name,
      host: changes.host ?? member.host,
      capacityBytes: changes.capacityBytes ?? member.capacityBytes,
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
      nodeNumber: member.holder ? member.nodeNumber : rng.bytes(NODE_NUMBER_BYTES),
      generation: (init.generation ?? member.generation) + 1,
      holder: changes.holder ?? member.holder,
      issuedMs: clock.wallMs(),
    },
    init.administrators,
  );
}

/**
 * Takes a node out of the roster: at once if two administrators sign, else after a day, and never more than a tenth
 * of the nodes a day. Its owner can still be recovered onto another node unless `barsOwner`.
 */
export function removeMember(
  { roster, clock }: Pick<Tools, "clock"> & { readonly roster: Pick<Roster, "swarm"> },
  init: {
    readonly administrators: readonly Signer[];
    readonly member: Member | FormerMember;
    /** As for `certifyAnew`: a certificate that waits must not bring the node back. @default the member's */
    readonly generation?: number;
    readonly reason: string;
    /** @default false */
    readonly barsOwner?: boolean;
  },
): RemovalEntry {
  const issuedMs = clock.wallMs();
  return signRemoval(
    roster.swarm,
    {
      v: 1,
      owner: init.member.owner,
      peer: init.member.peer,
      generation: init.generation ?? init.member.generation,
      barsOwner: init.barsOwner ?? false,
      issuedMs,
      // The day that one signature waits is everybody's rule, not this entry's word: another may come to it.
      effectiveMs: issuedMs,
      reason: init.reason.slice(0, 200),
    },
    init.administrators,
  );
}

/** One more administrator stands behind entries that others signed. */
export function endorse(
  { roster, clock }: Pick<Tools, "clock"> & { readonly roster: Pick<Roster, "swarm" | "administrators"> },
  init: { readonly administrator: Signer; readonly entries: readonly RosterEntry[] },
): EndorsementEntry {
  const entries = init.entries.map(({ hash }) => hash);
  const body = { v: 1 as const, set: roster.administrators().number, entries, issuedMs: clock.wallMs() };
  return signEndorsement(roster.swarm, body, init.administrator);
}

/** Takes back a removal or a change of site. */
export function withdraw(
  { roster, clock }: Pick<Tools, "clock"> & { readonly roster: Pick<Roster, "swarm"> },
  init: { readonly administrators: readonly Signer[]; readonly entry: Uint8Array },
): WithdrawalEntry {
  const body = { v: 1 as const, entry: init.entry, issuedMs: clock.wallMs() };
  return signWithdrawal(roster.swarm, body, init.administrators);
}
