import { compareBytes, toHex } from "../base/bytes.ts";
import { type OwnerId, type PeerId, peerIdOf } from "../base/ids.ts";
import type { RosterBook } from "./book.ts";
import { decisionsOf, type PendingDecision } from "./decisions.ts";
import type { CertificateEntry, DelegationEntry } from "./entry.ts";

/** What a certificate says of a node. */
export interface Member {
  readonly peer: PeerId;
  readonly owner: OwnerId;
  /** Public key of the owner's recovery identity: the one in force, where that of the certificate was replaced. */
  readonly recovery: Uint8Array;
  readonly site: string;
  readonly name: string;
  readonly host: string;
  readonly capacityBytes: number;
  /** What its owner may store; `undefined` where nobody set a bound. */
  readonly quotaBytes: number | undefined;
  readonly nodeNumber: Uint8Array;
  /** False: an owner only; no shards are placed on it. */
  readonly holder: boolean;
  readonly generation: number;
  readonly certificateHash: Uint8Array;
  /** When its certificate was issued. */
  readonly since: number;
}

export interface FormerMember extends Member {
  /** `replaced`: its owner was recovered onto another node. `removed`: administrators took it out. */
  readonly state: "replaced" | "removed";
  /** Since when: the removal's day, or the date of the certificate that took its place. */
  readonly endedMs: number;
}

export interface RosterView {
  /** In the order of their certificates' hashes. */
  readonly members: readonly Member[];
  readonly former: readonly FormerMember[];
  readonly byPeer: ReadonlyMap<PeerId, Member>;
  readonly byOwner: ReadonlyMap<OwnerId, Member>;
  /** By the hex of the recovery identity's public key; removed owners too. */
  readonly byRecovery: ReadonlyMap<string, Member | FormerMember>;
  readonly recoveryGuests: ReadonlyMap<PeerId, Member | FormerMember>;
  readonly joinGuests: ReadonlyMap<PeerId, DelegationEntry>;
  /** Owners that no recovery identity brings back. */
  readonly barred: ReadonlySet<OwnerId>;
  /** What administrators have decided and what has not come into effect yet, the next first. */
  readonly pending: readonly PendingDecision[];
  /** When time alone changes the view next; infinity if it never does. */
  readonly changesMs: number;
}

/** Who is in the swarm at a moment: a pure function of the entries known. */
export function viewOf(book: RosterBook, nowMs: number): RosterView {
  const { ended, standing, pending, nextMs } = decisionsOf(book, nowMs);
  const winners: CertificateEntry[] = [];
  const former: FormerMember[] = [];
  for (const [owner, certificates] of standing) {
    const [best, ...rest] = certificates;
    if (best === undefined) continue;
    const end = ended.get(owner);
    if (end === undefined || best.body.generation > end.generation) winners.push(best);
    else former.push({ ...memberOf(book, best), state: "removed", endedMs: end.sinceMs });
    let better = best;
    for (const entry of rest) {
      former.push({ ...memberOf(book, entry), state: "replaced", endedMs: better.body.issuedMs });
      better = entry;
    }
  }
  const barred = new Set([...ended].flatMap(([owner, end]) => (end.barred ? [owner] : [])));
  return { ...index(book, winners, former), barred, pending, changesMs: nextMs };
}

function index(
  book: RosterBook,
  winners: CertificateEntry[],
  former: FormerMember[],
): Omit<RosterView, "barred" | "pending" | "changesMs"> {
  const byPeer = new Map<PeerId, Member>();
  const byOwner = new Map<OwnerId, Member>();
  const byRecovery = new Map<string, Member | FormerMember>();
  const joinGuests = new Map<PeerId, DelegationEntry>();
  const recoveryGuests = new Map<PeerId, Member | FormerMember>();
  winners.sort((a, b) => compareBytes(a.hash, b.hash));
  const newest = newestOfPeers(winners);
  for (const entry of winners) {
    const member = memberOf(book, entry);
    const other = newest.get(member.peer);
    if (other !== undefined && other !== entry) {
      former.push({ ...member, state: "replaced", endedMs: other.body.issuedMs });
      continue;
    }
    byPeer.set(member.peer, member);
    byOwner.set(member.owner, member);
  }
  for (const one of [...former, ...byOwner.values()]) {
    byRecovery.set(toHex(one.recovery), one);
    recoveryGuests.set(peerIdOf(one.recovery), one);
  }
  for (const delegation of book.delegations()) joinGuests.set(peerIdOf(delegation.body.guest), delegation);
  const gone = former.filter((one) => !byPeer.has(one.peer));
  return {
    members: [...byPeer.values()],
    former: gone,
    byPeer,
    byOwner,
    byRecovery,
    recoveryGuests,
    joinGuests,
  };
}

/**
 * One node key under two owners: only the node itself can have signed both, when it became a node of its own again.
 * Some may not have heard yet why it had to.
 */
function newestOfPeers(winners: readonly CertificateEntry[]): Map<PeerId, CertificateEntry> {
  const newest = new Map<PeerId, CertificateEntry>();
  for (const entry of winners) {
    const known = newest.get(entry.body.peer);
    if (known === undefined || known.body.issuedMs < entry.body.issuedMs) newest.set(entry.body.peer, entry);
  }
  return newest;
}

function memberOf(book: RosterBook, { body, hash }: CertificateEntry): Member {
  return {
    peer: body.peer,
    owner: body.owner,
    recovery: book.rotations.follow(body.owner, body.recovery),
    site: body.site,
    name: body.name,
    host: body.host,
    capacityBytes: body.capacityBytes,
    quotaBytes: body.quotaBytes,
    nodeNumber: body.nodeNumber,
    holder: body.holder,
    generation: body.generation,
    certificateHash: hash,
    since: body.issuedMs,
  };
}
