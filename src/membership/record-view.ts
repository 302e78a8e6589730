import { compareBytes } from "../base/bytes.ts";
import type { Incarnation } from "../base/ids.ts";
import { ItemSet, type SetItem } from "./item-set.ts";
import type { RecordType } from "./record-rules.ts";

/** What the index holds in memory of a key: 200 bytes or so, the statements stay on disk. */
export interface KnownRecord {
  readonly key: Uint8Array;
  readonly type: RecordType;
  readonly signer: Uint8Array;
  readonly incarnation: Incarnation;
  readonly epoch: number;
  /** Lowest first; two in a fork. */
  readonly hashes: readonly Uint8Array[];
}

/** How many different statements of one key and epoch are kept: two are proof, more prove nothing else. */
const VERSIONS_KEPT = 2;

/** Whether a statement of the known epoch would be kept beside those known. */
export function takesPart(hashes: readonly Uint8Array[], hash: Uint8Array): boolean {
  if (hashes.some((known) => compareBytes(known, hash) === 0)) return false;
  const highest = hashes[VERSIONS_KEPT - 1];
  return highest === undefined || compareBytes(hash, highest) < 0;
}

/** Which two of a fork are kept: the lowest hashes. */
export function keptOf(hashes: readonly Uint8Array[]): Uint8Array[] {
  return [...hashes].sort(compareBytes).slice(0, VERSIONS_KEPT);
}

export type RecordFilter = (record: Pick<KnownRecord, "type" | "signer" | "incarnation">) => boolean;

/** The records that pass a filter, as a set that two nodes compare. */
export class RecordView {
  readonly items = new ItemSet();
  readonly #filter: RecordFilter;
  /** The stored statement as bytes. */
  readonly read: (item: Pick<SetItem, "key" | "hash">) => Uint8Array | undefined;
  /** Ends keeping it up to date. */
  readonly close: () => void;

  constructor(filter: RecordFilter, read: RecordView["read"], close: () => void) {
    this.#filter = filter;
    this.read = read;
    this.close = close;
  }

  includes(record: Pick<KnownRecord, "type" | "signer" | "incarnation">): boolean {
    return this.#filter(record);
  }

  put(known: KnownRecord): void {
    if (this.#filter(known)) for (const item of itemsOf(known)) this.items.put(item);
  }

  remove(known: KnownRecord): void {
    for (const item of itemsOf(known)) this.items.remove(item);
  }
}

function itemsOf({ key, epoch, hashes }: KnownRecord): SetItem[] {
  return hashes.map((hash) => ({ key, epoch, rank: 0, hash }));
}
