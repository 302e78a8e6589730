import { compareBytes, equalBytes, toHex } from "../base/bytes.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import { isFault, messageOf } from "../base/fault.ts";
import type { Incarnation, OwnerId, PeerId, SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { sha256 } from "../crypto/hash.ts";
import { type GenerationAt, type PlacementMap, type SlotChange, withRepairs } from "../placement/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import {
  currentRepair,
  type RepairLedger,
  type RepairRecord,
  recordsOf,
  slotChangeOf,
  slotKeyOf,
} from "../upkeep/index.ts";
import type { RepairedMap, RepairJudge } from "./judge.ts";
import { type OpenedRepair, openRepair } from "./records.ts";
import { RepairShelf } from "./shelf.ts";

/** The maps of an owner as it signed them itself, by life; empty where none are known. */
export type SignedMaps = (owner: OwnerId) => Promise<ReadonlyMap<Incarnation, PlacementMap>>;

export interface RepairBookComponents {
  readonly store: MetaStore;
  readonly signedMaps: SignedMaps;
  readonly judge: RepairJudge;
  readonly log: Log;
}

export interface Offered {
  /** New, and they hold. */
  readonly taken: number;
  /** They may hold once this node has heard more. */
  readonly waiting: number;
  readonly refused: number;
}

/** Records that may come to hold are tried again as long as there are not more than this; whoever has them says them again. */
const WAITING_MAX = 256;
/** Of one owner: more than a thousand nodes' worth of repairs that it has not confirmed. */
const OWNER_RECORDS_MAX = 65_536;

/**
 * The repair records that hold, of every owner this node keeps a map of, and the maps as they are with them. What comes
 * in is opened and judged before it is kept; what is refused leaves a line in the log and nothing else. Nothing is ever
 * taken back by another record, in whatever order they come; only the owner's own next word about a slot ends what was
 * said for the one before.
 */
export class RepairBook {
  readonly #c: RepairBookComponents;
  readonly #swarm: SwarmId;
  readonly #shelf: RepairShelf;
  readonly #taking = new KeyedMutex();
  readonly #waiting = new Map<
    string,
    { readonly owner: OwnerId; readonly bytes: Uint8Array; readonly from: PeerId }
  >();
  readonly #listeners = new Set<(owner: OwnerId) => void>();
  #refused = 0;

  constructor(components: RepairBookComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#shelf = new RepairShelf(components.store, init);
  }

