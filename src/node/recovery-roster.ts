import { equalBytes } from "../base/bytes.ts";
import { Fault, isFault } from "../base/fault.ts";
import type { PeerId } from "../base/ids.ts";
import {
  collectPages,
  compareForReplay,
  decodeEntry,
  type RosterBook,
  type RosterEntry,
  verifyRoster,
} from "../membership/index.ts";
import type { RecoverAnswer, RecoverRequest } from "../wire/recover.ts";
import type { SlotContent } from "./slot.ts";

type Welcome = Extract<RecoverAnswer, { t: "welcome" }>;
type Ask = (request: RecoverRequest) => Promise<RecoverAnswer>;

export async function hello(
  peer: PeerId,
  ask: Ask,
  page: Extract<RecoverRequest, { t: "hello" }>["page"],
): Promise<Welcome> {
  const answer = await ask({ t: "hello", v: 1, page });
  if (answer.t === "welcome") return answer;
  throw new Fault({ code: "PEER_PROTOCOL", peer, reason: `an unexpected answer (${answer.t})` });
}

/** All of a member's roster, not verified; what is asked of one member is bounded. */
export async function collectRoster(
  peer: PeerId,
  ask: Ask,
  first?: Welcome,
): Promise<{ genesis: Uint8Array; entries: Uint8Array[] }> {
  const { page } = first ?? (await hello(peer, ask, {}));
  const entries = await collectPages(peer, page, async (request) => (await hello(peer, ask, request)).page);
  return { genesis: page.genesis, entries };
}

/** A book that holds the genesis alone. Throws `SIGNATURE_INVALID` for one of another swarm than the slot's. */
export function bookOfSlot(genesis: Uint8Array, slot: SlotContent): RosterBook {
  return verifyRoster(genesis, [], (candidate) => {
    if (candidate.swarm === slot.swarm) return;
    throw new Fault({
      code: "SIGNATURE_INVALID",
      what: "genesis",
      reason: "it is of another swarm than the slot",
    });
  });
}

/**
 * Adds what another member knows, each entry verified; those that cannot be added are counted, and keep none of the
 * others out. Older certificates that gave way, and uses of one token that another won, are no lies.
 */
export function mergeEntries(
  book: RosterBook,
  genesis: Uint8Array,
  entries: readonly Uint8Array[],
): { refused: number; isOtherSwarm: boolean } {
  if (!equalBytes(genesis, book.genesis.bytes)) return { refused: entries.length, isOtherSwarm: true };
  let refused = 0;
  const decoded: RosterEntry[] = [];
  for (const bytes of entries) {
    try {
      decoded.push(decodeEntry(bytes));
    } catch (error) {
      if (!isFault(error)) throw error;
      refused++;
    }
  }
  // What another one builds on goes first, whatever order it was sent in.
  decoded.sort(compareForReplay);
  for (const entry of decoded) {
    try {
      book.add(entry, 0);
    } catch (error) {
      if (!isFault(error)) throw error;
      if (!isFault(error, "RECORD_STALE", "TOKEN_USED")) refused++;
    }
  }
  return { refused, isOtherSwarm: false };
}
