import { compareBytes, toHex } from "../base/bytes.ts";
import type { OwnerId } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { RosterBook } from "./book.ts";
import type { CertificateEntry, RemovalEntry } from "./entry.ts";

/** Removals and changes of site that only one administrator signed wait so long: a stolen key is noticed first. */
export const SINGLE_SIGNATURE_DELAY_MS = DAY_MS;
/** At most this share of the nodes, and at least one, is removed, moved or given to somebody else in a day. */
export const DECIDED_SHARE_PER_DAY = 0.1;
/** As many stand behind a decision that does not wait its day. */
const SIGNATURES_AT_ONCE = 2;

/** A decision about a node that may have to wait: from when on it counts, and how many stand behind it. */
export interface Scheduled<Entry> {
  readonly entry: Entry;
  readonly effectiveMs: number;
  readonly signatures: number;
}

/** A certificate that moves a holder to another site, gives its owner another node, or makes it no holder. */
export interface ScheduledChange extends Scheduled<CertificateEntry> {
  readonly kind: "site-move" | "certificate";
  readonly before: CertificateEntry;
}

export interface Schedule {
  readonly removals: readonly Scheduled<RemovalEntry>[];
  /** By the hex of the certificate's hash. Those that are not in it count at once. */
  readonly changes: ReadonlyMap<string, ScheduledChange>;
}

interface Due {
  readonly dueMs: number;
  readonly signatures: number;
}

/** What happens in the order of time: a decision becomes known, or has waited as long as its signatures ask for. */
type Step =
  | {
      readonly atMs: number;
      readonly hash: Uint8Array;
      readonly kind: "removal";
      readonly removal: RemovalEntry;
    }
  | {
      readonly atMs: number;
      readonly hash: Uint8Array;
      readonly kind: "known" | "due";
      readonly certificate: CertificateEntry;
    };

/**
 * When each decision comes into effect: a pure function of the entries known and of when they were first seen, whatever
 * the time is now. Decisions come in the order in which they are due; each takes one of the day's places, and where
 * none is free it waits for the next. What is in effect is never put back by what is heard of later.
 */
export function scheduleOf(book: RosterBook): Schedule {
  return new Scheduler(book).run();
}

class Scheduler {
  readonly #book: RosterBook;
  readonly #perDay: number;
  readonly #removals: Scheduled<RemovalEntry>[] = [];
  readonly #changes = new Map<string, ScheduledChange>();
  /** When a certificate by administrators counts, by the hex of its hash; absent: it has not been heard of yet. */
  readonly #countsMs = new Map<string, number>();
  /** Of every owner that is taken out: when. Several removals of one take one place. */
  readonly #endsMs = new Map<OwnerId, number>();
  /** Of each decision that took a place, in order. */
  readonly #placesMs: number[] = [];
  readonly #dueOfRemoval = new Map<RemovalEntry, Due>();
  #steps: Step[] = [];

  constructor(book: RosterBook) {
    this.#book = book;
    const owners = [...book.owners()].length;
    this.#perDay = Math.max(1, Math.floor(owners * DECIDED_SHARE_PER_DAY));
  }

