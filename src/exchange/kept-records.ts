import { must } from "../base/assert.ts";
import { concatBytes, EMPTY_BYTES, equalBytes, readU64be, toHex, u32be, u64be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import {
  INCARNATION_BYTES,
  type Incarnation,
  idBytes,
  incarnationOf,
  type OwnerId,
  ownerIdOf,
  PUBLIC_KEY_BYTES,
  type SwarmId,
} from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import { checkSigned, type Signed, signedHash } from "../crypto/signed.ts";
import type { Clock, MetaOp, MetaStore } from "../ports/index.ts";
import { NET_HEAD_BYTES_MAX } from "../ports/network.ts";
import { RECORDS_MAX } from "../wire/data.ts";
import { headBody, type MapBody, mapBody } from "../wire/head.ts";
import { decodeSigned } from "../wire/signed.ts";

/** Further ahead than this an epoch is a trick to make every later one look old. */
const EPOCH_LEAP_MAX = 2 ** 32;
/** Heads kept of each incarnation: the newest ones, and the first and last of each day. */
const NEWEST_HEADS = 32;
const DAILY_HEADS = 90;
/** Lives of one owner of which heads are kept. */
const LIVES_MAX = 256;
/** Maps kept of one owner: a few classes in each of its lives. A thief of its key could open them without end. */
const MAPS_MAX = 1024;
/** And of a life that the recovery key certified, whatever a thief had put there before it. */
const MAPS_OF_CERTIFIED_MAX = 256;
/** Two different heads of one epoch are both kept; a thief of the key could sign without end. */
const FORKS_MAX = 4;

/** Of the envelope and its signature, at most. */
const RECORD_OVERHEAD_BYTES = 512;

const HEAD_PLACE_BYTES = PUBLIC_KEY_BYTES + 1 + INCARNATION_BYTES + 8;

/** Two different heads that one key signed for one life and epoch: its home runs twice, or the key was stolen. */
export interface HeadFork {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly epoch: number;
}

const TYPE_BYTE = { head: 1, map: 2 } as const;
type KeptType = keyof typeof TYPE_BYTE;
/** When a head came in, by this node's clock: what a head says of its time is its signer's to choose. */
const RECEIVED_BYTE = 3;

interface KeptHead {
  readonly head: Signed;
  readonly receivedMs: number;
}

/**
 * The heads and placement maps that this node keeps for owners: with the recovery key they are what leads back
 * to a repository, so they are synced before they are acknowledged, and an older one never replaces a newer.
 */
export class KeptRecords {
  readonly #store: MetaStore;
  readonly #swarm: SwarmId;
  readonly #log: Log;
  /** Maps kept of each owner that handed in a new one since the start. */
  readonly #mapCounts = new Map<OwnerId, number>();

  readonly #clock: Pick<Clock, "wallMs">;
  readonly #listeners = new Set<(owner: OwnerId) => void>();
  #version = 0;
  #isLocked: (owner: OwnerId, hash: Uint8Array) => boolean = () => false;

  constructor(
    components: { store: MetaStore; log: Log; clock: Pick<Clock, "wallMs"> },
    init: { swarm: SwarmId },
  ) {
    this.#store = components.store;
    this.#clock = components.clock;
    this.#log = components.log;
    this.#swarm = init.swarm;
  }

  /**
   * Checks and stores what an owner handed over; synced when it resolves. Throws `SIGNATURE_INVALID`,
   * `FORMAT_INVALID`, `NOT_ALLOWED` or `RECORD_STALE`, and then has stored none of them. `certified`: the life of this
   * owner that fences all others; what was kept before it came takes no room away from it.
   */
  async keep(owner: OwnerId, encoded: readonly Uint8Array[], certified?: Incarnation): Promise<void> {
    const ops: MetaOp[] = [];
    try {
      for (const bytes of encoded) {
        const record = this.#check(owner, bytes);
        ops.push(...(await this.#opsFor(owner, record, bytes, record.incarnation === certified)));
      }
      if (ops.length > 0) await this.#store.write(ops, { sync: true });
      if (ops.length > 0) {
        this.#version++;
        for (const listener of this.#listeners) listener(owner);
      }
    } catch (error) {
      // Maps that were counted are not there.
      this.#mapCounts.delete(owner);
      throw error;
    }
  }

  /**
   * The newest head of each incarnation (several where there is a fork) and the newest maps, as many as one answer carries:
   * first of the life that was certified, then of those that were heard of first. A thief of the owner's key may have
   * made hundreds since, and writes what times it likes.
   */
  async newest(owner: OwnerId, certified?: Incarnation): Promise<Signed[]> {
    const lives: { life: Incarnation; rank: number }[] = [];
    for (const life of await this.#lives(owner))
      lives.push({ life, rank: life === certified ? -1 : await this.#firstHeardMs(owner, life) });
    const answer = new Answer();
    lives.sort((a, b) => a.rank - b.rank);
    for (const { life } of lives) {
      if (answer.isFull) break;
      for (const head of await this.#newestHeads(owner, life)) answer.add(head);
      for await (const [, value] of this.#scan(this.#lifePrefix(owner, "map", life)))
        if (!answer.add(decodeSigned(value))) break;
    }
    return answer.records;
  }

  /**
   * The heads kept of one life, newest first, as many as one answer carries. Where there are more, the last of each day comes before
   * others of it: a thief of the owner's key may have had any number of its own locked, and not on the days before.
   */
  async headsOf(owner: OwnerId, life: Incarnation): Promise<Signed[]> {
    const kept: KeptHead[] = [];
    for await (const [, value] of this.#scan(this.#lifePrefix(owner, "head", life)))
      kept.push(this.#keptHead(owner, decodeSigned(value)));
    const answer = new Answer();
    for (const { head } of byWorth(kept.reverse())) if (!answer.add(head)) break;
    return answer.records.sort((a, b) => b.epoch - a.epoch);
  }

  /** From now on these stay, whatever newer ones say. */
  withLocks(isLocked: (owner: OwnerId, hash: Uint8Array) => boolean): void {
    this.#isLocked = isLocked;
  }

  async headOf(owner: OwnerId, hash: Uint8Array): Promise<Signed | undefined> {
    for await (const [, value] of this.#scan(this.#prefix(owner, "head"))) {
      const head = decodeSigned(value);
      if (equalBytes(signedHash(head), hash)) return head;
    }
    return undefined;
  }

  /**
   * As `keep` of one head that a lock refers to, which may be older than what is known: whoever was away, or is new to the owner's data,
   * has not heard of it.
   */
  async keepLocked(owner: OwnerId, encoded: Uint8Array, certified?: Incarnation): Promise<void> {
    const record = this.#check(owner, encoded);
    if (record.type !== "head")
      throw new Fault({ code: "FORMAT_INVALID", what: "locked head", reason: `it is a ${record.type}` });
    const isCertified = record.incarnation === certified;
    const ops = await this.#headOps(owner, record, encoded, { isCertified, mayBeOlder: true });
    if (ops.length > 0) await this.#store.write(ops, { sync: true });
  }

  /** Every life of an owner that has two heads of one epoch, with the last such epoch; at most `max`. */
  async forks(max: number): Promise<HeadFork[]> {
    const forks = new Map<string, HeadFork>();
    let before: Uint8Array | undefined;
    for await (const [key, value] of this.#store.scan({})) {
      // Owner, type, life and epoch; what follows keeps the heads of a fork apart.
      const place = key.slice(0, HEAD_PLACE_BYTES);
      const isHead = key[PUBLIC_KEY_BYTES] === TYPE_BYTE.head;
      if (isHead && before !== undefined && equalBytes(before, place)) {
        const { incarnation, epoch, signer } = decodeSigned(value);
        forks.set(`${toHex(signer)}/${incarnation}`, { owner: ownerIdOf(signer), incarnation, epoch });
        if (forks.size >= max) break;
      }
      before = place;
    }
    return [...forks.values()];
  }

  /** Every placement map kept of one life. */
  async mapsOf(owner: OwnerId, life: Incarnation): Promise<Signed[]> {
    const maps: Signed[] = [];
    for await (const [, value] of this.#scan(this.#lifePrefix(owner, "map", life)))
      maps.push(decodeSigned(value));
    return maps;
  }

  /** Another number each time something was kept: what was read before may be old. */
  get version(): number {
    return this.#version;
  }

  /** Everybody of whom something is kept. */
  async owners(): Promise<OwnerId[]> {
    const owners: OwnerId[] = [];
    let from: Uint8Array = EMPTY_BYTES;
    for (;;) {
      let found: Uint8Array | undefined;
      for await (const [key] of this.#store.scan({ from, limit: 1 }))
        found = key.subarray(0, PUBLIC_KEY_BYTES);
      if (found === undefined) return owners;
      owners.push(ownerIdOf(found));
      from = concatBytes(found, Uint8Array.of(255));
    }
  }

  /** Every map kept of an owner, of all its lives. */
  maps(owner: OwnerId): Promise<Signed[]> {
    return this.#list(owner, "map");
  }

  /** Called with the owner of records that were stored, some of which may be maps. */
  onMaps(listener: (owner: OwnerId) => void): void {
    this.#listeners.add(listener);
  }

  /** Every head kept, oldest epoch first within an incarnation. */
  heads(owner: OwnerId): Promise<Signed[]> {
    return this.#list(owner, "head");
  }

  #check(owner: OwnerId, bytes: Uint8Array): Signed & { type: KeptType } {
    const record = decodeSigned(bytes);
    if (record.type !== "head" && record.type !== "map") {
      throw new Fault({
        code: "FORMAT_INVALID",
        what: "kept record",
        reason: `a ${record.type} is not kept`,
      });
    }
    checkSigned(record, { type: record.type, swarm: this.#swarm, signer: idBytes(owner) });
    return { ...record, type: record.type };
  }

  async #opsFor(
    owner: OwnerId,
    record: Signed & { type: KeptType },
    bytes: Uint8Array,
    isCertified: boolean,
  ): Promise<MetaOp[]> {
    return record.type === "head"
      ? this.#headOps(owner, record, bytes, { isCertified, mayBeOlder: false })
      : this.#mapOps(owner, record, bytes, isCertified);
  }

  async #mapOps(owner: OwnerId, record: Signed, bytes: Uint8Array, isCertified: boolean): Promise<MetaOp[]> {
    const body = mapBody.decode(record.body);
    const key = concatBytes(this.#prefix(owner, "map"), idBytes(record.incarnation), u32be(body.class));
    const known = this.#store.get(key);
    if (known !== undefined) {
      const before = decodeSigned(known);
      if (this.#isKnown(record, before, "placement map")) return [];
      requireSameClass(body, mapBody.decode(before.body));
    } else if (isCertified) await this.#requireRoomInLife(owner, record.incarnation);
    else {
      const count = await this.#countMaps(owner);
      if (count >= MAPS_MAX) throw tooMany(`${MAPS_MAX} placement maps`);
      this.#mapCounts.set(owner, count + 1);
    }
    return [{ type: "put", key, value: bytes }];
  }

  async #requireRoomInLife(owner: OwnerId, life: Incarnation): Promise<void> {
    let count = 0;
    for await (const _ of this.#scan(this.#lifePrefix(owner, "map", life))) count++;
    if (count >= MAPS_OF_CERTIFIED_MAX) throw tooMany(`${MAPS_OF_CERTIFIED_MAX} placement maps of one life`);
  }

  async #headOps(
    owner: OwnerId,
    record: Signed,
    bytes: Uint8Array,
    { isCertified, mayBeOlder }: { readonly isCertified: boolean; readonly mayBeOlder: boolean },
  ): Promise<MetaOp[]> {
    headBody.decode(record.body);
    const kept: KeptHead[] = [];
    for await (const [, value] of this.#scan(this.#lifePrefix(owner, "head", record.incarnation)))
      kept.push(this.#keptHead(owner, decodeSigned(value)));
    const hash = signedHash(record);
    if (kept.some(({ head }) => equalBytes(signedHash(head), hash))) return [];
    const newest = kept.at(-1)?.head;
    if (newest !== undefined) {
      const sameEpoch = kept.filter(({ head }) => head.epoch === record.epoch).length;
      if (
        (record.epoch < newest.epoch && !mayBeOlder) ||
        sameEpoch >= FORKS_MAX ||
        record.epoch > newest.epoch + EPOCH_LEAP_MAX
      ) {
        throw stale("head", record.epoch, newest.epoch);
      }
      if (sameEpoch > 0)
        this.#log.warn("head-fork", { owner, incarnation: record.incarnation, epoch: record.epoch });
    } else if (!isCertified) await this.#requireRoomForLife(owner, record);
    const receivedMs = this.#clock.wallMs();
    const added: KeptHead = { head: record, receivedMs };
    const all = [...kept, added].sort((a, b) => a.head.epoch - b.head.epoch);
    const surplus = headsToDrop(all).filter(
      (one) => one !== added && !this.#isLocked(owner, signedHash(one.head)),
    );
    return [
      ...surplus.flatMap(({ head }): MetaOp[] => [
        { type: "delete", key: this.#headKey(owner, head) },
        { type: "delete", key: this.#receivedKey(owner, head) },
      ]),
      { type: "put", key: this.#headKey(owner, record), value: bytes },
      { type: "put", key: this.#receivedKey(owner, record), value: u64be(receivedMs) },
    ];
  }

  /**
   * A life that was not heard of before. The epochs of all lives of an owner count on from each other, so a leap is
   * one here too; a life that the recovery key certified outranks any epoch and any number of other lives.
   */
  async #requireRoomForLife(owner: OwnerId, record: Signed): Promise<void> {
    const lives = await this.#lives(owner);
    if (lives.length >= LIVES_MAX) throw tooMany(`heads of ${LIVES_MAX} lives`);
    let highest = 0;
    for (const life of lives)
      for (const head of await this.#newestHeads(owner, life)) highest = Math.max(highest, head.epoch);
    if (record.epoch > highest + EPOCH_LEAP_MAX) throw stale("head", record.epoch, highest);
  }

  /** 0 for what was kept by a version that did not note it. */
  async #firstHeardMs(owner: OwnerId, life: Incarnation): Promise<number> {
    const from = concatBytes(idBytes(owner), Uint8Array.of(RECEIVED_BYTE), idBytes(life));
    for await (const [, value] of this.#store.scan({ from, to: afterAll(from), limit: 1 }))
      return readU64be(value) ?? 0;
    return 0;
  }

  /** Every life that heads or maps are kept of; goes from one to the next without reading what lies between. */
  async #lives(owner: OwnerId): Promise<Incarnation[]> {
    const lives = new Set<Incarnation>();
    for (const type of ["head", "map"] as const) {
      const prefix = this.#prefix(owner, type);
      const to = afterAll(prefix);
      for (let from = prefix; ; ) {
        let found: Uint8Array | undefined;
        for await (const [key] of this.#store.scan({ from, to, limit: 1 }))
          found = key.subarray(prefix.length, prefix.length + INCARNATION_BYTES);
        if (found === undefined) break;
        lives.add(incarnationOf(found));
        from = concatBytes(prefix, found, AFTER_ALL);
      }
    }
    return [...lives];
  }

  /** Of one epoch: one, or as many as there are in a fork. */
  async #newestHeads(owner: OwnerId, life: Incarnation): Promise<Signed[]> {
    const heads: Signed[] = [];
    const from = this.#lifePrefix(owner, "head", life);
    const range = { from, to: afterAll(from), reverse: true, limit: FORKS_MAX };
    for await (const [, value] of this.#store.scan(range)) heads.push(decodeSigned(value));
    return heads.filter((head) => head.epoch === heads[0]?.epoch).reverse();
  }

  /** Counted once, since it means to read them all. */
  async #countMaps(owner: OwnerId): Promise<number> {
    const known = this.#mapCounts.get(owner);
    if (known !== undefined) return known;
    let count = 0;
    for await (const _ of this.#scan(this.#prefix(owner, "map"))) count++;
    this.#mapCounts.set(owner, count);
    return count;
  }

  /** Whether `record` is what we have; throws when it is older, or another one of the same epoch. */
  #isKnown(record: Signed, known: Signed, what: string): boolean {
    if (equalBytes(signedHash(record), signedHash(known))) return true;
    if (record.epoch <= known.epoch || record.epoch > known.epoch + EPOCH_LEAP_MAX) {
      throw stale(what, record.epoch, known.epoch);
    }
    return false;
  }

  #scan(prefix: Uint8Array): AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]> {
    return this.#store.scan({ from: prefix, to: afterAll(prefix) });
  }

  #lifePrefix(owner: OwnerId, type: KeptType, life: Incarnation): Uint8Array {
    return concatBytes(this.#prefix(owner, type), idBytes(life));
  }

  #prefix(owner: OwnerId, type: KeptType): Uint8Array {
    return concatBytes(idBytes(owner), Uint8Array.of(TYPE_BYTE[type]));
  }

  #headKey(owner: OwnerId, head: Signed): Uint8Array {
    // The first bytes of the hash keep the heads of a fork apart.
    const fork = signedHash(head).subarray(0, 8);
    return concatBytes(this.#prefix(owner, "head"), idBytes(head.incarnation), u64be(head.epoch), fork);
  }

  #receivedKey(owner: OwnerId, head: Signed): Uint8Array {
    const key = this.#headKey(owner, head);
    key[PUBLIC_KEY_BYTES] = RECEIVED_BYTE;
    return key;
  }

  #keptHead(owner: OwnerId, head: Signed): KeptHead {
    const received = this.#store.get(this.#receivedKey(owner, head));
    const saidMs = (): number => headBody.decode(head.body).timeMs;
    return { head, receivedMs: received === undefined ? saidMs() : (readU64be(received) ?? 0) };
  }

  async #list(owner: OwnerId, type: KeptType): Promise<Signed[]> {
    const records: Signed[] = [];
    for await (const [, value] of this.#scan(this.#prefix(owner, type))) records.push(decodeSigned(value));
    return records;
  }
}

/** Longer than what follows any prefix, and higher. */
const AFTER_ALL = new Uint8Array(40).fill(255);

function afterAll(prefix: Uint8Array): Uint8Array {
  return concatBytes(prefix, AFTER_ALL);
}

/** The records that go into one answer. */
class Answer {
  readonly records: Signed[] = [];
  #bytes = 0;

  get isFull(): boolean {
    return this.records.length >= RECORDS_MAX;
  }

  /** False when it has no room for this one. */
  add(record: Signed): boolean {
    const bytes = record.body.length + RECORD_OVERHEAD_BYTES;
    if (this.isFull || this.#bytes + bytes > NET_HEAD_BYTES_MAX - RECORD_OVERHEAD_BYTES) return false;
    this.#bytes += bytes;
    this.records.push(record);
    return true;
  }
}

function stale(what: string, epoch: number, knownEpoch: number): Fault {
  return new Fault({ code: "RECORD_STALE", what, epoch, knownEpoch });
}

function tooMany(what: string): Fault {
  return new Fault({ code: "NOT_ALLOWED", reason: `${what} of this owner are kept already` });
}

function requireSameClass(body: MapBody, known: MapBody): void {
  const isSame = (["k", "m", "cap", "partitions"] as const).every((field) => body[field] === known[field]);
  if (isSame) return;
  throw new Fault({
    code: "FORMAT_INVALID",
    what: "placement map",
    reason: "a class never changes, and this one is not what it was",
  });
}

/**
 * Of heads in the order of their epochs, those that are neither among the newest nor the first or last that came in on a
 * recent day. By the first, what an owner had said stays, whatever a thief of its key says in the rest of that day.
 */
function headsToDrop(heads: readonly KeptHead[]): KeptHead[] {
  if (heads.length <= NEWEST_HEADS) return [];
  const keep = new Set(heads.slice(-NEWEST_HEADS));
  const byDay = Map.groupBy(heads, ({ receivedMs }) => Math.floor(receivedMs / DAY_MS));
  const days = [...byDay.keys()].sort((a, b) => b - a).slice(0, DAILY_HEADS);
  for (const day of days) {
    const ofDay = must(byDay.get(day), "heads of a day");
    keep.add(must(ofDay[0], "first head of a day"));
    keep.add(must(ofDay.at(-1), "last head of a day"));
  }
  return heads.filter((head) => !keep.has(head));
}

/** Of heads that begin with the newest: the newest ones, then the last of each day, the first of each day, and the others. */
function byWorth(heads: readonly KeptHead[]): Set<KeptHead> {
  const days = [...Map.groupBy(heads, ({ receivedMs }) => Math.floor(receivedMs / DAY_MS)).entries()];
  days.sort(([a], [b]) => b - a);
  const lasts = days.map(([, ofDay]) => must(ofDay[0], "last head of a day"));
  const firsts = days.map(([, ofDay]) => must(ofDay.at(-1), "first head of a day"));
  return new Set([...heads.slice(0, NEWEST_HEADS), ...lasts, ...firsts, ...heads]);
}
