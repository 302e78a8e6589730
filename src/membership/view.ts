import { compareBytes, toHex } from "../base/bytes.ts";
import { type OwnerId, type PeerId, peerIdOf } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { RosterBook } from "./book.ts";
import type { CertificateEntry, DelegationEntry, RemovalEntry } from "./entry.ts";

/** What a certificate says of a node. */
export interface Member {
  readonly peer: PeerId;
  readonly owner: OwnerId;
  /** Public key of the owner's recovery identity. */
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
  /** When time alone changes the view next; infinity if it never does. */
  readonly changesMs: number;
}

/** Removals and changes of site that only one administrator signed wait so long: a stolen key is noticed first. */
export const SINGLE_SIGNATURE_DELAY_MS = DAY_MS;
/** At most this share of the nodes, and at least one, is removed in a day. */
export const REMOVED_SHARE_PER_DAY = 0.1;

interface Ended {
  readonly generation: number;
  readonly barred: boolean;
}

/** Who is in the swarm at a moment: a pure function of the entries known. */
export function viewOf(book: RosterBook, nowMs: number): RosterView {
  const times = new Timeline(nowMs);
  const ended = endedOwners(book, times);
  const winners: CertificateEntry[] = [];
  const former: FormerMember[] = [];
  for (const [owner, certificates] of book.owners()) {
    const end = ended.get(owner) ?? { generation: -1, barred: false };
    const standing = certificates.filter(
      (entry, index) =>
        !(end.barred && entry.body.by === "recovery" && entry.body.generation > end.generation) &&
        times.hasCome(siteChangeMs(book, entry, certificates[index + 1])),
    );
    const [best, ...rest] = standing;
    if (best === undefined) continue;
    if (best.body.generation > end.generation) winners.push(best);
    else former.push({ ...memberOf(best), state: "removed" });
    for (const entry of rest) former.push({ ...memberOf(entry), state: "replaced" });
  }
  const barred = new Set([...ended].flatMap(([owner, end]) => (end.barred ? [owner] : [])));
  return { ...index(book, winners, former), barred, changesMs: times.nextMs };
}

function index(
  book: RosterBook,
  winners: CertificateEntry[],
  former: FormerMember[],
): Omit<RosterView, "barred" | "changesMs"> {
  const byPeer = new Map<PeerId, Member>();
  const byOwner = new Map<OwnerId, Member>();
  const byRecovery = new Map<string, Member | FormerMember>();
  const joinGuests = new Map<PeerId, DelegationEntry>();
  const recoveryGuests = new Map<PeerId, Member | FormerMember>();
  winners.sort((a, b) => compareBytes(a.hash, b.hash));
  for (const entry of winners) {
    const member = memberOf(entry);
    // One node key under two owners: only the node itself can have signed both, so the choice may be arbitrary.
    if (byPeer.has(member.peer)) {
      former.push({ ...member, state: "replaced" });
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

function memberOf({ body, hash }: CertificateEntry): Member {
  return {
    peer: body.peer,
    owner: body.owner,
    recovery: body.recovery,
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

/** When a certificate takes effect that moves a node to another site by the word of one administrator. */
function siteChangeMs(
  book: RosterBook,
  entry: CertificateEntry,
  before: CertificateEntry | undefined,
): number {
  if (entry.body.by !== "administrators" || entry.signatures.length >= 2) return 0;
  if (before === undefined || !before.body.holder || before.body.site === entry.body.site) return 0;
  const seenMs = book.get(entry.hash)?.seenMs ?? entry.body.issuedMs;
  return Math.max(entry.body.issuedMs, seenMs) + SINGLE_SIGNATURE_DELAY_MS;
}

function removalDueMs(book: RosterBook, removal: RemovalEntry): number {
  const { issuedMs, effectiveMs } = removal.body;
  if (removal.signatures.length >= 2) return Math.max(issuedMs, effectiveMs);
  const seenMs = book.get(removal.hash)?.seenMs ?? issuedMs;
  return Math.max(effectiveMs, Math.max(issuedMs, seenMs) + SINGLE_SIGNATURE_DELAY_MS);
}

/** Removals in effect, at most a tenth of the owners a day: what is beyond that waits for its day. */
function endedOwners(book: RosterBook, times: Timeline): Map<OwnerId, Ended> {
  const ownerCount = [...book.owners()].length;
  const perDay = Math.max(1, Math.floor(ownerCount * REMOVED_SHARE_PER_DAY));
  const due = [...book.removals()]
    .map((removal) => ({ removal, dueMs: removalDueMs(book, removal) }))
    .sort((a, b) => a.dueMs - b.dueMs || compareBytes(a.removal.hash, b.removal.hash));
  const ended = new Map<OwnerId, Ended>();
  const dates = new Map<OwnerId, number>();
  const scheduled: number[] = [];
  for (const { removal, dueMs } of due) {
    const { owner, generation, barsOwner } = removal.body;
    let atMs = dates.get(owner);
    if (atMs === undefined) {
      const dayBefore = scheduled[scheduled.length - perDay];
      atMs = dayBefore === undefined ? dueMs : Math.max(dueMs, dayBefore + DAY_MS);
      scheduled.push(atMs);
      dates.set(owner, atMs);
    }
    if (!times.hasCome(Math.max(atMs, dueMs))) continue;
    const known = ended.get(owner);
    ended.set(owner, {
      generation: Math.max(known?.generation ?? -1, generation),
      barred: barsOwner || (known?.barred ?? false),
    });
  }
  return ended;
}

/** Remembers the next moment at which an answer of `hasCome` would change. */
class Timeline {
  readonly #nowMs: number;
  nextMs = Number.POSITIVE_INFINITY;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  hasCome(atMs: number): boolean {
    if (atMs <= this.#nowMs) return true;
    this.nextMs = Math.min(this.nextMs, atMs);
    return false;
  }
}
