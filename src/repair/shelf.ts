import { concatBytes, EMPTY_BYTES, u32be, u64be } from "../base/bytes.ts";
import { idBytes, type OwnerId, ownerIdOf, PUBLIC_KEY_BYTES, type SwarmId } from "../base/ids.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import {
  EMPTY_LEDGER,
  ledgerOf,
  mergeLedgers,
  type RepairLedger,
  type RepairRecord,
  recordsOf,
} from "../upkeep/index.ts";
import { openRepair } from "./records.ts";

/** Owners whose records are kept opened: those of others are read and opened again when they are asked for. */
const LEDGERS_MAX = 32;
/** Longer than what follows an owner in any key, and higher. */
const AFTER_ALL = new Uint8Array(96).fill(255);

/** The records that hold, on disk in their envelopes, and opened in memory for the owners asked about last. */
export class RepairShelf {
  readonly #store: MetaStore;
  readonly #swarm: SwarmId;
  readonly #ledgers = new Map<OwnerId, RepairLedger>();

  constructor(store: MetaStore, init: { swarm: SwarmId }) {
    this.#store = store;
    this.#swarm = init.swarm;
  }

  async ledger(owner: OwnerId): Promise<RepairLedger> {
    const known = this.#ledgers.get(owner) ?? (await this.#read(owner));
    this.#ledgers.delete(owner);
    this.#ledgers.set(owner, known);
    const [oldest] = this.#ledgers.keys();
    if (this.#ledgers.size > LEDGERS_MAX && oldest !== undefined) this.#ledgers.delete(oldest);
    return known;
  }

  /** Synced when it resolves. Of two that say the same step the one that is preferred stays. */
  async put(record: RepairRecord, envelope: Uint8Array): Promise<void> {
    const before = await this.ledger(record.owner);
    const after = mergeLedgers(before, ledgerOf([record]));
    const stays = new Set(recordsOf(after));
    const ops: MetaOp[] = [...recordsOf(before)].flatMap((old) => (stays.has(old) ? [] : [this.dropOp(old)]));
    if (stays.has(record)) ops.push({ type: "put", key: keyOf(record), value: envelope });
    if (ops.length > 0) await this.#store.write(ops, { sync: true });
    this.#ledgers.set(record.owner, after);
  }

  envelope(record: RepairRecord): Uint8Array | undefined {
    return this.#store.get(keyOf(record));
  }

  dropOp(record: RepairRecord): MetaOp {
    return { type: "delete", key: keyOf(record) };
  }

  async drop(owner: OwnerId, ops: readonly MetaOp[]): Promise<void> {
    if (ops.length === 0) return;
    this.#ledgers.delete(owner);
    await this.#store.write(ops, { sync: false });
  }

  async owners(): Promise<OwnerId[]> {
    const owners: OwnerId[] = [];
    let from: Uint8Array = EMPTY_BYTES;
    for (;;) {
      let found: Uint8Array | undefined;
      for await (const [key] of this.#store.scan({ from, limit: 1 })) found = key.slice(0, PUBLIC_KEY_BYTES);
      if (found === undefined) return owners;
      owners.push(ownerIdOf(found));
      from = concatBytes(found, AFTER_ALL);
    }
  }

  async #read(owner: OwnerId): Promise<RepairLedger> {
    const records: RepairRecord[] = [];
    const from = idBytes(owner);
    for await (const [, value] of this.#store.scan({ from, to: concatBytes(from, AFTER_ALL) }))
      records.push(openRepair(value, this.#swarm).record);
    return records.length === 0 ? EMPTY_LEDGER : ledgerOf(records);
  }
}

/** What a record is about first, so that those of an owner follow each other. */
function keyOf({ owner, incarnation, at, slot, hash }: RepairRecord): Uint8Array {
  return concatBytes(
    idBytes(owner),
    idBytes(incarnation),
    u32be(at.classId),
    u32be(at.partition),
    u64be(at.fromSegment),
    u32be(slot),
    hash,
  );
}
