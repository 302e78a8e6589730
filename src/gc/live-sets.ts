import { z } from "zod";
import { concatBytes, equalBytes, toHex, u32be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import {
  INCARNATION_BYTES,
  type Incarnation,
  idBytes,
  incarnationOf,
  type OwnerId,
  ownerIdOf,
  PUBLIC_KEY_BYTES,
  type SegmentId,
  type SwarmId,
} from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { KIB } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import { checkSigned, type Signed, signedHash } from "../crypto/signed.ts";
import type { OwnerRegistry } from "../exchange/index.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { bytesUpTo, codec } from "../wire/codec.ts";
import { liveList, liveSetBody } from "../wire/live-set.ts";
import { decodeSigned } from "../wire/signed.ts";
import { LiveSet, type LiveStanding } from "./live-set.ts";

/** Lives of one owner whose live sets are kept, besides the one that its recovery key certified: a thief could open them without end. */
const LIVES_KEPT_MAX = 8;
/** Further ahead than this an epoch is a trick to make every later one look old. */
const EPOCH_LEAP_MAX = 2 ** 32;
const PAGE_BYTES = 64 * KIB;
/** Lists that are kept opened. */
const OPENED_MAX = 16;
const ENTRIES_MAX = 4096;

const PREFIX = { set: 1, page: 2 } as const;

export const liveSetEntry = codec(
  "kept live set",
  z
    .object({
      v: z.literal(1),
      record: bytesUpTo(4096),
      /** Another one of the same epoch: the key was used twice. From then on nothing of this life entitles anybody. */
      fork: bytesUpTo(4096).exactOptional(),
    })
    .strict(),
);
type Entry = ReturnType<(typeof liveSetEntry)["decode"]>;

export interface LiveSetsComponents {
  /** A namespace of its own, which `marks` and `brake` share. */
  readonly store: MetaStore;
  readonly registry: Pick<OwnerRegistry, "certifiedIncarnation">;
  readonly log: Log;
}

/** A life of an owner that signed two live sets of one epoch. */
export interface LiveFork {
  readonly owner: OwnerId;
  readonly incarnation: Incarnation;
  readonly epoch: number;
}

/**
 * The newest live set of each owner and life, as handed over. Which one counts for a segment is asked each time: the one of the life
 * that the recovery key certified, if there is such a life, else the one of the segment's own life; and none that was forked. So a
 * life that is certified puts everything that was omitted before it out of force until it has spoken itself.
 */
export class LiveSets {
  readonly #c: LiveSetsComponents;
  readonly #swarm: SwarmId;
  readonly #opened = new Map<string, LiveSet>();
  /** Of lives that were asked about since something changed: it is asked for every shard. */
  readonly #entries = new Map<string, Entry | undefined>();

  constructor(components: LiveSetsComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
  }

  /** On disk when it resolves. Throws what makes it a refusal; then nothing has changed but that a fork is remembered. */
  async take(owner: OwnerId, encoded: Uint8Array, list: Uint8Array): Promise<void> {
    const record = decodeSigned(encoded);
    checkSigned(record, { type: "live-set", swarm: this.#swarm, signer: idBytes(owner) });
    const certified = this.#c.registry.certifiedIncarnation(owner);
    if (certified !== undefined && certified !== record.incarnation)
      throw new Fault({ code: "FENCED", owner });
    const body = liveSetBody.decode(record.body);
    if (body.bytes !== list.length || !equalBytes(body.hash, sha256(list)))
      throw new Fault({
        code: "FORMAT_INVALID",
        what: "live set",
        reason: "another list than it was signed for",
      });
    // Whether it is one at all.
    new LiveSet(liveList.decode(list));
    const known = this.#entry(owner, record.incarnation);
    if (known !== undefined) {
      const before = decodeSigned(known.record);
      if (equalBytes(signedHash(before), signedHash(record))) return;
      if (before.epoch === record.epoch) return this.#fork(owner, known, record, encoded);
      requireRising(record.epoch, before.epoch);
    } else {
      requireRising(record.epoch, 0);
      if (record.incarnation !== certified) await this.#requireRoom(owner);
    }
    const entry: Entry = { ...(known ?? { v: 1 }), record: encoded };
    await this.#c.store.write(await this.#ops(owner, record.incarnation, entry, list), { sync: true });
    this.#entries.clear();
    this.#c.log.info("live-set-kept", { owner, incarnation: record.incarnation, epoch: record.epoch });
  }

  /** What the set in force says; `undefined` where none is. */
  standing(segment: SegmentId): LiveStanding | undefined {
    const { owner, incarnation } = segment;
    const life = this.#c.registry.certifiedIncarnation(owner) ?? incarnation;
    const entry = this.#entry(owner, life);
    if (entry === undefined || entry.fork !== undefined) return undefined;
    return this.#open(owner, life, entry)?.standing(segment);
  }

  /** Nobody is to hold, make anew or ask for it any more, by the word of its owner. */
  omits(segment: SegmentId): boolean {
    return this.standing(segment) === "omitted";
  }

  /** The newest one of a life with its list; whoever asks checks both. */
  of(owner: OwnerId, incarnation: Incarnation): { record: Uint8Array; list: Uint8Array } | undefined {
    const entry = this.#entry(owner, incarnation);
    const list = entry === undefined ? undefined : this.#list(owner, incarnation, entry);
    return entry === undefined || list === undefined ? undefined : { record: entry.record, list };
  }

  /** Lives whose key said two things; at most `max`. */
  async forks(max: number): Promise<LiveFork[]> {
    const forks: LiveFork[] = [];
    const range = { from: Uint8Array.of(PREFIX.set), to: Uint8Array.of(PREFIX.set + 1) };
    for await (const [key, value] of this.#c.store.scan(range)) {
      const { fork } = liveSetEntry.decode(value);
      if (fork === undefined) continue;
      const owner = ownerIdOf(key.slice(1, 1 + PUBLIC_KEY_BYTES));
      const incarnation = incarnationOf(
        key.slice(1 + PUBLIC_KEY_BYTES, 1 + PUBLIC_KEY_BYTES + INCARNATION_BYTES),
      );
      forks.push({ owner, incarnation, epoch: decodeSigned(fork).epoch });
      if (forks.length >= max) break;
    }
    return forks;
  }

  async #fork(owner: OwnerId, known: Entry, record: Signed, encoded: Uint8Array): Promise<void> {
    const { incarnation, epoch } = record;
    if (known.fork === undefined) {
      const value = liveSetEntry.encode({ ...known, fork: encoded });
      const op: MetaOp = { type: "put", key: setKey(owner, incarnation), value };
      await this.#c.store.write([op], { sync: true });
      this.#entries.clear();
      this.#c.log.error("live-set-fork", { owner, incarnation, epoch });
    }
    throw new Fault({ code: "RECORD_STALE", what: "live set of the same epoch", epoch, knownEpoch: epoch });
  }

  async #requireRoom(owner: OwnerId): Promise<void> {
    const from = concatBytes(Uint8Array.of(PREFIX.set), idBytes(owner));
    const to = concatBytes(from, new Uint8Array(INCARNATION_BYTES + 1).fill(255));
    let lives = 0;
    for await (const _ of this.#c.store.scan({ from, to, limit: LIVES_KEPT_MAX })) lives++;
    if (lives >= LIVES_KEPT_MAX)
      throw new Fault({
        code: "NOT_ALLOWED",
        reason: `live sets of ${LIVES_KEPT_MAX} lives of this owner are kept`,
      });
  }

  async #ops(owner: OwnerId, life: Incarnation, entry: Entry, list: Uint8Array): Promise<MetaOp[]> {
    const ops: MetaOp[] = [];
    const from = pageKey(owner, life, 0);
    const to = pageKey(owner, life, 2 ** 32 - 1);
    for await (const [key] of this.#c.store.scan({ from, to }))
      ops.push({ type: "delete", key: key.slice() });
    for (let at = 0; at < list.length; at += PAGE_BYTES) {
      const key = pageKey(owner, life, at / PAGE_BYTES);
      ops.push({ type: "put", key, value: list.slice(at, at + PAGE_BYTES) });
    }
    return [...ops, { type: "put", key: setKey(owner, life), value: liveSetEntry.encode(entry) }];
  }

  #entry(owner: OwnerId, life: Incarnation): Entry | undefined {
    const key = `${owner}/${life}`;
    if (this.#entries.has(key)) return this.#entries.get(key);
    const value = this.#c.store.get(setKey(owner, life));
    const entry = value === undefined ? undefined : liveSetEntry.decode(value);
    if (this.#entries.size >= ENTRIES_MAX) this.#entries.clear();
    this.#entries.set(key, entry);
    return entry;
  }

  /** By what was signed: a disk that altered it entitles to nothing. */
  #list(owner: OwnerId, life: Incarnation, { record }: Entry): Uint8Array | undefined {
    const { bytes, hash } = liveSetBody.decode(decodeSigned(record).body);
    const pages: Uint8Array[] = [];
    for (let page = 0; page * PAGE_BYTES < bytes; page++) {
      const value = this.#c.store.get(pageKey(owner, life, page));
      if (value === undefined) return undefined;
      pages.push(value);
    }
    const list = concatBytes(...pages);
    return list.length === bytes && equalBytes(sha256(list), hash) ? list : undefined;
  }

  #open(owner: OwnerId, life: Incarnation, entry: Entry): LiveSet | undefined {
    const key = toHex(entry.record);
    const known = this.#opened.get(key);
    if (known !== undefined) return known;
    const list = this.#list(owner, life, entry);
    if (list === undefined) {
      this.#c.log.error("live-set-unreadable", { owner, incarnation: life });
      return undefined;
    }
    const opened = new LiveSet(liveList.decode(list));
    this.#opened.set(key, opened);
    const [oldest] = this.#opened.keys();
    if (this.#opened.size > OPENED_MAX && oldest !== undefined) this.#opened.delete(oldest);
    return opened;
  }
}

function requireRising(epoch: number, known: number): void {
  if (epoch > known && epoch <= known + EPOCH_LEAP_MAX) return;
  throw new Fault({ code: "RECORD_STALE", what: "live set", epoch, knownEpoch: known });
}

function setKey(owner: OwnerId, life: Incarnation): Uint8Array {
  return concatBytes(Uint8Array.of(PREFIX.set), idBytes(owner), idBytes(life));
}

function pageKey(owner: OwnerId, life: Incarnation, page: number): Uint8Array {
  return concatBytes(Uint8Array.of(PREFIX.page), idBytes(owner), idBytes(life), u32be(page));
}
