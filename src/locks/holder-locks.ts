import { EMPTY_BYTES, equalBytes, toHex } from "../base/bytes.ts";
import { KeyedMutex } from "../base/concurrency.ts";
import { Fault, isFault, messageOf } from "../base/fault.ts";
import {
  idBytes,
  type OwnerId,
  ownerIdOf,
  type PeerId,
  SEGMENT_NUMBER_MAX,
  type SegmentId,
  type SwarmId,
} from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS, HOUR_MS } from "../base/units.ts";
import { sha256 } from "../crypto/hash.ts";
import type { Signer } from "../crypto/sign.ts";
import { checkSigned, NO_INCARNATION, type Signed, signedHash, signStatement } from "../crypto/signed.ts";
import {
  type Holder,
  type KeptMaps,
  type KeptRecords,
  type OwnerRegistry,
  RunningTime,
} from "../exchange/index.ts";
import { partitionOf } from "../placement/index.ts";
import type { Clock, MetaOp, MetaStore, NetMessage, ShardStore } from "../ports/index.ts";
import { dataAnswer, type LockRequest } from "../wire/data.ts";
import { SHARDS_MAX } from "../wire/descriptor.ts";
import { type LockBody, type LockedBody, lockBody, lockedBody } from "../wire/lock.ts";
import { decodeSigned, encodeSigned } from "../wire/signed.ts";
import { KeptLocks, type LockedRow, lockEntry } from "./kept-locks.ts";
import { LockTable, lockedOn, pageUntilMs } from "./lock-table.ts";
import { isForgettable, LockedHeads } from "./locked-heads.ts";
import { both, butNot, isNone, joined, numberAt, positions, setBit } from "./row-bits.ts";

/** What a holder that is about to drop something asks. */
export interface SegmentLocks {
  /** How long shards of this segment must still be kept here, in this home's running time; 0 where no lock holds. */
  lockedForMs(segment: SegmentId): number;
}

export interface HolderLocksComponents {
  /** A namespace of its own. */
  readonly store: MetaStore;
  readonly shards: Pick<ShardStore, "stat">;
  readonly holder: Pick<Holder, "answerRefusals">;
  readonly records: Pick<KeptRecords, "keepLocked" | "headOf">;
  readonly kept: Pick<KeptMaps, "slots">;
  readonly registry: Pick<OwnerRegistry, "certifiedIncarnation">;
  /** Throws where the disk with the shards is not there. */
  readonly disk: { requireServing(): void };
  readonly clock: Clock;
  readonly signer: Signer;
  readonly log: Log;
}

/** What goes to whoever takes shards of a row over: the head first, then what names it. */
export interface LocksOfHead {
  readonly head: Uint8Array;
  readonly locks: readonly Uint8Array[];
}

export interface HolderLocksStatus {
  /** Segments of others that are locked here, as of the last look. */
  readonly segments: number;
  readonly statements: number;
  readonly heads: number;
}

export const LOCKS_PREFIX = {
  page: Uint8Array.of(1),
  statement: Uint8Array.of(2),
  head: Uint8Array.of(3),
  running: Uint8Array.of(4),
  end: Uint8Array.of(5),
} as const;
/** Of one member, about what is not its own owner's. */
const BROUGHT_A_DAY = 16_384;
const TIDIED_EVERY_MS = HOUR_MS;
const FORGOTTEN_AT_ONCE = 1000;

interface Opened {
  readonly bytes: Uint8Array;
  readonly signed: Signed;
  readonly body: LockBody;
  readonly row: LockedRow;
}

/**
 * What owners have had locked at this node. A lock lasts for the node's own running time, whatever clocks say; it is made longer
 * and never shorter, for whoever asks; and it holds for shards that are here, so that nobody fills the table with what is not.
 */
export class HolderLocks implements SegmentLocks {
  readonly #c: HolderLocksComponents;
  readonly #swarm: SwarmId;
  readonly #running: RunningTime;
  readonly #table: LockTable;
  readonly #statements: KeptLocks;
  readonly #heads: LockedHeads;
  readonly #one = new KeyedMutex();
  readonly #brought = new Map<PeerId, number>();
  #dayMs: number;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #status: HolderLocksStatus = { segments: 0, statements: 0, heads: 0 };

  constructor(components: HolderLocksComponents, init: { swarm: SwarmId }) {
    const { store } = components;
    this.#c = components;
    this.#swarm = init.swarm;
    this.#running = new RunningTime(components, LOCKS_PREFIX.running);
    this.#table = new LockTable(store, LOCKS_PREFIX.page);
    this.#statements = new KeptLocks(store, LOCKS_PREFIX.statement);
    this.#heads = new LockedHeads(store, LOCKS_PREFIX.head);
    this.#dayMs = components.clock.monotonicMs();
  }

