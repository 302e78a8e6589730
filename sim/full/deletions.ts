import {
  type Incarnation,
  type OwnerId,
  ownerIdOf,
  type SegmentId,
  type ShardId,
  segmentKey,
} from "../../src/base/ids.ts";
import { GC_RULES } from "../../src/upkeep/index.ts";
import { dataAnswer, dataRequest } from "../../src/wire/data.ts";
import { type LiveList, liveList } from "../../src/wire/live-set.ts";
import { lockBody, lockedBody } from "../../src/wire/lock.ts";
import { decodeSigned } from "../../src/wire/signed.ts";
import type { Answered, SimMachine } from "./machine.ts";

/** A live set that a holder said it keeps. */
interface TakenSet {
  readonly life: Incarnation;
  readonly epoch: number;
  readonly list: LiveList;
  readonly ranMs: number;
}

/** Of what an owner had at a holder. */
interface Account {
  /** The most that ever lay there. */
  mostBytes: number;
  /** What went into the trash, with when. */
  readonly trashed: Map<string, { readonly ranMs: number; readonly bytes: number }>;
}

/** Clocks that go right within a five-thousandth, and what a program does between two looks at one. */
const TOLERANCE = 0.998;
const LOOK_EVERY = 16;
/** The brake's days are thirtieths of its window. */
const BRAKE_STEPS = 30;

/**
 * What holders were told not to keep any more, and what they have said that they keep: worked out anew, from what went over
 * the wire, by how long their programs really ran.
 */
export class Deletions {
  /** By holder and owner, in the order in which they were taken. */
  readonly #taken = new Map<string, TakenSet[]>();
  /** By holder and segment: until when it has signed that it keeps it, in its running time. */
  readonly #locked = new Map<string, number>();
  readonly #accounts = new Map<string, Account>();
  #receipts = 0;
  readonly #lists = new Map<OwnerId, { readonly record: Uint8Array; readonly list: Uint8Array }[]>();

  /** Says what is wrong with what a holder took. */
  answered({ machine, request, answer }: Answered): string | undefined {
    const asked = dataRequest.decode(request.head);
    const said = dataAnswer.decode(answer.head);
    // Now and then between two looks at everything: what lay there is what the brake measures by.
    if (said.t === "receipt" && ++this.#receipts % LOOK_EVERY === 0) this.look(machine);
    if (asked.t === "lock" && said.t === "locked") this.#tookLocks(machine, asked.locks, said.locked);
    if (asked.t !== "live-set" || said.t !== "live-kept") return undefined;
    return this.#tookSet(machine, asked.record, request.body);
  }

  /** Live sets of this owner that were ever handed to anybody, oldest first. */
  handed(owner: OwnerId): readonly { readonly record: Uint8Array; readonly list: Uint8Array }[] {
    return this.#lists.get(owner) ?? [];
  }

  /** For how long the holder has said that it will still keep it, at least. */
  lockedForMs(machine: SimMachine, segment: SegmentId): number {
    const untilMs = this.#locked.get(`${machine.peer} ${segmentKey(segment)}`) ?? 0;
    return Math.max(0, untilMs - machine.ranMs);
  }

  /**
   * How long every live set of one life that this holder took has left the segment out, in its running time; of the life that
   * says so longest. `undefined`: none does.
   * @param certified the only life that counts
   */
  omittedForMs(
    machine: SimMachine,
    segment: SegmentId,
    certified: Incarnation | undefined,
  ): number | undefined {
    const taken = this.#taken.get(`${machine.peer} ${segment.owner}`) ?? [];
    let longest: number | undefined;
    const lives = new Set(taken.map(({ life }) => life));
    for (const life of lives) {
      if (life !== (certified ?? segment.incarnation)) continue;
      const since = sinceOmitted(
        taken.filter((one) => one.life === life),
        segment,
      );
      if (since !== undefined) longest = Math.max(longest ?? 0, machine.ranMs - since);
    }
    return longest;
  }

  /** Says what the brake would have to say to one more shard in the trash. */
  trashed(machine: SimMachine, shard: ShardId, bytes: number, rules: BrakeRules): string | undefined {
    this.look(machine);
    const account = this.#accountOf(machine, shard.owner);
    const name = `${segmentKey(shard)}/${shard.index}`;
    account.trashed.set(name, { ranMs: machine.ranMs, bytes });
    const windowMs = rules.brakeWindowMs * (1 - 2 / BRAKE_STEPS);
    const lately = [...account.trashed.values()].filter(({ ranMs }) => machine.ranMs - ranMs < windowMs);
    const sum = lately.reduce((total, one) => total + one.bytes, 0);
    return sum > account.mostBytes * rules.brakeShare
      ? `${sum} bytes of an owner of which it never had more than ${account.mostBytes} went into the trash`
      : undefined;
  }

  takenBack(machine: SimMachine, shard: ShardId): void {
    this.#accountOf(machine, shard.owner).trashed.delete(`${segmentKey(shard)}/${shard.index}`);
  }

  /** How much lies there just now. */
  look(machine: SimMachine): void {
    const held = new Map<OwnerId, number>();
    for (const { id, bytes } of machine.shardDisk.sorted())
      held.set(id.owner, (held.get(id.owner) ?? 0) + bytes);
    for (const [owner, bytes] of held) {
      const account = this.#accountOf(machine, owner);
      account.mostBytes = Math.max(account.mostBytes, bytes);
    }
  }

  #tookSet(machine: SimMachine, bytes: Uint8Array, body: Uint8Array): string | undefined {
    const record = decodeSigned(bytes);
    const owner = ownerIdOf(record.signer);
    const key = `${machine.peer} ${owner}`;
    const before = this.#taken.get(key) ?? [];
    const newest = Math.max(
      0,
      ...before.filter(({ life }) => life === record.incarnation).map(({ epoch }) => epoch),
    );
    this.#lists.set(owner, [...this.handed(owner), { record: bytes, list: body }]);
    if (record.epoch < newest)
      return `${machine.name} took live set ${record.epoch} of a life of which it had ${newest}`;
    if (record.epoch > newest) {
      const { ranMs } = machine;
      const list = liveList.decode(body);
      this.#taken.set(key, [...before, { life: record.incarnation, epoch: record.epoch, list, ranMs }]);
    }
    return undefined;
  }

