import { compareBytes, concatBytes, u64be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { MIB } from "../base/units.ts";
import {
  PAGE_BYTES_MAX,
  PAGE_ENTRIES_MAX,
  type RosterPage,
  type RosterPageRequest,
} from "../wire/membership.ts";
import { ROSTER_ENTRIES_MAX, replayRank, replayTurn } from "./book.ts";
import type { RosterEntry } from "./entry.ts";
import type { Roster } from "./roster.ts";

/** In the order of `compareForReplay`. */
function cursorOf(entry: RosterEntry): Uint8Array {
  const rank = replayRank(entry);
  const rest =
    rank === 1 || rank === 7 ? concatBytes(u64be(replayTurn(entry)), entry.hash.subarray(0, 24)) : entry.hash;
  return concatBytes(Uint8Array.of(rank), rest);
}

/** A part of the roster, behind the request's cursor, in an order in which it can be applied. */
export function rosterPage(
  roster: Pick<Roster, "genesisBytes" | "sortedEntries">,
  { after }: RosterPageRequest,
): RosterPage {
  const entries: Uint8Array[] = [];
  let bytes = 0;
  let last: RosterEntry | undefined;
  for (const entry of roster.sortedEntries()) {
    if (after !== undefined && compareBytes(cursorOf(entry), after) <= 0) continue;
    bytes += entry.bytes.length;
    if (last !== undefined && (entries.length === PAGE_ENTRIES_MAX || bytes > PAGE_BYTES_MAX)) {
      return { genesis: roster.genesisBytes, entries, next: cursorOf(last) };
    }
    entries.push(entry.bytes);
    last = entry;
  }
  return { genesis: roster.genesisBytes, entries };
}

/** Pages of one roster: the largest one takes about 150. */
const PAGES_MAX = 1024;
/** 100,000 entries of 300 bytes are 30 MB. */
const ROSTER_BYTES_MAX = 64 * MIB;

/** All entries behind a first page. Bounded: a peer that never comes to an end is `PEER_PROTOCOL`. */
export async function collectPages(
  peer: string,
  first: RosterPage,
  fetch: (request: RosterPageRequest) => Promise<RosterPage>,
): Promise<Uint8Array[]> {
  const entries = [...first.entries];
  let { next } = first;
  let bytes = bytesOf(first);
  for (let pages = 1; next !== undefined; pages++) {
    const page = await fetch({ after: next });
    bytes += bytesOf(page);
    const isEndless =
      page.entries.length === 0 ||
      pages >= PAGES_MAX ||
      bytes > ROSTER_BYTES_MAX ||
      entries.length + page.entries.length > ROSTER_ENTRIES_MAX;
    if (isEndless) {
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "its roster has no end" });
    }
    entries.push(...page.entries);
    if (page.next !== undefined && compareBytes(page.next, next) <= 0) {
      throw new Fault({ code: "PEER_PROTOCOL", peer, reason: "its roster goes backwards" });
    }
    next = page.next;
  }
  return entries;
}

function bytesOf({ entries }: RosterPage): number {
  return entries.reduce((sum, entry) => sum + entry.length, 0);
}