  lockedForMs(segment: SegmentId): number {
    return Math.max(0, this.#table.untilMs(segment) - this.#running.ms);
  }

  isHeadLocked(owner: OwnerId, hash: Uint8Array): boolean {
    return this.#heads.untilMs(owner, hash) > this.#running.ms;
  }

  get status(): HolderLocksStatus {
    return this.#status;
  }

  /** @param asOwner for whom `from` speaks */
  answer(from: PeerId, asOwner: OwnerId, request: LockRequest, mayWrite: boolean): Promise<NetMessage> {
    return this.#c.holder.answerRefusals(async () => {
      if (!mayWrite) throw notAllowed("this is for reading only");
      this.#c.disk.requireServing();
      const head = decodeSigned(request.head);
      checkSigned(head, { type: "head", swarm: this.#swarm });
      const owner = ownerIdOf(head.signer);
      const opened = request.locks.map((bytes) => this.#open(bytes, owner, signedHash(head)));
      const certified = this.#c.registry.certifiedIncarnation(owner);
      const isFenced = opened.some(
        ({ signed }) => certified !== undefined && signed.incarnation !== certified,
      );
      if (owner !== asOwner) await this.#requireBearer(from, opened, isFenced);
      else if (isFenced) throw new Fault({ code: "FENCED", owner });
      const locks = await this.#one.run(owner, () =>
        this.#take(owner, { head, bytes: request.head }, opened),
      );
      this.#c.log.info("segments-locked", { owner, by: from, statements: opened.length });
      const timeMs = this.#c.clock.wallMs();
      const body = lockedBody.encode({ v: 1, owner, timeMs, locks });
      const said = {
        type: "locked",
        swarm: this.#swarm,
        incarnation: NO_INCARNATION,
        epoch: timeMs,
        body,
      } as const;
      const locked = encodeSigned(signStatement(said, this.#c.signer));
      return { head: dataAnswer.encode({ t: "locked", v: 1, locked }), body: EMPTY_BYTES };
    });
  }

  /** What holds here of a row, for a new holder: it begins anew there, whole. */
  async ofRow(row: LockedRow): Promise<LocksOfHead[]> {
    const nowMs = this.#running.ms;
    const kept = (await this.#statements.ofRow(row)).filter(({ entry }) => entry.untilMs > nowMs);
    const byHead = Map.groupBy(kept, ({ body }) => toHex(body.head));
    const given: LocksOfHead[] = [];
    for (const ofHead of byHead.values()) {
      const [first] = ofHead;
      const head = first === undefined ? undefined : await this.#c.records.headOf(row.owner, first.body.head);
      if (head === undefined) this.#c.log.warn("locked-head-missing", { owner: row.owner });
      else given.push({ head: encodeSigned(head), locks: ofHead.map(({ entry }) => entry.lock) });
    }
    return given;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.tidy();
      } catch (error) {
        if (!isFault(error)) throw error;
        this.#c.log.warn("locks-untidied", { why: messageOf(error) });
      }
      await this.#c.clock.sleep(TIDIED_EVERY_MS, signal).catch(() => undefined);
    }
  }

  /** Counts the time, and forgets what is over. */
  async tidy(): Promise<void> {
    await this.#running.saveNowAndThen();
    const nowMs = this.#running.ms;
    const status = { segments: 0, statements: 0, heads: 0 };
    await this.#forget(LOCKS_PREFIX.page, LOCKS_PREFIX.statement, (value) => {
      status.segments += lockedOn(value, nowMs);
      return pageUntilMs(value) <= nowMs;
    });
    await this.#forget(LOCKS_PREFIX.statement, LOCKS_PREFIX.head, (value) => {
      const isOver = lockEntry.decode(value).untilMs <= nowMs;
      if (!isOver) status.statements++;
      return isOver;
    });
    await this.#forget(LOCKS_PREFIX.head, LOCKS_PREFIX.running, (value) => {
      const isOver = isForgettable(value, nowMs);
      if (!isOver) status.heads++;
      return isOver;
    });
    this.#statements.recount();
    this.#status = status;
  }

  async #forget(from: Uint8Array, to: Uint8Array, isOver: (value: Uint8Array) => boolean): Promise<void> {
    let over: MetaOp[] = [];
    for await (const [key, value] of this.#c.store.scan({ from, to })) {
      if (isOver(value)) over.push({ type: "delete", key: key.slice() });
      if (over.length < FORGOTTEN_AT_ONCE) continue;
      await this.#c.store.write(over, { sync: false });
      over = [];
    }
    if (over.length > 0) await this.#c.store.write(over, { sync: false });
  }

  #open(bytes: Uint8Array, owner: OwnerId, head: Uint8Array): Opened {
    const signed = decodeSigned(bytes);
    checkSigned(signed, { type: "lock", swarm: this.#swarm, signer: idBytes(owner) });
    const body = lockBody.decode(signed.body);
    if (!equalBytes(body.head, head))
      throw new Fault({ code: "FORMAT_INVALID", what: "lock", reason: "it is for another head" });
    if (numberAt(body, body.bits.length * 8) > SEGMENT_NUMBER_MAX)
      throw new Fault({
        code: "FORMAT_INVALID",
        what: "lock",
        reason: "it is about numbers that no segment has",
      });
    const partition = partitionOf(body.first, body.partitions);
    return { bytes, signed, body, row: { owner, life: body.life, classId: body.class, partition } };
  }

  /**
   * Whoever moves shards of a dead owner brings their locks along. What a fenced life has signed counts where a holder of the row
   * brings it: it was in force before the fence, and stays.
   */
  async #requireBearer(from: PeerId, opened: readonly Opened[], isFenced: boolean): Promise<void> {
    const nowMs = this.#c.clock.monotonicMs();
    if (nowMs - this.#dayMs >= DAY_MS) {
      this.#dayMs = nowMs;
      this.#brought.clear();
    }
    const brought = (this.#brought.get(from) ?? 0) + opened.length;
    if (brought > BROUGHT_A_DAY) throw notAllowed("too many locks of others; ask again later");
    this.#brought.set(from, brought);
    if (!isFenced) return;
    for (const { body, row } of opened) {
      const slots = await this.#c.kept.slots(segmentOf(row, body, 0), body.class);
      if (!slots.includes(from)) throw new Fault({ code: "FENCED", owner: row.owner });
    }
  }

  async #take(
    owner: OwnerId,
    { head, bytes }: { readonly head: Signed; readonly bytes: Uint8Array },
    opened: readonly Opened[],
  ): Promise<LockedBody["locks"]> {
    const hash = signedHash(head);
    const nowMs = this.#running.ms;
    const held = new Map<Opened, Uint8Array>();
    for (const one of opened) held.set(one, await this.#held(one));
    const fresh = opened.filter(
      ({ body }) => body.forMs > 0 && !this.#heads.isOver(owner, hash, body.forMs, nowMs),
    );
    if (fresh.some((one) => !isNone(held.get(one) ?? EMPTY_BYTES))) {
      // What a lock refers to is here before it is.
      await this.#c.records.keepLocked(owner, bytes, this.#c.registry.certifiedIncarnation(owner));
      for (const one of fresh) await this.#extend(one, held.get(one) ?? EMPTY_BYTES, hash, nowMs);
    }
    return Promise.all(opened.map((one) => this.#answerTo(one)));
  }

  async #extend(one: Opened, held: Uint8Array, hash: Uint8Array, nowMs: number): Promise<void> {
    const { body, row, bytes } = one;
    const known = this.#statements.get(row, bytes);
    // What this statement has locked already is not locked for longer by its being shown again.
    const added = known === undefined ? held : butNot(held, known.bits);
    if (isNone(added)) return;
    const untilMs = nowMs + body.forMs;
    const until = new Map([...positions(added)].map((at) => [numberAt(body, at), untilMs]));
    const bits = known === undefined ? held : joined(known.bits, added);
    try {
      const ops = [
        ...this.#table.extendOps(row.owner, row.life, until),
        ...(await this.#statements.putOps(row, body, { v: 1, lock: bytes, bits, untilMs })),
        ...(await this.#heads.extendOps(row.owner, hash, { untilMs, forMs: body.forMs })),
        this.#running.op(),
      ];
      await this.#c.store.write(ops, { sync: true });
    } catch (error) {
      this.#statements.recount(row.owner);
      throw error;
    }
  }

  /** By what is on disk now: what was dropped while the lock was written is not among it. */
  async #answerTo(one: Opened): Promise<LockedBody["locks"][number]> {
    const { body, row, bytes } = one;
    const bits = new Uint8Array(body.bits.length);
    let forMs = Number.MAX_SAFE_INTEGER;
    for (const at of positions(body.bits)) {
      const left = this.lockedForMs(segmentOf(row, body, at));
      if (left === 0) continue;
      setBit(bits, at);
      forMs = Math.min(forMs, left);
    }
    const kept = both(bits, await this.#held(one));
    return { statement: sha256(bytes), bits: kept, forMs: isNone(kept) ? 0 : forMs };
  }

  /** Of which of its segments there is a shard here. */
  async #held({ body, row }: Opened): Promise<Uint8Array> {
    const held = new Uint8Array(body.bits.length);
    let last = 0;
    for (const at of positions(body.bits)) {
      const segment = segmentOf(row, body, at);
      const slots = await this.#c.kept.slots(segment, body.class);
      const isHere = (index: number): boolean => this.#c.shards.stat({ ...segment, index }) !== undefined;
      const n = slots.length === 0 ? SHARDS_MAX : slots.length;
      const index = isHere(last) ? last : indexBelow(n, isHere);
      if (index === undefined) continue;
      last = index;
      setBit(held, at);
    }
    return held;
  }
}

function segmentOf({ owner, life }: LockedRow, body: LockBody, position: number): SegmentId {
  return { owner, incarnation: life, number: numberAt(body, position) };
}

function indexBelow(n: number, isHere: (index: number) => boolean): number | undefined {
  for (let index = 0; index < n; index++) if (isHere(index)) return index;
  return undefined;
}

function notAllowed(reason: string): Fault {
  return new Fault({ code: "NOT_ALLOWED", reason });
}
