import { equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { ownerIdOf, type PeerId, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Rng } from "../ports/index.ts";
import type { Accepted, RosterPage, RosterPageRequest } from "../wire/membership.ts";
import { NODE_NUMBER_BYTES, type NodeDescription } from "./administer.ts";
import type { RosterBook } from "./book.ts";
import { type CertificateEntry, decodeEntry, signCertificate } from "./entry.ts";
import { checkIssuedNow, type DoorComponents } from "./join-door.ts";
import type { Roster } from "./roster.ts";
import { rosterPage } from "./roster-pages.ts";
import { checkSiteName } from "./site.ts";
import type { FormerMember, Member } from "./view.ts";

/**
 * The roster's part of protocol `recover`, for the handler that also serves slots, heads and shards. Both throw
 * faults, which `refusalOf` turns into answers.
 */
export function recoverHello(
  { roster, clock }: Pick<DoorComponents, "roster" | "clock">,
  from: PeerId,
  request: RosterPageRequest,
): { owner: Member | FormerMember; nowMs: number; page: RosterPage } {
  return { owner: recoveringOwner(roster, from), nowMs: clock.wallMs(), page: rosterPage(roster, request) };
}

/** The owner that a recovery identity speaks for. `NOT_ALLOWED` if it speaks for none. */
export function recoveringOwner(
  roster: Pick<Roster, "memberByRecovery">,
  from: PeerId,
): Member | FormerMember {
  const owner = roster.memberByRecovery(publicKeyOfPeer(from));
  if (owner !== undefined) return owner;
  throw new Fault({ code: "NOT_ALLOWED", reason: "no owner of this swarm has this recovery identity" });
}

/**
 * Takes the certificate of a recovered owner's new node; on disk when it resolves. The same one again gets the same
 * answer. Throws `NOT_ALLOWED`, `SIGNATURE_INVALID`, `RECORD_STALE` or `USAGE` (a site name like a known one).
 */
export async function submitRecovered(
  { roster, clock, log }: DoorComponents,
  from: PeerId,
  bytes: Uint8Array,
): Promise<Accepted> {
  const owner = recoveringOwner(roster, from);
  const entry = decodeEntry(bytes);
  if (entry.type !== "certificate" || entry.body.by !== "recovery") {
    throw new Fault({ code: "NOT_ALLOWED", reason: "a recovery identity hands in its own certificate only" });
  }
  if (!equalBytes(entry.body.recovery, publicKeyOfPeer(from))) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "the certificate is of another recovery identity" });
  }
  if (roster.entry(entry.hash) === undefined) {
    checkSiteName(entry.body.site, roster.sites());
    checkIssuedNow(entry.body.issuedMs, clock);
    checkSupersedes(roster, entry, owner);
    await roster.apply(entry);
    log.warn("owner-recovered", { owner: entry.body.owner, peer: entry.body.peer, before: owner.peer });
  }
  return { certificate: entry.bytes, page: rosterPage(roster, {}) };
}

function checkSupersedes(roster: Roster, { body }: CertificateEntry, owner: Member | FormerMember): void {
  if (roster.isBarred(owner.owner)) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "administrators barred this owner from the swarm" });
  }
  const newest = roster.certificatesOf(owner.owner)[0];
  const knownEpoch = newest?.body.generation ?? owner.generation;
  if (body.generation <= knownEpoch) {
    throw new Fault({ code: "RECORD_STALE", what: "certificate", epoch: body.generation, knownEpoch });
  }
  const holder = roster.member(body.peer);
  if (holder !== undefined && holder.owner !== body.owner) {
    throw new Fault({ code: "NOT_ALLOWED", reason: "this node is a member already" });
  }
}

/**
 * The certificate with which a recovery identity moves its owner to a new node: the next generation, no holder until
 * an administrator confirms it. `WRONG_KEY` where the roster names no such owner.
 */
export function recoverCertificate(
  {
    book,
    rng,
  }: {
    /** Of `verifyRoster`, or a `Roster`. */
    readonly book: Pick<RosterBook, "swarm" | "certificatesOf" | "rotations">;
    readonly rng: Pick<Rng, "bytes">;
  },
  init: {
    readonly recovery: Signer;
    readonly node: Signer;
    /** Public key. */
    readonly owner: Uint8Array;
    /** The clock of the member that takes it (`recoverHello`): a new machine's own may be years off. */
    readonly nowMs: number;
    /** Site: the old node's unless given. */
    readonly description: Omit<NodeDescription, "site"> & { readonly site?: string };
  },
): CertificateEntry {
  const owner = ownerIdOf(init.owner);
  const [newest] = book.certificatesOf(owner);
  if (newest === undefined) throw new Fault({ code: "WRONG_KEY", what: "recovery key" });
  const { quotaBytes } = newest.body;
  const rotation = book.rotations.bringing(owner, init.recovery.publicKey);
  return signCertificate(
    book.swarm,
    {
      v: 1,
      by: "recovery",
      peer: peerIdOf(init.node.publicKey),
      owner,
      recovery: init.recovery.publicKey,
      ...(rotation === undefined ? {} : { rotation: rotation.hash }),
      ...init.description,
      site: init.description.site ?? newest.body.site,
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
      nodeNumber: rng.bytes(NODE_NUMBER_BYTES),
      generation: newest.body.generation + 1,
      holder: false,
      issuedMs: init.nowMs,
    },
    [init.recovery, init.node],
  );
}
