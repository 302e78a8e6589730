import { compareBytes } from "../base/bytes.ts";
import type { MapSlot, Slot, SlotChange } from "../placement/index.ts";
import { type RepairRecord, slotKeyOf } from "./repair-record.ts";

/**
 * Repair records that hold, by slot and by step (version, from, to). Of records that say the same step one is kept: they
 * differ in their witnesses, and whoever comes next may build on any of them. So what one slot can hold is bounded by
 * its candidates and `REPAIRS_MAX`, however many records somebody signs.
 */
export type RepairLedger = ReadonlyMap<string, ReadonlyMap<string, RepairRecord>>;

export const EMPTY_LEDGER: RepairLedger = new Map();

export function ledgerOf(records: Iterable<RepairRecord>): RepairLedger {
  const ledger = new Map<string, Map<string, RepairRecord>>();
  for (const record of records) {
    const slot = ledger.get(slotKeyOf(record)) ?? new Map<string, RepairRecord>();
    const step = stepKeyOf(record);
    const known = slot.get(step);
    slot.set(step, known === undefined ? record : preferred(known, record));
    ledger.set(slotKeyOf(record), slot);
  }
  return ledger;
}

/**
 * What both know. Commutative, associative and idempotent: whoever has heard the same records, in whatever order and
 * however often, has the same ledger, and with the same map of the owner the same holders.
 */
export function mergeLedgers(a: RepairLedger, b: RepairLedger): RepairLedger {
  return ledgerOf([...recordsOf(a), ...recordsOf(b)]);
}

export function* recordsOf(ledger: RepairLedger): Generator<RepairRecord> {
  for (const slot of ledger.values()) yield* slot.values();
}

function stepKeyOf({ ownerVersion, repairs, from, to }: RepairRecord): string {
  return `${ownerVersion}/${repairs}/${from ?? ""}/${to}`;
}

/** Between records of one version: the lower rank, then the lower hash. */
function preferred(a: RepairRecord, b: RepairRecord): RepairRecord {
  return (a.rank - b.rank || compareBytes(a.hash, b.hash)) <= 0 ? a : b;
}

/**
 * The repair that says who has the slot now; `undefined` when the owner's map does. A record counts when the one before
 * it left the slot to its `from`, back to the owner's map without a gap; an inflated version hangs in the air. Of all
 * that count the one with the most repairs holds, then the lower rank, then the lower hash.
 */
export function currentRepair(records: Iterable<RepairRecord>, slot: MapSlot): RepairRecord | undefined {
  const byCount = new Map<number, RepairRecord[]>();
  for (const record of records) {
    if (record.ownerVersion !== slot.ownerVersion) continue;
    const same = byCount.get(record.repairs);
    if (same === undefined) byCount.set(record.repairs, [record]);
    else same.push(record);
  }
  let current: RepairRecord | undefined;
  let holders = new Set<Slot>([slot.peer]);
  for (let repairs = slot.repairs + 1; ; repairs++) {
    const next = (byCount.get(repairs) ?? []).filter(({ from }) => holders.has(from));
    if (next.length === 0) return current;
    current = next.reduce(preferred);
    holders = new Set(next.map(({ to }) => to));
  }
}

/** For `withRepairs` of placement, which lays it over the owner's map. */
export function slotChangeOf({ at, slot, ownerVersion, repairs, to, rank, hash }: RepairRecord): SlotChange {
  return { ...at, slot, ownerVersion, repairs, peer: to, rank, hash };
}

/**
 * Without records of a slot that are for an earlier version of the owner: its word supersedes them. Later ones stay, for
 * the map they were made for. `versionOf` gives the version of the map that this node has.
 */
export function withoutSuperseded(
  ledger: RepairLedger,
  versionOf: (record: RepairRecord) => number | undefined,
): RepairLedger {
  return ledgerOf([...recordsOf(ledger)].filter((record) => record.ownerVersion >= (versionOf(record) ?? 0)));
}
