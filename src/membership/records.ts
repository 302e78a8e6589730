import { z } from "zod";
import { assert, must } from "../base/assert.ts";
import { compareBytes, concatBytes, EMPTY_BYTES, toHex, utf8 } from "../base/bytes.ts";
import { Semaphore } from "../base/concurrency.ts";
import { Fault } from "../base/fault.ts";
import { type Incarnation, idBytes } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { sha256 } from "../crypto/hash.ts";
import { checkSigned, NO_INCARNATION, type Signed, signedHash } from "../crypto/signed.ts";
import type { Clock, MetaOp, MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec } from "../wire/codec.ts";
import { decodeSigned, encodeSigned, SIGNED_BODY_BYTES_MAX } from "../wire/signed.ts";
import { ITEM_KEY_BYTES, type SetItem } from "./item-set.ts";
import {
  FORKS,
  FORKS_END,
  RECORDS,
  RECORDS_END,
  RecordBatch,
  type RecordChange,
  recordStoreKey,
} from "./record-disk.ts";
import {
  DEFAULT_RECORD_RULES,
  isRecordType,
  type RecordRule,
  type RecordRules,
  type RecordType,
} from "./record-rules.ts";
import { type KnownRecord, keptOf, type RecordFilter, RecordView, takesPart } from "./record-view.ts";
import type { Roster } from "./roster.ts";

/** An epoch further ahead than this of the known one is refused: a thief must not be able to use them all up. */
export const EPOCH_STEP_MAX = 2 ** 32;
const SUBKEY_BYTES_MAX = 64;

export interface RecordKey {
  readonly type: RecordType;
  readonly signer: Uint8Array;
  /** @default NO_INCARNATION */
  readonly incarnation?: Incarnation;
  /** @default empty */
  readonly subkey?: Uint8Array;
}

/** Two different statements of one signer under one key and epoch. */
export interface Fork {
  readonly type: RecordType;
  readonly signer: Uint8Array;
  readonly incarnation: Incarnation;
  readonly epoch: number;
  readonly versions: readonly [Signed, Signed];
}

export type PutOutcome = "added" | "known" | "forked" | Fault;

export interface RecordComponents {
  /** Keys below `record/` and `fork/` are the records'. */
  readonly store: MetaStore;
  readonly roster: Roster;
  /** For what expires; without one nothing does. */
  readonly clock?: Pick<Clock, "wallMs">;
  readonly log: Log;
}

const forkSchema = z
  .object({ v: z.literal(1), versions: z.array(bytesUpTo(SIGNED_BODY_BYTES_MAX + 1024)).length(2) })
  .strict();
const forkCodec = codec("stored fork", forkSchema);

/** 16 bytes: first half of SHA-256 of type, zero byte, signer, incarnation, subkey. */
export function recordKeyBytes({ type, signer, incarnation, subkey }: RecordKey): Uint8Array {
  return sha256(
    utf8(`${type}\0`),
    signer,
    idBytes(incarnation ?? NO_INCARNATION),
    subkey ?? EMPTY_BYTES,
  ).subarray(0, ITEM_KEY_BYTES);
}

/**
 * The newest statement of every key, on this node's disk. Nothing ever makes it go back to an older epoch; two
 * statements of one epoch are both kept and shown. Which statement is kept does not depend on the order in which they
 * came, so stores that heard the same hold the same.
 */
export class RecordStore {
  readonly #store: MetaStore;
  readonly #roster: Roster;
  readonly #clock: Pick<Clock, "wallMs"> | undefined;
  readonly #log: Log;
  readonly #rules: RecordRules;
  readonly #writing = new Semaphore(1);
  readonly #known = new Map<string, KnownRecord>();
  readonly #keyCounts = new Map<string, number>();
  readonly #forked = new Map<string, Uint8Array>();
  readonly #views = new Set<RecordView>();
  readonly #listeners = new Set<(change: RecordChange) => void>();
  #batch = new RecordBatch();

  private constructor({ store, roster, clock, log }: RecordComponents, rules: RecordRules) {
    this.#clock = clock;
    this.#store = store;
    this.#roster = roster;
    this.#log = log;
    this.#rules = rules;
  }

