import { KeyedMutex } from "../base/concurrency.ts";
import { type PeerId, PUBLIC_KEY_BYTES, peerIdOf, publicKeyOfPeer } from "../base/ids.ts";
import { DAY_MS } from "../base/units.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { CONVICTING_DENIALS } from "../wire/trust.ts";
import { ProvenShards } from "./proven.ts";
import {
  DENIALS_MAX,
  evidenceKey,
  evidencePrefix,
  type HolderRecord,
  holderKey,
  holderRecordCodec,
  NEW_HOLDER,
  PREFIX,
  REASON_CHARACTERS_MAX,
  type Suspicion,
  tableEnd,
} from "./records.ts";

/** Kept of one holder, the first ones: a page of its words is enough to show. */
export const EVIDENCE_MAX = 16;
/**
 * So many shards denied within a day make a holder suspect. One or two are a disk that grew bad spots, which costs those
 * shards and not the holder.
 */
export const SUSPECT_AFTER_DENIALS = CONVICTING_DENIALS;
const DENIALS_WITHIN_MS = DAY_MS;

/**
 * What this node knows of holders from its own audits, on disk: counters, what was asked and not answered, who is suspect and why,
 * and evidence against them. Written once for each message.
 */
export class AuditBook {
  readonly proven: ProvenShards;
  /** One audit of a holder at a time: its record is read and written back. */
  readonly turns = new KeyedMutex();
  readonly #store: MetaStore;
  readonly #holders = new Map<PeerId, HolderRecord>();
  readonly #listeners = new Set<(peer: PeerId) => void>();
  #cursor: PeerId | undefined;

  private constructor(store: MetaStore, proven: ProvenShards) {
    this.#store = store;
    this.proven = proven;
  }

  static async open(store: MetaStore, nowMs: number): Promise<AuditBook> {
    const book = new AuditBook(store, await ProvenShards.load(store, nowMs));
    for await (const [key, value] of store.scan({ from: PREFIX.holder, to: tableEnd(PREFIX.holder) })) {
      const { v: _, ...record } = holderRecordCodec.decode(value);
      book.#holders.set(peerIdOf(key.slice(1, 1 + PUBLIC_KEY_BYTES)), record);
    }
    const cursor = store.get(PREFIX.cursor);
    book.#cursor = cursor === undefined ? undefined : peerIdOf(cursor);
    return book;
  }

  holder(peer: PeerId): HolderRecord {
    return this.#holders.get(peer) ?? NEW_HOLDER;
  }

  /** Everybody who was ever audited. */
  holders(): ReadonlyMap<PeerId, HolderRecord> {
    return this.#holders;
  }

  suspicion(peer: PeerId): Suspicion | undefined {
    return this.#holders.get(peer)?.suspicion;
  }

  /** Whose turn it was last. */
  get cursor(): PeerId | undefined {
    return this.#cursor;
  }

  /** Called once it is on disk that a peer is suspect, or is no more. Returns how to stop. */
  onSuspicion(listener: (peer: PeerId) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Synced when it resolves. */
  async write(peer: PeerId, record: HolderRecord, ops: readonly MetaOp[] = []): Promise<void> {
    const wasSuspect = this.suspicion(peer) !== undefined;
    this.#holders.set(peer, record);
    this.#cursor = peer;
    const value = holderRecordCodec.encode({ v: 1, ...record });
    await this.#store.write(
      [
        ...ops,
        { type: "put", key: holderKey(peer), value },
        { type: "put", key: PREFIX.cursor, value: publicKeyOfPeer(peer) },
      ],
      { sync: true },
    );
    if (wasSuspect !== (record.suspicion !== undefined)) this.#told(peer);
  }

  /** Takes a suspicion back; what was proved stays on disk. Whether there was one. */
  async clear(peer: PeerId): Promise<boolean> {
    const { suspicion, ...record } = this.holder(peer);
    if (suspicion === undefined) return false;
    const value = holderRecordCodec.encode({ v: 1, ...record, deniedMs: [] });
    this.#holders.set(peer, { ...record, deniedMs: [] });
    await this.#store.write([{ type: "put", key: holderKey(peer), value }], { sync: true });
    this.#told(peer);
    return true;
  }

  /** Convictions against this holder, as `checkConviction` reads them. */
  async evidence(peer: PeerId): Promise<Uint8Array[]> {
    const from = evidencePrefix(peer);
    const found: Uint8Array[] = [];
    for await (const [, value] of this.#store.scan({ from, to: tableEnd(from), limit: EVIDENCE_MAX }))
      found.push(value.slice());
    return found;
  }

  async evidenceIds(peer: PeerId): Promise<Uint8Array[]> {
    const from = evidencePrefix(peer);
    const ids: Uint8Array[] = [];
    for await (const [key] of this.#store.scan({ from, to: tableEnd(from), limit: EVIDENCE_MAX }))
      ids.push(key.slice(from.length));
    return ids;
  }

  #told(peer: PeerId): void {
    for (const listener of [...this.#listeners]) listener(peer);
  }

  evidenceOp(peer: PeerId, id: Uint8Array, bytes: Uint8Array): MetaOp {
    return { type: "put", key: evidenceKey(peer, id), value: bytes };
  }
}

/** The denials of the last day with these ones; the newest few. */
export function withDenials(record: HolderRecord, denied: number, nowMs: number): number[] {
  const recent = record.deniedMs.filter((atMs) => atMs <= nowMs && atMs > nowMs - DENIALS_WITHIN_MS);
  return [...recent, ...Array.from({ length: denied }, () => nowMs)].slice(-DENIALS_MAX);
}

/** Pure: why a holder is suspect after an answer, `undefined` while it is not. An older reason stays. */
export function suspicionAfter(
  before: Suspicion | undefined,
  found: { wrong: number; garbled: number; deniedMs: readonly number[] },
  nowMs: number,
  evidence: Uint8Array | undefined,
): Suspicion | undefined {
  if (before !== undefined) return before;
  const because = (reason: string): Suspicion => ({
    sinceMs: nowMs,
    reason: reason.slice(0, REASON_CHARACTERS_MAX),
    ...(evidence === undefined ? {} : { evidence }),
  });
  if (found.wrong > 0) return because("it signed bytes that are not those it was given");
  if (found.garbled > 0) return because("it answered with other bytes than it signed");
  if (found.deniedMs.length >= SUSPECT_AFTER_DENIALS)
    return because(
      `it has lost ${found.deniedMs.length} or more shards that it gave receipts for, within a day`,
    );
  return undefined;
}