  #tookLocks(machine: SimMachine, statements: readonly Uint8Array[], signed: Uint8Array): void {
    const { locks, owner } = lockedBody.decode(decodeSigned(signed).body);
    for (const [at, { bits, forMs }] of locks.entries()) {
      const statement = statements[at];
      if (statement === undefined || forMs === 0) continue;
      const { life, first, partitions } = lockBody.decode(decodeSigned(statement).body);
      for (let bit = 0; bit < bits.length * 8; bit++) {
        if ((((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 0) continue;
        const key = `${machine.peer} ${segmentKey({ owner, incarnation: life, number: first + bit * partitions })}`;
        this.#locked.set(key, Math.max(this.#locked.get(key) ?? 0, machine.ranMs + forMs * TOLERANCE));
      }
    }
  }

  #accountOf(machine: SimMachine, owner: OwnerId): Account {
    const key = `${machine.peer} ${owner}`;
    const account = this.#accounts.get(key) ?? { mostBytes: 0, trashed: new Map() };
    this.#accounts.set(key, account);
    return account;
  }
}

export interface BrakeRules {
  readonly delayMs: number;
  readonly trashMs: number;
  readonly brakeWindowMs: number;
  readonly brakeShare: number;
}

/** As in the plan, or as in the field; a little less, for clocks that go wrong. */
export function rulesOf(collection: BrakeRules | undefined): BrakeRules {
  const rules = collection ?? GC_RULES;
  return { ...rules, delayMs: rules.delayMs * TOLERANCE, trashMs: rules.trashMs * TOLERANCE };
}

/** Since when the sets of one life have left it out without a break. */
function sinceOmitted(sets: readonly TakenSet[], segment: SegmentId): number | undefined {
  let since: number | undefined;
  for (const { list, ranMs } of sets) since = isOmitted(list, segment) ? (since ?? ranMs) : undefined;
  return since;
}

/** Number by number, as the format says. */
export function isOmitted(list: LiveList, { incarnation, number }: SegmentId): boolean {
  const life = list.lives.find((one) => one.incarnation === incarnation);
  if (life === undefined || number >= life.below) return false;
  let at = 0;
  for (let i = 0; i + 1 < life.runs.length; i += 2) {
    at += life.runs[i] ?? 0;
    const end = at + (life.runs[i + 1] ?? 0);
    if (number >= at && number < end) return false;
    at = end;
  }
  return true;
}