  static async open(
    components: RecordComponents,
    init: {
      /** Replaces parts of `DEFAULT_RECORD_RULES`. */
      readonly rules?: Readonly<Partial<Record<RecordType, Partial<RecordRule>>>>;
    } = {},
  ): Promise<RecordStore> {
    const records = new RecordStore(components, rulesWith(init.rules ?? {}));
    await records.#reload();
    return records;
  }

  rule(type: RecordType): RecordRule {
    return this.#rules[type];
  }

  /**
   * Throws `RECORD_STALE`, `SIGNATURE_INVALID`, `NOT_A_MEMBER` (the signer has no standing for this type),
   * `NOT_ALLOWED` (epoch too far ahead, too many keys) or `FORMAT_INVALID`.
   */
  async put(record: Uint8Array | Signed): Promise<"added" | "known" | "forked"> {
    const [outcome] = await this.putAll([record]);
    if (outcome instanceof Fault) throw outcome;
    return must(outcome, "outcome of one record");
  }

  /** As `put`, with one write for all; outcomes in the order of the records. */
  putAll(records: readonly (Uint8Array | Signed)[]): Promise<PutOutcome[]> {
    return this.#writing.run(async () => {
      const outcomes = records.map((offered) => this.#put(offered));
      const { ops, synced, changes } = this.#batch;
      if (ops.length === 0) return outcomes;
      try {
        await this.#store.write(ops, { sync: synced });
      } catch (error) {
        // Memory must not be ahead of the disk: what was not written was not taken.
        this.#batch = new RecordBatch();
        await this.#reload();
        throw error;
      }
      this.#batch = new RecordBatch();
      for (const change of changes) for (const listener of [...this.#listeners]) listener(change);
      return outcomes;
    });
  }

  /** The newest statement; of two in a fork the one with the lower hash. */
  get(key: RecordKey): Signed | undefined {
    return this.versions(key)[0];
  }

  /** All statements of the newest epoch: none, one, or two in a fork. */
  versions(key: RecordKey): Signed[] {
    const known = this.#known.get(toHex(recordKeyBytes(key)));
    return known === undefined ? [] : this.#read(known);
  }

  /** Of the newest statement, without reading it: the same array as long as it is the same statement. */
  hashOf(key: RecordKey): Uint8Array | undefined {
    return this.#known.get(toHex(recordKeyBytes(key)))?.hashes[0];
  }

  epochOf(key: RecordKey): number | undefined {
    return this.#known.get(toHex(recordKeyBytes(key)))?.epoch;
  }

  /**
   * The epoch for the next statement: one more than the last, and not below the time in seconds, so that a signer
   * whose own records were lost does not begin behind what others still know.
   */
  nextEpoch(key: RecordKey, nowMs: number): number {
    return Math.max((this.epochOf(key) ?? -1) + 1, Math.floor(nowMs / 1000));
  }

  /** The newest statement of every key of a type, of one signer if given. */
  *ofType(type: RecordType, signer?: Uint8Array): Iterable<Signed> {
    for (const known of this.#known.values()) {
      if (known.type !== type) continue;
      if (signer !== undefined && compareBytes(known.signer, signer) !== 0) continue;
      yield must(this.#read(known)[0], "statement of a known key");
    }
  }

  /** The last fork of every key that ever had one. */
  forks(): Fork[] {
    return [...this.#forked.values()].flatMap((value) => {
      const [a, b] = forkCodec.decode(value).versions.map((bytes) => decodeSigned(bytes));
      if (a === undefined || b === undefined || !isRecordType(a.type)) return [];
      const { signer, incarnation, epoch } = a;
      return [{ type: a.type, signer, incarnation, epoch, versions: [a, b] as const }];
    });
  }

  /** Called after a record was stored. Returns how to stop. */
  onChange(listener: (change: RecordChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A part of the store to compare with another node's; kept up to date until `close`. */
  view(filter: RecordFilter): RecordView {
    const view: RecordView = new RecordView(
      filter,
      (item) => this.readBytes(item),
      () => void this.#views.delete(view),
    );
    for (const known of this.#known.values()) view.put(known);
    this.#views.add(view);
    return view;
  }

  /** Drops what its signer no longer may say (the status of a removed node), and what has expired. */
  async prune(): Promise<void> {
    await this.#writing.run(async () => {
      const gone = [...this.#known.values()].filter(
        (known) =>
          !this.#rules[known.type].mayBeSignedBy(known.signer, this.#roster) || this.#hasExpired(known),
      );
      if (gone.length === 0) return;
      // First here: whoever reads while they are being deleted must not look for them on disk. Should that fail, the
      // next start finds them there, and they go then.
      for (const known of gone) this.#forget(known);
      await this.#store.write(
        gone.flatMap(({ key, hashes }) =>
          hashes.map((hash): MetaOp => ({ type: "delete", key: recordStoreKey(key, hash) })),
        ),
        { sync: false },
      );
    });
  }

  /** For views: the stored statement as bytes. */
  readBytes(item: Pick<SetItem, "key" | "hash">): Uint8Array | undefined {
    const key = recordStoreKey(item.key, item.hash);
    return this.#batch.bytes.get(toHex(key)) ?? this.#store.get(key);
  }

  /** For views: whether a statement that another node lists is news here. */
  wants(item: SetItem): boolean {
    const known = this.#known.get(toHex(item.key));
    if (known === undefined || item.epoch > known.epoch) return true;
    return item.epoch === known.epoch && takesPart(known.hashes, item.hash);
  }

  #put(offered: Uint8Array | Signed): PutOutcome {
    try {
      const record = offered instanceof Uint8Array ? decodeSigned(offered) : offered;
      const known = this.#placeOf(record);
      const hash = signedHash(record);
      if (known.epoch === record.epoch && !takesPart(known.hashes, hash)) return "known";
      this.#verify(record, known);
      return this.#keep(record, known, hash);
    } catch (error) {
      if (error instanceof Fault) return error;
      throw error;
    }
  }

