import { equalBytes } from "../base/bytes.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import type { Incarnation, OwnerId, ShardId, SwarmId } from "../base/ids.ts";
import { shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signer } from "../crypto/sign.ts";
import { NO_INCARNATION, signStatement } from "../crypto/signed.ts";
import { buildTree, proveRange } from "../erasure/index.ts";
import type { Clock, Compute, Directory, NetMessage, ShardStore, StoredShard } from "../ports/index.ts";
import {
  type AuditRequest,
  type DataAnswer,
  dataAnswer,
  keptBody,
  type OwnerRequest,
  type Refusal,
  receiptBody,
  shardNote,
} from "../wire/data.ts";
import { type Descriptor, readDescriptor, requireShardIndex } from "../wire/descriptor.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { AskedFor } from "./asked-for.ts";
import { AuditAnswers } from "./audit-answers.ts";
import type { KeptRecords } from "./kept-records.ts";
import { QuotaLedger } from "./quota-ledger.ts";

/** What the holder asks the roster. */
export interface OwnerRegistry {
  /** The incarnation that fences all others of this owner, if its recovery identity certified one. */
  certifiedIncarnation(owner: OwnerId): Incarnation | undefined;
  /** Shard bytes that the owner may have in the whole swarm; `undefined` where nobody set a bound. */
  quotaOf(owner: OwnerId): number | undefined;
}

/** Whether the disk with the shards is there. Both throw `DISK_FAILED` where it is not. */
export interface ShardDisk {
  requireServing(): void;
  /** Looks. */
  requirePresent(): Promise<void>;
}

export interface HolderComponents {
  readonly shards: ShardStore;
  readonly disk: ShardDisk;
  readonly records: KeptRecords;
  readonly registry: OwnerRegistry;
  readonly directory: Pick<Directory, "announce">;
  readonly compute: Pick<Compute, "roots">;
  readonly clock: Clock;
  readonly signer: Signer;
  /** Called with a shard that is listed and is not as it should be. */
  readonly onBad?: (shard: ShardId) => void;
  readonly log: Log;
  /** It is about to leave the swarm: nothing new comes in. @default never */
  readonly isLeaving?: () => boolean;
  /** Whether a map is known here that names somebody else for a shard, and none that names this node. @default never */
  readonly isElsewhere?: (shard: ShardId) => Promise<boolean>;
  /** What owners do not want any more. @default everything is wanted */
  readonly unwanted?: Unwanted;
}

/** What became of shards that their owner has given up. */
export interface Unwanted {
  /** On disk still, and held for nobody. */
  isTrash(shard: ShardId): boolean;
  /** It is not here, or not for long, by its owner's word. */
  isGivenUp(shard: ShardId): boolean;
  /** It was put again, and a receipt follows. */
  putAgain(shard: ShardId): Promise<void>;
}

const EMPTY = new Uint8Array(0);

/**
 * The part of a node that keeps other owners' shards: answers put, get, have, keep, records and audit. A shard is
 * accepted when its descriptor is signed by the sender's owner and its bytes have the root that it names;
 * the receipt is signed after the store has synced both. A shard is never replaced by bytes of another root.
 */
export class Holder {
  readonly #c: HolderComponents;
  readonly #swarm: SwarmId;
  readonly #puts = new KeyedMutex();
  readonly #announced = new Set<OwnerId>();
  #conflicts = 0;
  readonly #quotas: QuotaLedger;
  readonly #audits: AuditAnswers;
  readonly #asked: AskedFor;

  constructor(components: HolderComponents, init: { swarm: SwarmId }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#quotas = new QuotaLedger({ ...components, quotaOf: (owner) => components.registry.quotaOf(owner) });
    this.#audits = new AuditAnswers(components, init);
    this.#asked = new AskedFor(components.clock);
  }

