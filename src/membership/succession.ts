import { assert } from "../base/assert.ts";
import { toHex } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Clock } from "../ports/index.ts";
import { ENDORSED_MAX, KEPT_LISTS_MAX } from "../wire/membership.ts";
import type { AdministratorSet } from "./authority.ts";
import type { RosterBook } from "./book.ts";
import {
  type AdministratorsEntry,
  type EndorsementEntry,
  type RosterEntry,
  signAdministrators,
  signEndorsement,
} from "./entry.ts";
import type { Roster } from "./roster.ts";
import type { RosterView } from "./view.ts";

export interface Succession {
  /** To be applied in this order: a change builds on the lists that it names. */
  readonly lists: readonly EndorsementEntry[];
  readonly change: AdministratorsEntry;
}

/**
 * Other administrators, or another threshold. What is in effect and would fall with them is listed and kept; what a key that
 * leaves has signed and nobody used (tokens) or what still waits (removals) is not: if that key was stolen, the
 * thief's last word would be kept as well.
 */
export function changeAdministrators(
  {
    roster,
    clock,
  }: {
    readonly roster: Pick<Roster, "swarm" | "administrators" | "entriesToKeep">;
    readonly clock: Pick<Clock, "wallMs">;
  },
  init: {
    /** Where more must sign than these, they propose it. */
    readonly administrators: readonly Signer[];
    readonly keys: readonly Uint8Array[];
    readonly threshold: number;
  },
): Succession {
  const [first] = init.administrators;
  assert(
    first !== undefined && init.threshold <= init.keys.length,
    "somebody signs, and the threshold can be met",
  );
  const before = roster.administrators();
  const issuedMs = clock.wallMs();
  const hashes = roster.entriesToKeep(init).map(({ hash }) => hash);
  const lists: EndorsementEntry[] = [];
  for (let from = 0; from < hashes.length; from += ENDORSED_MAX) {
    const entries = hashes.slice(from, from + ENDORSED_MAX);
    lists.push(signEndorsement(roster.swarm, { v: 1, set: before.number, entries, issuedMs }, first));
  }
  if (lists.length > KEPT_LISTS_MAX) {
    const reason = `${hashes.length} entries of the roster would have to be kept, and ${ENDORSED_MAX * KEPT_LISTS_MAX} can be`;
    throw new Fault({ code: "NOT_ALLOWED", reason });
  }
  const change = signAdministrators(
    roster.swarm,
    {
      v: 1,
      number: before.number + 1,
      administrators: [...init.keys],
      threshold: init.threshold,
      previous: before.hash,
      keeps: lists.map(({ hash }) => hash),
      issuedMs,
    },
    init.administrators,
  );
  return { lists, change };
}

/** See `changeAdministrators`. */
export function entriesToKeep(
  book: RosterBook,
  view: RosterView,
  next: Pick<AdministratorSet, "keys" | "threshold">,
  nowMs: number,
): RosterEntry[] {
  const staying = new Set(next.keys.map(toHex));
  const waiting = new Set(view.pending.map(({ hash }) => toHex(hash)));
  return book.entries().flatMap(({ entry }) => {
    if (!isByAdministrators(entry) || book.authority.isKept(entry.hash)) return [];
    const name = toHex(entry.hash);
    if (waiting.has(name) || book.isWithdrawn(name)) return [];
    const supporters = [...book.authority.supporters(entry)];
    const left = supporters.filter((key) => staying.has(key)).length;
    const isUnused = entry.type === "delegation" && book.useOf(entry.hash) === undefined;
    if (isUnused && (left === 0 || entry.body.expiresMs < nowMs)) return [];
    // One signature less may also put a removal that is in effect back to waiting its day.
    const isWeaker = entry.type !== "delegation" && left < supporters.length;
    return isWeaker || left < next.threshold ? [entry] : [];
  });
}

function isByAdministrators(entry: RosterEntry): boolean {
  switch (entry.type) {
    case "delegation":
    case "removal":
    case "withdrawal":
      return true;
    case "certificate":
      return entry.body.by === "administrators";
    case "genesis":
    case "endorsement":
    case "administrators":
    case "rotation":
      return false;
  }
}
