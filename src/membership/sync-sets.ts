import { Fault } from "../base/fault.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { SyncSetName } from "../wire/sync.ts";
import type { ItemSet, SetItem } from "./item-set.ts";
import { isRecordType } from "./record-rules.ts";
import type { RecordView } from "./record-view.ts";
import type { PutOutcome, RecordStore } from "./records.ts";
import type { Roster } from "./roster.ts";

/** One set of signed things, as anti-entropy sees it. */
export interface SyncSet {
  readonly name: SyncSetName;
  readonly items: Pick<ItemSet, "digest" | "bucketHashes" | "list">;
  /** Whether an item that another node lists is news here. */
  wants(item: SetItem): boolean;
  read(item: Pick<SetItem, "key" | "hash">): Uint8Array | undefined;
  /** Verifies and stores what is new; an outcome for each. */
  offer(entries: readonly Uint8Array[]): Promise<PutOutcome[]>;
}

export function rosterSet(roster: Roster): SyncSet {
  return {
    name: "roster",
    items: roster.items,
    wants: (item) => roster.entry(item.hash) === undefined,
    read: ({ hash }) => roster.entry(hash)?.bytes,
    offer: (entries) => roster.applyAll(entries),
  };
}

/** Only what the view includes is taken: nobody's heads get into every node's store by way of gossip. */
export function recordSet(records: RecordStore, view: RecordView): SyncSet {
  return {
    name: "records",
    items: view.items,
    wants: (item) => records.wants(item),
    read: (item) => (view.items.has(item) ? view.read(item) : undefined),
    offer: async (entries) => {
      const checked = entries.map((bytes) => ofView(view, bytes));
      const stored = await records.putAll(checked.filter((one) => one instanceof Uint8Array));
      return checked.map((one) => (one instanceof Fault ? one : (stored.shift() ?? "known")));
    },
  };
}

function ofView(view: RecordView, bytes: Uint8Array): Uint8Array | Fault {
  try {
    const { type, signer, incarnation } = decodeSigned(bytes);
    if (isRecordType(type) && view.includes({ type, signer, incarnation })) return bytes;
    return new Fault({ code: "NOT_ALLOWED", reason: `a ${type} is not spread this way` });
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}