  /** `asOwner`: for whom the other end may speak: a member's own owner, or the owner a recovery identity names. */
  async answer(
    asOwner: OwnerId,
    message: OwnerRequest,
    body: Uint8Array,
    mayWrite: boolean,
  ): Promise<NetMessage> {
    return this.answerRefusals(async () => {
      switch (message.t) {
        case "put":
          this.#requireWriter(mayWrite);
          this.#c.disk.requireServing();
          return await this.#put(asOwner, message.index, message.descriptor, body);
        case "keep":
          this.#requireWriter(mayWrite);
          return await this.#keep(asOwner, message.records);
        case "get":
          this.#requireOwner(asOwner, message.owner);
          this.#c.disk.requireServing();
          return await this.#get(message, message.offset, message.length);
        case "have":
          this.#requireOwner(asOwner, message.owner);
          this.#c.disk.requireServing();
          return this.#have(message, mayWrite);
        case "audit":
          this.#requireOwner(asOwner, message.owner);
          this.#c.disk.requireServing();
          return await this.#audits.answer(message);
        case "records": {
          this.#requireOwner(asOwner, message.owner);
          const certified = this.#c.registry.certifiedIncarnation(asOwner);
          const records = (await this.#c.records.newest(asOwner, certified)).map(encodeSigned);
          return reply({ t: "records", v: 1, records });
        }
      }
    });
  }

  /** What a task answers, or the refusal that its fault means. */
  async answerRefusals(task: () => Promise<NetMessage>): Promise<NetMessage> {
    try {
      return await task();
    } catch (error) {
      return await this.#refuse(error);
    }
  }

  /** Of a shard that is listed here; else 0. */
  shardBytes({ owner, incarnation, number, index }: ShardId): number {
    return this.#c.shards.stat({ owner, incarnation, number, index })?.bytes ?? 0;
  }

  /** A whole shard, for somebody whose right to it was checked. */
  async readWhole(shard: ShardId): Promise<NetMessage> {
    this.#c.disk.requireServing();
    return this.#get(shard, 0, 0);
  }

  /**
   * As a `put` of the owner, from somebody whose right to hand it over was checked; of an earlier life, too: it is none of
   * that life's new writings, and what a recovered owner saved before is to stay alive.
   */
  async storeFor(
    owner: OwnerId,
    index: number,
    descriptor: Uint8Array,
    body: Uint8Array,
  ): Promise<NetMessage> {
    this.#c.disk.requireServing();
    return this.#put(owner, index, descriptor, body, { ofAnyLife: true });
  }

  /** Nothing else is put in the place of this shard, and no receipt given for it, until the task is done. */
  guarded<T>(shard: ShardId, task: () => Promise<T>): Promise<T> {
    return this.#puts.run(shardKey(shard), task);
  }

  /** Since a receipt was last given for a copy that was here already; at most since the start. */
  unaskedForMs(shard: ShardId): number {
    return this.#asked.ageMs(shard);
  }

  /** Proves leaves to somebody whose right to ask was checked. */
  async proveTo(request: AuditRequest): Promise<NetMessage> {
    this.#c.disk.requireServing();
    return this.#audits.answer(request);
  }

  /** Every head that is kept of one life of an owner, newest first. */
  async headsOf(owner: OwnerId, incarnation: Incarnation): Promise<Uint8Array[]> {
    return (await this.#c.records.headsOf(owner, incarnation)).map(encodeSigned);
  }

  /** How often since the start somebody tried to put other bytes in the place of a shard that is held. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** After a start: says again for whom this node keeps something. */
  async announceKept(): Promise<void> {
    for (const owner of await this.#c.records.owners()) await this.#announce(owner);
  }

  async #put(
    owner: OwnerId,
    index: number,
    descriptorBytes: Uint8Array,
    body: Uint8Array,
    { ofAnyLife } = { ofAnyLife: false },
  ): Promise<NetMessage> {
    const descriptor = readDescriptor(descriptorBytes, this.#swarm);
    requireShardIndex(descriptor, index);
    const isNew = this.#c.shards.stat({ ...descriptor.segment, index }) === undefined;
    if (isNew && this.#c.isLeaving?.() === true) throw notAllowed("this node is leaving");
    if (descriptor.segment.owner !== owner) throw notAllowed("the descriptor is of another owner");
    if (!ofAnyLife) this.#requireUnfenced(owner, descriptor.segment.incarnation);
    const id: ShardId = { ...descriptor.segment, index };
    await this.#requireRoot(id, descriptor, body);
    await this.#puts.run(shardKey(id), () => this.#store(id, descriptor, descriptorBytes, body));
    await this.#announce(owner);
    return reply({ t: "receipt", v: 1, receipt: this.#receipt(id, descriptor) });
  }

  async #store(
    id: ShardId,
    descriptor: Descriptor,
    descriptorBytes: Uint8Array,
    body: Uint8Array,
  ): Promise<void> {
    const root = rootOf(descriptor, id.index);
    const held = this.#c.shards.stat(id);
    if (held !== undefined) {
      if (!equalBytes(shardNote.decode(held.note).root, root)) {
        this.#conflicts++;
        this.#c.log.warn("shard-conflict", { shard: shardKey(id) });
        throw new Fault({ code: "SHARD_CONFLICT", shard: id });
      }
      if (await this.#isIntact(held, descriptor)) {
        await this.#c.unwanted?.putAgain(id);
        return this.#asked.note(id);
      }
    }
    const note = shardNote.encode({
      v: 1,
      root,
      descriptor: descriptorBytes,
      receivedMs: this.#c.clock.wallMs(),
    });
    await this.#quotas.charge(id, descriptorBytes, () => this.#c.shards.put(id, body, note));
    await this.#c.unwanted?.putAgain(id);
  }

  async #isIntact(held: StoredShard, descriptor: Descriptor): Promise<boolean> {
    const bytes = await this.#c.shards.read(held.id, 0, descriptor.shardBytes);
    if (bytes === undefined || bytes.length !== descriptor.shardBytes) return false;
    const [root] = await this.#c.compute.roots([
      { index: held.id.index, bytes, leafBytes: descriptor.leafBytes },
    ]);
    return root !== undefined && equalBytes(root, rootOf(descriptor, held.id.index));
  }

  async #requireRoot(id: ShardId, descriptor: Descriptor, body: Uint8Array): Promise<void> {
    if (body.length !== descriptor.shardBytes) {
      throw new Fault({
        code: "SHARD_CORRUPT",
        shard: id,
        reason: `${body.length} of ${descriptor.shardBytes} bytes`,
      });
    }
    const [root] = await this.#c.compute.roots([
      { index: id.index, bytes: body, leafBytes: descriptor.leafBytes },
    ]);
    if (root === undefined || !equalBytes(root, rootOf(descriptor, id.index))) {
      throw new Fault({ code: "SHARD_CORRUPT", shard: id, reason: "its root is not the descriptor's" });
    }
  }

  async #get(id: ShardId, offset: number, length: number): Promise<NetMessage> {
    const shard: ShardId = {
      owner: id.owner,
      incarnation: id.incarnation,
      number: id.number,
      index: id.index,
    };
    const held = this.#c.shards.stat(shard);
    if (held === undefined) throw new Fault({ code: "SHARD_MISSING", shard });
    const note = shardNote.decode(held.note);
    const bytes = await this.#c.shards.read(shard, 0, held.bytes);
    // A disk that was pulled out must not make the owner forget what is on it.
    if (bytes === undefined) await this.#c.disk.requirePresent();
    if (bytes === undefined) throw new Fault({ code: "SHARD_MISSING", shard });
    if (length === 0) return reply({ t: "shard", v: 1, descriptor: note.descriptor, proof: [] }, bytes);
    const { leafBytes } = readDescriptor(note.descriptor, this.#swarm);
    const end = Math.min(offset + length, bytes.length);
    if (offset % leafBytes !== 0 || offset >= end || (end % leafBytes !== 0 && end !== bytes.length)) {
      throw new Fault({
        code: "FORMAT_INVALID",
        what: "range",
        reason: "it does not begin and end at leaves",
      });
    }
    const leaves = Math.ceil((end - offset) / leafBytes);
    const proof = proveRange(buildTree(bytes, shard.index, leafBytes), offset / leafBytes, leaves);
    // A view would keep the whole shard in memory for as long as a slow peer takes its part.
    return reply({ t: "shard", v: 1, descriptor: note.descriptor, proof }, bytes.slice(offset, end));
  }

  /** @param isOwner else it recovers, and what is in the trash may be just what it looks for */
  #have(message: Extract<OwnerRequest, { t: "have" }>, isOwner: boolean): NetMessage {
    const held = new Uint8Array(Math.ceil(message.shards.length / 8));
    message.shards.forEach(([number, index], position) => {
      const id = { owner: message.owner, incarnation: message.incarnation, number, index };
      const isTrash = isOwner && this.#c.unwanted?.isTrash(id) === true;
      if (this.#c.shards.stat(id) !== undefined && !isTrash)
        held[position >> 3] = (held[position >> 3] ?? 0) | (1 << (position & 7));
    });
    return reply({ t: "have", v: 1, held });
  }

  async #keep(owner: OwnerId, records: readonly Uint8Array[]): Promise<NetMessage> {
    for (const record of records) this.#requireUnfenced(owner, decodeSigned(record).incarnation);
    await this.#c.records.keep(owner, records, this.#c.registry.certifiedIncarnation(owner));
    await this.#announce(owner);
    const timeMs = this.#c.clock.wallMs();
    const hashes = records.map((record) => sha256(record));
    const body = keptBody.encode({ v: 1, owner, hashes, timeMs });
    return reply({ t: "kept", v: 1, receipt: this.#sign("head-receipt", timeMs, body) });
  }

  #receipt(id: ShardId, descriptor: Descriptor): Uint8Array {
    const timeMs = this.#c.clock.wallMs();
    const { owner, incarnation, number, index } = id;
    const root = rootOf(descriptor, index);
    const body = receiptBody.encode({ v: 1, owner, incarnation, number, index, root, timeMs });
    return this.#sign("receipt", timeMs, body);
  }

  /** The time is the epoch too, so that the owner can keep time and signature alone. */
  #sign(type: "receipt" | "head-receipt", timeMs: number, body: Uint8Array): Uint8Array {
    const statement = { type, swarm: this.#swarm, incarnation: NO_INCARNATION, epoch: timeMs, body };
    return encodeSigned(signStatement(statement, this.#c.signer));
  }

  async #announce(owner: OwnerId): Promise<void> {
    if (this.#announced.has(owner)) return;
    this.#announced.add(owner);
    await this.#c.directory.announce(owner);
  }

  #requireWriter(mayWrite: boolean): void {
    if (!mayWrite) throw notAllowed("this is for reading only");
  }

  #requireOwner(asOwner: OwnerId, asked: OwnerId): void {
    if (asOwner !== asked) throw notAllowed("shards and records are served to their owner only");
  }

  #requireUnfenced(owner: OwnerId, incarnation: Incarnation): void {
    const certified = this.#c.registry.certifiedIncarnation(owner);
    if (certified !== undefined && certified !== incarnation) throw new Fault({ code: "FENCED", owner });
  }

  async #refuse(error: unknown): Promise<NetMessage> {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    const freeBytes = refusal === "no-room" ? (await this.#c.shards.space()).freeBytes : 0;
    return reply({ t: "refused", v: 1, refusal, reason: messageOf(error).slice(0, 500), freeBytes });
  }
}

function reply(answer: DataAnswer, body: Uint8Array = EMPTY): NetMessage {
  return { head: dataAnswer.encode(answer), body };
}

function rootOf(descriptor: Descriptor, index: number): Uint8Array {
  return descriptor.roots[index] ?? EMPTY;
}

function notAllowed(reason: string): Fault {
  return new Fault({ code: "NOT_ALLOWED", reason });
}

/** `undefined`: not a refusal but a failure of ours; the request is reset and the sender tries elsewhere. */
function refusalOf(error: unknown): Refusal | undefined {
  if (!isFault(error)) return undefined;
  switch (error.code) {
    case "DISK_FULL":
      return "no-room";
    case "NOT_ALLOWED":
    case "NOT_A_MEMBER":
      return "not-allowed";
    case "SHARD_CONFLICT":
      return "conflict";
    case "QUOTA_EXCEEDED":
      return "quota";
    case "FENCED":
      return "fenced";
    case "SHARD_MISSING":
      return "missing";
    case "RECORD_STALE":
      return "stale";
    case "FORMAT_INVALID":
    case "FORMAT_VERSION":
    case "SIGNATURE_INVALID":
    case "SHARD_CORRUPT":
      return "invalid";
    default:
      return undefined;
  }
}
