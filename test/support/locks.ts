import { VirtualClock } from "../../sim/clock.ts";
import { Fault, isFault, messageOf } from "../../src/base/fault.ts";
import { type Incarnation, type OwnerId, type PeerId, type ShardId, shardKey } from "../../src/base/ids.ts";
import { SILENT_LOG } from "../../src/base/log.ts";
import { DAY_MS } from "../../src/base/units.ts";
import type { Signer } from "../../src/crypto/sign.ts";
import { type Signed, signedHash, signStatement } from "../../src/crypto/signed.ts";
import { KeptRecords } from "../../src/exchange/index.ts";
import { HolderLocks, hasBit, setBit } from "../../src/locks/index.ts";
import type { Slot } from "../../src/placement/index.ts";
import { dataAnswer, type LockRequest } from "../../src/wire/data.ts";
import { headBody } from "../../src/wire/head.ts";
import { type LockBody, lockBody, lockedBody } from "../../src/wire/lock.ts";
import { decodeSigned, encodeSigned } from "../../src/wire/signed.ts";
import { MemoryStore } from "../unit/membership/world.ts";
import { KEYS, LIFE, NOW_MS, node, SLOTS, SWARM } from "./repairs.ts";

export const PARTITIONS = 16;
/** Of the owner of the paper swarm. */
export const OWNER_NODE = node(0);

export function headOf(epoch: number, by: Signer = KEYS.signer, life: Incarnation = LIFE): Signed {
  const payload = Uint8Array.of(epoch & 255);
  const body = headBody.encode({ v: 1, timeMs: NOW_MS + epoch, nextSegment: 64, payload });
  return signStatement({ type: "head", swarm: SWARM, incarnation: life, epoch, body }, by);
}

export interface LockOf {
  readonly numbers: readonly number[];
  readonly head: Signed;
  readonly forMs?: number;
  readonly by?: Signer;
  /** Under which the owner signs. */
  readonly life?: Incarnation;
  readonly timeMs?: number;
  readonly change?: Partial<LockBody>;
}

/** Of one row: all numbers are congruent. */
export function lockOf({
  numbers,
  head,
  forMs = 30 * DAY_MS,
  by = KEYS.signer,
  life = LIFE,
  timeMs = NOW_MS,
  change = {},
}: LockOf): Uint8Array {
  const first = Math.min(...numbers);
  const last = Math.max(...numbers);
  const bits = new Uint8Array(Math.floor((last - first) / PARTITIONS / 8) + 1);
  for (const number of numbers) setBit(bits, (number - first) / PARTITIONS);
  const body = lockBody.encode({
    ...{ v: 1, life: LIFE, class: 0, partitions: PARTITIONS, first, bits, forMs, head: signedHash(head) },
    ...change,
  });
  return encodeSigned(
    signStatement({ type: "lock", swarm: SWARM, incarnation: life, epoch: timeMs, body }, by),
  );
}

/** A holder, node 1 of the paper swarm, with its disks and its clock. */
export class LockWorld {
  readonly store = new MemoryStore();
  readonly recordStore = new MemoryStore();
  readonly clock = new VirtualClock(NOW_MS);
  /** By `shardKey`. */
  readonly held = new Set<string>();
  slots: readonly Slot[] = SLOTS;
  certified: Incarnation | undefined;
  /** The wall clock is wrong by so much. */
  wallOffsetMs = 0;
  records: KeptRecords = this.#records();
  locks: HolderLocks = this.#open();

  restart(): void {
    this.records = this.#records();
    this.locks = this.#open();
  }

  #records(): KeptRecords {
    const clock = { wallMs: () => this.clock.wallMs() + this.wallOffsetMs };
    return new KeptRecords({ store: this.recordStore, log: SILENT_LOG, clock }, { swarm: SWARM });
  }

  #open(): HolderLocks {
    const { store, records } = this;
    const clock = {
      wallMs: () => this.clock.wallMs() + this.wallOffsetMs,
      monotonicMs: () => this.clock.monotonicMs(),
      sleep: (ms: number, signal?: AbortSignal) => this.clock.sleep(ms, signal),
    };
    const locks = new HolderLocks(
      {
        ...{ store, records, clock, signer: node(1).key, log: SILENT_LOG },
        shards: {
          stat: (id) =>
            this.held.has(shardKey(id)) ? { id, bytes: 1, version: "1", note: new Uint8Array(0) } : undefined,
        },
        holder: { answerRefusals: (task) => task() },
        kept: { slots: async () => [...this.slots] },
        registry: { certifiedIncarnation: () => this.certified },
        disk: { requireServing: () => {} },
      },
      { swarm: SWARM },
    );
    records.withLocks((owner, hash) => locks.isHeadLocked(owner, hash));
    return locks;
  }

  hold(...numbers: readonly number[]): void {
    for (const number of numbers) this.held.add(shardKey(shard(number)));
  }

  /** What is locked of each statement, and for how long at least; or the code of the refusal. */
  async ask(
    head: Signed,
    locks: readonly Uint8Array[],
    { from = OWNER_NODE.peer, asOwner = KEYS.owner }: { from?: PeerId; asOwner?: OwnerId } = {},
  ): Promise<{ numbers: number[]; forMs: number }[] | string> {
    try {
      const request: LockRequest = { t: "lock", v: 1, head: encodeSigned(head), locks: [...locks] };
      const answer = dataAnswer.decode((await this.locks.answer(from, asOwner, request, true)).head);
      if (answer.t !== "locked") throw new Fault({ code: "PEER_PROTOCOL", peer: from, reason: answer.t });
      return lockedBody.decode(decodeSigned(answer.locked).body).locks.map(({ bits, forMs }, at) => {
        const { first } = lockBody.decode(decodeSigned(locks[at] ?? new Uint8Array(0)).body);
        const numbers = [...bits.keys()].flatMap((byte) =>
          Array.from({ length: 8 }, (_, bit) => byte * 8 + bit).filter((position) => hasBit(bits, position)),
        );
        return { numbers: numbers.map((position) => first + position * PARTITIONS), forMs };
      });
    } catch (error) {
      if (!isFault(error)) throw error;
      return `${error.code} ${messageOf(error)}`;
    }
  }

  /** Of segments of the paper owner. */
  days(number: number): number {
    return this.locks.lockedForMs(shard(number)) / DAY_MS;
  }
}

function shard(number: number): ShardId {
  return { owner: KEYS.owner, incarnation: LIFE, number, index: 0 };
}
