import { compareBytes, toHex } from "../base/bytes.ts";
import type { OwnerId, PeerId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { RosterBook } from "./book.ts";
import type { CertificateEntry, RemovalEntry } from "./entry.ts";

/** Removals and changes of site that only one administrator signed wait so long: a stolen key is noticed first. */
export const SINGLE_SIGNATURE_DELAY_MS = DAY_MS;
/** At most this share of the nodes, and at least one, is removed in a day. */
export const REMOVED_SHARE_PER_DAY = 0.1;
/** As many stand behind a decision that takes effect at once. */
const SIGNATURES_AT_ONCE = 2;

interface Pending {
  /** Of the entry that says so. */
  readonly hash: Uint8Array;
  readonly owner: OwnerId;
  readonly peer: PeerId;
  readonly issuedMs: number;
  readonly effectiveMs: number;
  /** How many administrators stand behind it. */
  readonly signatures: number;
}

export interface PendingRemoval extends Pending {
  readonly kind: "removal";
  readonly generation: number;
  readonly barsOwner: boolean;
  readonly reason: string;
}

/** A certificate that moves a holder to another site, gives its owner another node, or makes it no holder. */
export interface PendingChange extends Pending {
  readonly kind: "site-move" | "certificate";
  readonly from: string;
  readonly to: string;
}

/** What administrators have decided and what has not come into effect yet. */
export type PendingDecision = PendingRemoval | PendingChange;

export interface Ended {
  /** Certificates up to this one. */
  readonly generation: number;
  readonly barred: boolean;
}

export interface Decisions {
  readonly ended: ReadonlyMap<OwnerId, Ended>;
  /** Certificates that count at this moment, the best first. */
  readonly standing: ReadonlyMap<OwnerId, readonly CertificateEntry[]>;
  /** The next first. */
  readonly pending: readonly PendingDecision[];
  /** When time alone changes any of this; infinity if it never does. */
  readonly nextMs: number;
}

/** What administrators' decisions come to at a moment: a pure function of the entries known. */
export function decisionsOf(book: RosterBook, nowMs: number): Decisions {
  const { ended, removals } = endedOwners(book, nowMs);
  const standing = new Map<OwnerId, readonly CertificateEntry[]>();
  const changes: PendingChange[] = [];
  for (const [owner, certificates] of book.owners()) {
    standing.set(owner, standingCertificates(book, nowMs, certificates, ended.get(owner), changes));
  }
  const pending = [...removals.filter((one) => isOpen(one, standing, ended)), ...changes].sort(
    (a, b) => a.effectiveMs - b.effectiveMs || compareBytes(a.hash, b.hash),
  );
  const nextMs = Math.min(...[...removals, ...changes].map((one) => one.effectiveMs));
  return { ended, standing, pending, nextMs };
}

/** Whether a removal would still change anything: its owner may be gone, or have been recovered since. */
function isOpen(
  { owner, generation, barsOwner }: PendingRemoval,
  standing: ReadonlyMap<OwnerId, readonly CertificateEntry[]>,
  ended: ReadonlyMap<OwnerId, Ended>,
): boolean {
  const end = ended.get(owner);
  if (barsOwner && end?.barred !== true) return true;
  const best = standing.get(owner)?.[0]?.body.generation;
  return best !== undefined && best <= generation && best > (end?.generation ?? -1);
}

/** Best first. Each is measured against the best below it that counts: what waits prepares nothing for others. */
function standingCertificates(
  book: RosterBook,
  nowMs: number,
  certificates: readonly CertificateEntry[],
  end: Ended | undefined,
  pending: PendingChange[],
): CertificateEntry[] {
  const ends = end?.generation ?? -1;
  const counting: CertificateEntry[] = [];
  for (const entry of certificates.toReversed()) {
    const { body, hash } = entry;
    if (book.isWithdrawn(toHex(hash))) continue;
    if (end?.barred === true && body.by === "recovery" && body.generation > ends) continue;
    const change = pendingChange(book, entry, counting.at(-1));
    if (change === undefined || change.effectiveMs <= nowMs) counting.push(entry);
    else if (body.generation > ends) pending.push(change);
  }
  return counting.reverse();
}

/** What of a certificate waits for a second signature or a day; `undefined` where nothing does. */
function pendingChange(
  book: RosterBook,
  entry: CertificateEntry,
  before: CertificateEntry | undefined,
): PendingChange | undefined {
  const { body, hash } = entry;
  if (body.by !== "administrators" || before === undefined) return undefined;
  const isMove = before.body.site !== body.site;
  // A recovered node is not trusted with anything before it is confirmed: its site may be put right at once.
  const isAnother = before.body.peer !== body.peer || (before.body.holder && !body.holder);
  if (!(isMove && before.body.by !== "recovery") && !isAnother) return undefined;
  // What a change of the administrators kept was in effect then.
  const signatures = book.authority.isKept(hash) ? SIGNATURES_AT_ONCE : book.authority.supporters(entry).size;
  const effectiveMs = signatures >= SIGNATURES_AT_ONCE ? 0 : delayedMs(book, entry);
  const { owner, peer, issuedMs } = body;
  const common = { hash, owner, peer, issuedMs, effectiveMs, signatures };
  return { kind: isMove ? "site-move" : "certificate", from: before.body.site, to: body.site, ...common };
}

/** A day after it was issued, or first heard of here if that was later: a date of long ago hurries nothing. */
function delayedMs(book: RosterBook, entry: CertificateEntry | RemovalEntry): number {
  const { issuedMs } = entry.body;
  const seenMs = book.get(entry.hash)?.seenMs ?? issuedMs;
  return Math.max(issuedMs, seenMs) + SINGLE_SIGNATURE_DELAY_MS;
}

/** Two administrators who each signed a removal of their own are of one mind, too. */
function removalSignatures(book: RosterBook, removal: RemovalEntry, alike: readonly RemovalEntry[]): number {
  const { generation, barsOwner } = removal.body;
  const same = alike.filter(({ body }) => body.generation >= generation && (body.barsOwner || !barsOwner));
  const signers = new Set(same.flatMap((one) => [...book.authority.supporters(one)]));
  return book.authority.isKept(removal.hash) ? Math.max(SIGNATURES_AT_ONCE, signers.size) : signers.size;
}

function removalDueMs(book: RosterBook, removal: RemovalEntry, signatures: number): number {
  const { issuedMs, effectiveMs } = removal.body;
  if (signatures >= SIGNATURES_AT_ONCE) return Math.max(issuedMs, effectiveMs);
  return Math.max(effectiveMs, delayedMs(book, removal));
}

/** Removals in effect, at most a tenth of the owners a day: what is beyond that waits for its day. */
function endedOwners(
  book: RosterBook,
  nowMs: number,
): { ended: Map<OwnerId, Ended>; removals: PendingRemoval[] } {
  const removals: PendingRemoval[] = [];
  const ownerCount = [...book.owners()].length;
  const perDay = Math.max(1, Math.floor(ownerCount * REMOVED_SHARE_PER_DAY));
  const standing = [...book.removals()].filter(({ hash }) => !book.isWithdrawn(toHex(hash)));
  const byOwner = Map.groupBy(standing, ({ body }) => body.owner);
  const due = standing
    .map((removal) => {
      const signatures = removalSignatures(book, removal, byOwner.get(removal.body.owner) ?? []);
      return { removal, signatures, dueMs: removalDueMs(book, removal, signatures) };
    })
    .sort((a, b) => a.dueMs - b.dueMs || compareBytes(a.removal.hash, b.removal.hash));
  const ended = new Map<OwnerId, Ended>();
  const dates = new Map<OwnerId, number>();
  const scheduled: number[] = [];
  for (const { removal, signatures, dueMs } of due) {
    const { owner, generation, barsOwner } = removal.body;
    let atMs = dates.get(owner);
    if (atMs === undefined) {
      const dayBefore = scheduled[scheduled.length - perDay];
      atMs = dayBefore === undefined ? dueMs : Math.max(dueMs, dayBefore + DAY_MS);
      scheduled.push(atMs);
      dates.set(owner, atMs);
    }
    const effectiveMs = Math.max(atMs, dueMs);
    if (effectiveMs > nowMs) {
      removals.push(pendingRemoval(removal, effectiveMs, signatures));
      continue;
    }
    const known = ended.get(owner);
    ended.set(owner, {
      generation: Math.max(known?.generation ?? -1, generation),
      barred: barsOwner || (known?.barred ?? false),
    });
  }
  return { ended, removals };
}

function pendingRemoval(removal: RemovalEntry, effectiveMs: number, signatures: number): PendingRemoval {
  const { owner, peer, generation, issuedMs, barsOwner, reason } = removal.body;
  const common = { hash: removal.hash, owner, peer, issuedMs, effectiveMs, signatures };
  return { kind: "removal", generation, barsOwner, reason, ...common };
}