  run(): Schedule {
    const removals = [...this.#book.removals()].filter((entry) => !this.#isWithdrawn(entry));
    const byOwner = Map.groupBy(removals, ({ body }) => body.owner);
    const steps: Step[] = removals.map((removal) => {
      const due = this.#dueOf(removal, alikeOf(removal, byOwner.get(removal.body.owner) ?? []));
      this.#dueOfRemoval.set(removal, due);
      return { atMs: due.dueMs, hash: removal.hash, kind: "removal", removal };
    });
    for (const [, certificates] of this.#book.owners()) {
      // The lowest generation has nothing below it that it could change.
      for (const certificate of certificates.slice(0, -1)) {
        if (certificate.body.by !== "administrators" || this.#isWithdrawn(certificate)) continue;
        const atMs = knownMs(this.#book, certificate);
        steps.push({ atMs, hash: certificate.hash, kind: "known", certificate });
      }
    }
    this.#steps = steps.sort(compareSteps);
    for (let next = 0; next < this.#steps.length; next++) {
      const step = this.#steps[next];
      if (step !== undefined) this.#take(step, next);
    }
    return { removals: this.#removals, changes: this.#changes };
  }

  #take(step: Step, index: number): void {
    if (step.kind === "removal") {
      this.#takeRemoval(step.removal);
      return;
    }
    const { certificate, atMs } = step;
    const before = this.#before(certificate, atMs);
    const kind = before === undefined ? undefined : changeOf(before, certificate);
    const name = toHex(certificate.hash);
    if (before === undefined || kind === undefined) {
      // What was a change when it was heard of, and is none any more, is known to have waited.
      const change = this.#changes.get(name);
      if (change !== undefined) this.#changes.set(name, { ...change, effectiveMs: atMs });
      this.#countsMs.set(name, change === undefined ? 0 : atMs);
      return;
    }
    const { dueMs, signatures } = this.#dueOf(certificate, [certificate]);
    if (dueMs > atMs) {
      const common = { entry: certificate, effectiveMs: dueMs, signatures, kind, before };
      this.#changes.set(name, common);
      this.#insert({ ...step, kind: "due", atMs: dueMs }, index + 1);
      return;
    }
    const effectiveMs = this.#place(dueMs);
    this.#changes.set(name, { entry: certificate, effectiveMs, signatures, kind, before });
    this.#countsMs.set(name, effectiveMs);
  }

  #takeRemoval(removal: RemovalEntry): void {
    const { dueMs, signatures } = this.#dueOfRemoval.get(removal) ?? { dueMs: 0, signatures: 0 };
    const { owner } = removal.body;
    const placeMs = this.#endsMs.get(owner) ?? this.#place(dueMs);
    this.#endsMs.set(owner, placeMs);
    this.#removals.push({ entry: removal, effectiveMs: Math.max(placeMs, dueMs), signatures });
  }

  /** The next of the day's places. */
  #place(dueMs: number): number {
    const dayBefore = this.#placesMs[this.#placesMs.length - this.#perDay];
    const atMs = dayBefore === undefined ? dueMs : Math.max(dueMs, dayBefore + DAY_MS);
    this.#placesMs.push(atMs);
    return atMs;
  }

  /** Each is measured against the best below it that counts at that moment: what waits prepares nothing for others. */
  #before({ body }: CertificateEntry, atMs: number): CertificateEntry | undefined {
    return this.#book
      .certificatesOf(body.owner)
      .find((below) => below.body.generation < body.generation && this.#counts(below, atMs));
  }

  #counts(certificate: CertificateEntry, atMs: number): boolean {
    if (this.#isWithdrawn(certificate)) return false;
    if (certificate.body.by !== "administrators") return !this.#isBarred(certificate, atMs);
    const lowest = this.#book.certificatesOf(certificate.body.owner).at(-1);
    return certificate === lowest || (this.#countsMs.get(toHex(certificate.hash)) ?? Infinity) <= atMs;
  }

  #isBarred({ body }: CertificateEntry, atMs: number): boolean {
    if (body.by !== "recovery") return false;
    const ended = this.#removals.filter(
      ({ entry, effectiveMs }) => entry.body.owner === body.owner && effectiveMs <= atMs,
    );
    const ends = Math.max(-1, ...ended.map(({ entry }) => entry.body.generation));
    return body.generation > ends && ended.some(({ entry }) => entry.body.barsOwner);
  }

  #insert(step: Step, from: number): void {
    let at = from;
    for (;;) {
      const there = this.#steps[at];
      if (there === undefined || compareSteps(there, step) > 0) break;
      at++;
    }
    this.#steps.splice(at, 0, step);
  }

  #isWithdrawn(entry: CertificateEntry | RemovalEntry): boolean {
    return this.#book.isWithdrawn(toHex(entry.hash));
  }

  /** When it has waited long enough: a day from when it was known, or until two administrators stood behind it. */
  #dueOf(entry: CertificateEntry | RemovalEntry, alike: readonly (CertificateEntry | RemovalEntry)[]): Due {
    const since = new Map<string, number>();
    for (const one of alike) {
      for (const [key, ms] of this.#book.authority.supportedSince(one, knownMs(this.#book, one))) {
        since.set(key, Math.min(ms, since.get(key) ?? Infinity));
      }
    }
    const known = knownMs(this.#book, entry);
    const times = [...since.values()].sort((a, b) => a - b);
    const agreedMs = times[SIGNATURES_AT_ONCE - 1] ?? Infinity;
    const waitedMs = Math.min(Math.max(known, agreedMs), known + SINGLE_SIGNATURE_DELAY_MS);
    const asked = entry.type === "removal" ? entry.body.effectiveMs : 0;
    return { dueMs: Math.max(asked, waitedMs), signatures: since.size };
  }
}

/** When it was issued, or first heard of here if that was later: a date of long ago hurries nothing. */
function knownMs(book: RosterBook, { body, hash }: CertificateEntry | RemovalEntry): number {
  return Math.max(body.issuedMs, book.get(hash)?.seenMs ?? 0);
}

/** Two administrators who each signed a removal of their own are of one mind, too. */
function alikeOf({ body }: RemovalEntry, others: readonly RemovalEntry[]): RemovalEntry[] {
  return others.filter(
    (other) => other.body.generation >= body.generation && (other.body.barsOwner || !body.barsOwner),
  );
}

/** What of a certificate has to wait; `undefined` where nothing does. */
function changeOf(before: CertificateEntry, { body }: CertificateEntry): ScheduledChange["kind"] | undefined {
  const isMove = before.body.site !== body.site;
  const isAnother = before.body.peer !== body.peer || (before.body.holder && !body.holder);
  // A recovered node is not trusted with anything before it is confirmed: its site may be put right at once.
  if (!(isMove && before.body.by !== "recovery") && !isAnother) return undefined;
  return isMove ? "site-move" : "certificate";
}

function compareSteps(a: Step, b: Step): number {
  return a.atMs - b.atMs || compareBytes(a.hash, b.hash);
}
