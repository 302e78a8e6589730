import { compareBytes, toHex } from "../base/bytes.ts";
import type { OwnerId, PeerId } from "../base/ids.ts";
import type { RosterBook } from "./book.ts";
import type { CertificateEntry, RemovalEntry } from "./entry.ts";
import { type Schedule, type Scheduled, type ScheduledChange, scheduleOf } from "./schedule.ts";

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
  /** Since when the owner has no node by it. */
  readonly sinceMs: number;
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
  const schedule = scheduleOf(book);
  const ended = endedOwners(schedule, nowMs);
  const standing = new Map<OwnerId, readonly CertificateEntry[]>();
  for (const [owner, certificates] of book.owners()) {
    const end = ended.get(owner);
    const counting = certificates.filter((entry) => counts(book, schedule, entry, end, nowMs));
    standing.set(owner, counting);
  }
  const waiting = ({ effectiveMs }: { effectiveMs: number }): boolean => effectiveMs > nowMs;
  const removals = schedule.removals.filter(waiting).map(pendingRemoval);
  const changes = [...schedule.changes.values()].filter(waiting);
  const open = changes.filter(
    ({ entry }) => entry.body.generation > (ended.get(entry.body.owner)?.generation ?? -1),
  );
  const pending = [
    ...removals.filter((one) => isOpen(one, standing, ended)),
    ...open.map(pendingChange),
  ].sort((a, b) => a.effectiveMs - b.effectiveMs || compareBytes(a.hash, b.hash));
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

function counts(
  book: RosterBook,
  { changes }: Schedule,
  { body, hash }: CertificateEntry,
  end: Ended | undefined,
  nowMs: number,
): boolean {
  if (book.isWithdrawn(toHex(hash))) return false;
  if (end?.barred === true && body.by === "recovery" && body.generation > end.generation) return false;
  return (changes.get(toHex(hash))?.effectiveMs ?? 0) <= nowMs;
}

function endedOwners({ removals }: Schedule, nowMs: number): Map<OwnerId, Ended> {
  const ended = new Map<OwnerId, Ended>();
  for (const { entry, effectiveMs } of removals) {
    if (effectiveMs > nowMs) continue;
    const { owner, generation, barsOwner } = entry.body;
    const known = ended.get(owner);
    const isFurther = known === undefined || generation > known.generation;
    ended.set(owner, {
      generation: isFurther ? generation : known.generation,
      barred: barsOwner || (known?.barred ?? false),
      sinceMs: isFurther ? effectiveMs : known.sinceMs,
    });
  }
  return ended;
}

function pendingRemoval({ entry, effectiveMs, signatures }: Scheduled<RemovalEntry>): PendingRemoval {
  const { owner, peer, generation, issuedMs, barsOwner, reason } = entry.body;
  const common = { hash: entry.hash, owner, peer, issuedMs, effectiveMs, signatures };
  return { kind: "removal", generation, barsOwner, reason, ...common };
}

function pendingChange({ entry, effectiveMs, signatures, kind, before }: ScheduledChange): PendingChange {
  const { owner, peer, issuedMs, site } = entry.body;
  const common = { hash: entry.hash, owner, peer, issuedMs, effectiveMs, signatures };
  return { kind, from: before.body.site, to: site, ...common };
}