  /** What is known under the record's key, with the cheap reasons to refuse it. */
  #placeOf(record: Signed): KnownRecord {
    const { type, signer, incarnation, epoch } = record;
    if (!isRecordType(type)) {
      throw new Fault({ code: "FORMAT_INVALID", what: "record", reason: `a ${type} is no record` });
    }
    const rule = this.#rules[type];
    if (record.body.length > rule.bodyBytesMax) {
      throw new Fault({ code: "FORMAT_INVALID", what: type, reason: "it is too long" });
    }
    const subkey = rule.subkey(record.body);
    assert(subkey.length <= SUBKEY_BYTES_MAX, "subkeys are short");
    const key = recordKeyBytes({ type, signer, incarnation, subkey });
    const known = this.#known.get(toHex(key)) ?? { key, type, signer, incarnation, epoch: -1, hashes: [] };
    if (epoch < known.epoch) {
      throw new Fault({ code: "RECORD_STALE", what: type, epoch, knownEpoch: known.epoch });
    }
    if (epoch > Math.max(known.epoch, 0) + EPOCH_STEP_MAX) {
      throw new Fault({
        code: "NOT_ALLOWED",
        reason: `epoch ${epoch} is too far ahead of the known ${known.epoch}`,
      });
    }
    return known;
  }

  #verify(record: Signed, known: KnownRecord): void {
    const rule = this.#rules[known.type];
    if (!rule.mayBeSignedBy(record.signer, this.#roster)) throw new Fault({ code: "NOT_A_MEMBER" });
    if (known.hashes.length === 0 && this.#countOf(known) >= rule.keysPerSignerMax) {
      throw new Fault({
        code: "NOT_ALLOWED",
        reason: `its signer has ${rule.keysPerSignerMax} ${known.type} records`,
      });
    }
    checkSigned(record, { type: known.type, swarm: this.#roster.swarm });
    rule.check(record);
    this.#checkLifetime(record, rule);
  }

  #checkLifetime({ type, body, epoch }: Signed, { lifetime }: RecordRule): void {
    const nowMs = this.#clock?.wallMs();
    if (lifetime === undefined || nowMs === undefined) return;
    const { fromMs, untilMs } = lifetime(body);
    if (nowMs < fromMs)
      throw new Fault({ code: "NOT_ALLOWED", reason: `the time of a ${type} is to come yet` });
    if (nowMs >= untilMs)
      throw new Fault({ code: "RECORD_STALE", what: type, epoch, knownEpoch: Math.floor(nowMs / 1000) });
  }

  #hasExpired(known: KnownRecord): boolean {
    const { lifetime } = this.#rules[known.type];
    const nowMs = this.#clock?.wallMs();
    if (lifetime === undefined || nowMs === undefined) return false;
    return this.#read(known).every(({ body }) => nowMs >= lifetime(body).untilMs);
  }

  #keep(record: Signed, before: KnownRecord, hash: Uint8Array): "added" | "forked" {
    const forked = before.epoch === record.epoch;
    const hashes = forked ? keptOf([...before.hashes, hash]) : [hash];
    const after: KnownRecord = { ...before, epoch: record.epoch, hashes };
    const bytes = encodeSigned(record);
    const other = forked ? before.hashes[0] : undefined;
    if (other !== undefined) this.#keepFork(after, other, bytes);
    for (const old of before.hashes) {
      if (!hashes.includes(old)) this.#batch.delete(recordStoreKey(before.key, old));
    }
    this.#batch.put(recordStoreKey(after.key, hash), bytes);
    if (this.#rules[after.type].synced) this.#batch.synced = true;
    this.#batch.changes.push({ record, forked });
    if (before.hashes.length > 0) this.#forget(before);
    this.#remember(after);
    return forked ? "forked" : "added";
  }

  #keepFork({ key, type, signer, epoch }: KnownRecord, other: Uint8Array, bytes: Uint8Array): void {
    const otherBytes = must(this.readBytes({ key, hash: other }), "stored statement");
    const proof = forkCodec.encode({ v: 1, versions: [otherBytes, bytes] });
    this.#batch.put(concatBytes(FORKS, key), proof);
    this.#forked.set(toHex(key), proof);
    this.#log.warn("record-forked", { type, signer: toHex(signer), epoch });
  }

  async #reload(): Promise<void> {
    for (const known of [...this.#known.values()]) this.#forget(known);
    this.#forked.clear();
    for await (const [key, value] of this.#store.scan({ from: RECORDS, to: RECORDS_END })) {
      this.#load(key.slice(RECORDS.length, RECORDS.length + ITEM_KEY_BYTES), decodeSigned(value));
    }
    for await (const [key, value] of this.#store.scan({ from: FORKS, to: FORKS_END })) {
      this.#forked.set(toHex(key.subarray(FORKS.length)), value);
    }
  }

  #load(key: Uint8Array, record: Signed): void {
    assert(isRecordType(record.type), "only records are stored");
    const { type, signer, incarnation, epoch } = record;
    const known = this.#known.get(toHex(key));
    const hash = signedHash(record);
    if (known !== undefined) this.#forget(known);
    const hashes = [...(known?.hashes ?? []), hash].sort(compareBytes);
    this.#remember({ key, type, signer, incarnation, epoch, hashes });
  }

  #read(known: KnownRecord): Signed[] {
    return known.hashes.map((hash) =>
      decodeSigned(must(this.readBytes({ key: known.key, hash }), "stored statement")),
    );
  }

  #countOf({ type, signer }: KnownRecord): number {
    return this.#keyCounts.get(`${type}/${toHex(signer)}`) ?? 0;
  }

  #remember(known: KnownRecord): void {
    this.#known.set(toHex(known.key), known);
    this.#keyCounts.set(`${known.type}/${toHex(known.signer)}`, this.#countOf(known) + 1);
    for (const view of this.#views) view.put(known);
  }

  #forget(known: KnownRecord): void {
    this.#known.delete(toHex(known.key));
    const count = this.#countOf(known) - 1;
    if (count > 0) this.#keyCounts.set(`${known.type}/${toHex(known.signer)}`, count);
    else this.#keyCounts.delete(`${known.type}/${toHex(known.signer)}`);
    for (const view of this.#views) view.remove(known);
  }
}

function rulesWith(changes: Readonly<Partial<Record<RecordType, Partial<RecordRule>>>>): RecordRules {
  const of = (type: RecordType): RecordRule => ({ ...DEFAULT_RECORD_RULES[type], ...changes[type] });
  return {
    status: of("status"),
    slot: of("slot"),
    incarnation: of("incarnation"),
    "recovery-use": of("recovery-use"),
    silence: of("silence"),
    proposal: of("proposal"),
    approval: of("approval"),
    head: of("head"),
    map: of("map"),
    "live-set": of("live-set"),
    conviction: of("conviction"),
    doubt: of("doubt"),
    clearance: of("clearance"),
    release: of("release"),
  };
}
