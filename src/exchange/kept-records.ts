import { must } from "../base/assert.ts";
import { concatBytes, EMPTY_BYTES, equalBytes, u32be, u64be } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { idBytes, type OwnerId, ownerIdOf, PUBLIC_KEY_BYTES, type SwarmId } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import { checkSigned, type Signed, signedHash } from "../crypto/signed.ts";
import type { MetaOp, MetaStore } from "../ports/index.ts";
import { headBody, mapBody } from "../wire/head.ts";
import { decodeSigned } from "../wire/signed.ts";

/** Further ahead than this an epoch is a trick to make every later one look old. */
const EPOCH_LEAP_MAX = 2 ** 32;
/** Heads kept of each incarnation: the newest ones, and the last of each day. */
const NEWEST_HEADS = 32;
const DAILY_HEADS = 90;
/** Lives of one owner of which heads are kept. */
const LIVES_MAX = 256;
/** Maps kept of one owner: a few classes in each of its lives. A thief of its key could open them without end. */
const MAPS_MAX = 1024;
/** Two different heads of one epoch are both kept; a thief of the key could sign without end. */
const FORKS_MAX = 4;

const TYPE_BYTE = { head: 1, map: 2 } as const;
type KeptType = keyof typeof TYPE_BYTE;

/**
 * The heads and placement maps that this node keeps for owners: with the recovery key they are what leads back
 * to a repository, so they are synced before they are acknowledged, and an older one never replaces a newer.
 */
export class KeptRecords {
  readonly #store: MetaStore;
  readonly #swarm: SwarmId;
  readonly #log: Log;

  constructor(components: { store: MetaStore; log: Log }, init: { swarm: SwarmId }) {
    this.#store = components.store;
    this.#log = components.log;
    this.#swarm = init.swarm;
  }

  /**
   * Checks and stores what an owner handed over; synced when it resolves. Throws `SIGNATURE_INVALID`,
   * `FORMAT_INVALID` or `RECORD_STALE`, and then has stored none of them.
   */
  async keep(owner: OwnerId, encoded: readonly Uint8Array[]): Promise<void> {
    const ops: MetaOp[] = [];
    for (const bytes of encoded) {
      const record = this.#check(owner, bytes);
      ops.push(...(await this.#opsFor(owner, record, bytes)));
    }
    if (ops.length > 0) await this.#store.write(ops, { sync: true });
  }

  /** The newest head of each incarnation (several where there is a fork) and the newest maps. */
  async newest(owner: OwnerId): Promise<Signed[]> {
    const heads = new Map<string, Signed[]>();
    for (const head of await this.#list(owner, "head")) {
      const known = heads.get(head.incarnation);
      if (known === undefined || must(known[0], "head").epoch < head.epoch)
        heads.set(head.incarnation, [head]);
      else if (must(known[0], "head").epoch === head.epoch) known.push(head);
    }
    return [...[...heads.values()].flat(), ...(await this.#list(owner, "map"))];
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

  async #opsFor(owner: OwnerId, record: Signed & { type: KeptType }, bytes: Uint8Array): Promise<MetaOp[]> {
    return record.type === "head" ? this.#headOps(owner, record, bytes) : this.#mapOps(owner, record, bytes);
  }

  async #mapOps(owner: OwnerId, record: Signed, bytes: Uint8Array): Promise<MetaOp[]> {
    const body = mapBody.decode(record.body);
    const key = concatBytes(this.#prefix(owner, "map"), idBytes(record.incarnation), u32be(body.class));
    const known = this.#store.get(key);
    if (known === undefined && (await this.#list(owner, "map")).length >= MAPS_MAX) {
      throw new Fault({
        code: "NOT_ALLOWED",
        reason: `${MAPS_MAX} placement maps of this owner are kept already`,
      });
    }
    if (known !== undefined && this.#isKnown(record, decodeSigned(known), "placement map")) return [];
    return [{ type: "put", key, value: bytes }];
  }

  async #headOps(owner: OwnerId, record: Signed, bytes: Uint8Array): Promise<MetaOp[]> {
    headBody.decode(record.body);
    const kept = (await this.#list(owner, "head")).filter((head) => head.incarnation === record.incarnation);
    const hash = signedHash(record);
    if (kept.some((head) => equalBytes(signedHash(head), hash))) return [];
    const newest = kept.at(-1);
    if (newest === undefined && (await this.#lives(owner)) >= LIVES_MAX) {
      throw new Fault({
        code: "NOT_ALLOWED",
        reason: `heads of ${LIVES_MAX} lives of this owner are kept already`,
      });
    }
    if (newest !== undefined) {
      const sameEpoch = kept.filter((head) => head.epoch === record.epoch).length;
      if (
        record.epoch < newest.epoch ||
        sameEpoch >= FORKS_MAX ||
        record.epoch > newest.epoch + EPOCH_LEAP_MAX
      ) {
        throw stale("head", record.epoch, newest.epoch);
      }
      if (sameEpoch > 0)
        this.#log.warn("head-fork", { owner, incarnation: record.incarnation, epoch: record.epoch });
    }
    const surplus = headsToDrop([...kept, record]);
    return [
      ...surplus.map((head): MetaOp => ({ type: "delete", key: this.#headKey(owner, head) })),
      { type: "put", key: this.#headKey(owner, record), value: bytes },
    ];
  }

  async #lives(owner: OwnerId): Promise<number> {
    return new Set((await this.#list(owner, "head")).map((head) => head.incarnation)).size;
  }

  /** Whether `record` is what we have; throws when it is older, or another one of the same epoch. */
  #isKnown(record: Signed, known: Signed, what: string): boolean {
    if (equalBytes(signedHash(record), signedHash(known))) return true;
    if (record.epoch <= known.epoch || record.epoch > known.epoch + EPOCH_LEAP_MAX) {
      throw stale(what, record.epoch, known.epoch);
    }
    return false;
  }

  #prefix(owner: OwnerId, type: KeptType): Uint8Array {
    return concatBytes(idBytes(owner), Uint8Array.of(TYPE_BYTE[type]));
  }

  #headKey(owner: OwnerId, head: Signed): Uint8Array {
    // The first bytes of the hash keep the heads of a fork apart.
    const fork = signedHash(head).subarray(0, 8);
    return concatBytes(this.#prefix(owner, "head"), idBytes(head.incarnation), u64be(head.epoch), fork);
  }

  async #list(owner: OwnerId, type: KeptType): Promise<Signed[]> {
    const from = this.#prefix(owner, type);
    const to = concatBytes(idBytes(owner), Uint8Array.of(TYPE_BYTE[type] + 1));
    const records: Signed[] = [];
    for await (const [, value] of this.#store.scan({ from, to })) records.push(decodeSigned(value));
    return records;
  }
}

function stale(what: string, epoch: number, knownEpoch: number): Fault {
  return new Fault({ code: "RECORD_STALE", what, epoch, knownEpoch });
}

/** Of heads in the order of their epochs, those that are neither among the newest nor the last of a recent day. */
function headsToDrop(heads: readonly Signed[]): Signed[] {
  if (heads.length <= NEWEST_HEADS) return [];
  const keep = new Set(heads.slice(-NEWEST_HEADS));
  const lastOfDay = new Map<number, Signed>();
  for (const head of heads) lastOfDay.set(Math.floor(headBody.decode(head.body).timeMs / DAY_MS), head);
  const days = [...lastOfDay.keys()].sort((a, b) => b - a).slice(0, DAILY_HEADS);
  for (const day of days) keep.add(must(lastOfDay.get(day), "head of a day"));
  return heads.filter((head) => !keep.has(head));
}