  /** Records refused since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** Called after records of an owner were taken. Returns how to stop. */
  onChange(listener: (owner: OwnerId) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** @param from who showed them: for the log alone, they stand by themselves */
  async offer(owner: OwnerId, records: readonly Uint8Array[], from: PeerId): Promise<Offered> {
    const outcome = await this.#taking.run(owner, () => this.#take(owner, records, from));
    if (outcome.taken > 0) for (const listener of [...this.#listeners]) listener(owner);
    return outcome;
  }

  /** Tries again what had to wait for news. */
  async retry(): Promise<void> {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { owner, bytes, from } of waiting) await this.offer(owner, [bytes], from);
  }

  /** Every life of an owner of which this node knows a map. */
  async maps(owner: OwnerId): Promise<RepairedMap[]> {
    const signed = await this.#c.signedMaps(owner);
    const ledger = await this.#shelf.ledger(owner);
    return [...signed].map(([incarnation, map]) => ({
      ...{ owner, incarnation, signed: map },
      now: withRepairs(map, changesOf(ledger, incarnation, map)),
    }));
  }

  /** What repairs say beyond the owner's map: for the owner, who adopts it, and for whoever reads with its map. */
  async changes(owner: OwnerId, incarnation: Incarnation, signed: PlacementMap): Promise<SlotChange[]> {
    return changesOf(await this.#shelf.ledger(owner), incarnation, signed);
  }

  /** Owners of whom there are records. */
  owners(): Promise<OwnerId[]> {
    return this.#shelf.owners();
  }

  /** SHA-256 of the hashes of the records of an owner, sorted. */
  async digest(owner: OwnerId): Promise<Uint8Array> {
    return sha256(...hashesOf(await this.#shelf.ledger(owner)));
  }

  /** Records of an owner in the order of their hashes, behind `after`, as many as fit. */
  async page(
    owner: OwnerId,
    after: Uint8Array | undefined,
    bounds: { readonly records: number; readonly bytes: number },
  ): Promise<{ records: Uint8Array[]; more: boolean; last?: Uint8Array }> {
    const ledger = await this.#shelf.ledger(owner);
    const due = [...recordsOf(ledger)]
      .sort((a, b) => compareBytes(a.hash, b.hash))
      .filter(({ hash }) => after === undefined || compareBytes(hash, after) > 0);
    const records: Uint8Array[] = [];
    let bytes = 0;
    let last: Uint8Array | undefined;
    for (const record of due) {
      const envelope = this.#shelf.envelope(record);
      if (envelope === undefined) continue;
      if (records.length >= bounds.records || (records.length > 0 && bytes + envelope.length > bounds.bytes))
        return { records, more: true, ...(last === undefined ? {} : { last }) };
      records.push(envelope);
      last = record.hash;
      bytes += envelope.length;
    }
    return { records, more: false };
  }

  async #take(owner: OwnerId, records: readonly Uint8Array[], from: PeerId): Promise<Offered> {
    let [taken, waiting, refused] = [0, 0, 0];
    for (const bytes of records) {
      const verdict = await this.#judge(owner, bytes);
      if (verdict.kind === "known") continue;
      if (verdict.kind === "refused") {
        refused++;
        this.#refused++;
        this.#c.log.warn("repair-refused", { owner, from, ...verdict.about, why: verdict.reason });
      } else if (verdict.kind === "waits") {
        waiting++;
        this.#c.log.debug("repair-waits", { owner, from, for: verdict.for });
        if (this.#waiting.size < WAITING_MAX) this.#waiting.set(toHex(sha256(bytes)), { owner, bytes, from });
      } else {
        const { record, by } = verdict.opened;
        await this.#shelf.put(record, bytes);
        taken++;
        this.#c.log.info("repair-taken", { ...aboutRepair(record), by });
      }
    }
    return { taken, waiting, refused };
  }

  async #judge(
    owner: OwnerId,
    bytes: Uint8Array,
  ): Promise<
    | { readonly kind: "known" }
    | { readonly kind: "holds"; readonly opened: OpenedRepair }
    | { readonly kind: "waits"; readonly for: string }
    | { readonly kind: "refused"; readonly reason: string; readonly about: Readonly<Record<string, unknown>> }
  > {
    let opened: OpenedRepair;
    try {
      opened = openRepair(bytes, this.#swarm);
    } catch (error) {
      if (!isFault(error)) throw error;
      return { kind: "refused", reason: messageOf(error), about: {} };
    }
    const { record } = opened;
    const about = { ...aboutRepair(record), by: opened.by };
    if (record.owner !== owner) return { kind: "refused", reason: "it is of another owner", about };
    const ledger = await this.#shelf.ledger(owner);
    if (isKnown(ledger, record)) return { kind: "known" };
    const map = (await this.maps(owner)).find(({ incarnation }) => incarnation === record.incarnation);
    const verdict = this.#c.judge.record(record, map);
    // The owner has spoken since: whoever shows it has not heard that yet, and does nothing wrong.
    if (verdict.kind === "refused" && verdict.reason === "superseded") return { kind: "known" };
    if (verdict.kind === "refused") return { kind: "refused", reason: verdict.reason, about };
    if (verdict.kind === "waits") return verdict;
    let count = 0;
    for (const slot of ledger.values()) count += slot.size;
    if (count >= OWNER_RECORDS_MAX)
      return { kind: "refused", reason: "too many records of this owner", about };
    return { kind: "holds", opened };
  }

  /** What is known of one generation of a row, step by step. */
  async ofRow(
    { owner, incarnation }: Pick<RepairedMap, "owner" | "incarnation">,
    { classId, partition, fromSegment }: GenerationAt,
  ): Promise<Uint8Array[]> {
    const isOfRow = ({ incarnation: life, at }: RepairRecord): boolean =>
      life === incarnation &&
      at.classId === classId &&
      at.partition === partition &&
      at.fromSegment === fromSegment;
    return [...recordsOf(await this.#shelf.ledger(owner))]
      .filter(isOfRow)
      .sort((a, b) => a.slot - b.slot || a.ownerVersion - b.ownerVersion || a.repairs - b.repairs)
      .flatMap((record) => this.#shelf.envelope(record) ?? []);
  }

  /** Drops what the owner's newer word has superseded. */
  async prune(owner: OwnerId): Promise<void> {
    await this.#taking.run(owner, async () => {
      const maps = await this.#c.signedMaps(owner);
      const ops: MetaOp[] = [];
      for (const record of recordsOf(await this.#shelf.ledger(owner))) {
        const slot = slotOf(maps.get(record.incarnation), record);
        if (slot !== undefined && slot.ownerVersion > record.ownerVersion)
          ops.push(this.#shelf.dropOp(record));
      }
      await this.#shelf.drop(owner, ops);
    });
  }
}

export function aboutRepair(record: RepairRecord): Readonly<Record<string, unknown>> {
  const { owner, incarnation, at, slot, ownerVersion, repairs, from, to, cause } = record;
  const row = `${incarnation.slice(0, 8)}/${at.classId}/${at.partition}/${at.fromSegment}`;
  return { owner, row, slot, version: `${ownerVersion}.${repairs}`, was: from, to, cause: cause.kind };
}

function changesOf(ledger: RepairLedger, incarnation: Incarnation, signed: PlacementMap): SlotChange[] {
  const changes: SlotChange[] = [];
  for (const slot of ledger.values()) {
    const [first] = slot.values();
    if (first === undefined || first.incarnation !== incarnation) continue;
    const known = slotOf(signed, first);
    const repair = known === undefined ? undefined : currentRepair(slot.values(), known);
    if (repair !== undefined) changes.push(slotChangeOf(repair));
  }
  return changes;
}

function slotOf(map: PlacementMap | undefined, { at, slot }: Pick<RepairRecord, "at" | "slot">) {
  const row = map?.classes.get(at.classId)?.rows[at.partition];
  return row?.find(({ fromSegment }) => fromSegment === at.fromSegment)?.slots[slot];
}

function isKnown(ledger: RepairLedger, record: RepairRecord): boolean {
  for (const one of ledger.get(slotKeyOf(record))?.values() ?? [])
    if (equalBytes(one.hash, record.hash)) return true;
  return false;
}

function hashesOf(ledger: RepairLedger): Uint8Array[] {
  return [...recordsOf(ledger)].map(({ hash }) => hash).sort(compareBytes);
}
