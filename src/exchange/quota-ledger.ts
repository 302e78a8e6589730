import { equalBytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { incarnationOf, type OwnerId, type ShardId, segmentKey } from "../base/ids.ts";
import { MINUTE_MS } from "../base/units.ts";
import type { Clock, ShardStore } from "../ports/index.ts";
import { shardNote } from "../wire/data.ts";
import { descriptorCodec } from "../wire/descriptor.ts";
import { decodeSigned } from "../wire/signed.ts";

export interface LedgerComponents {
  readonly shards: Pick<ShardStore, "stat" | "list">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly quotaOf: (owner: OwnerId) => number | undefined;
}

interface Account {
  usedBytes: number;
  countedMs: number;
}

/** Shards looked at in one go. */
const PAGE = 500;
/** An owner at its quota is not counted anew with every shard that it offers. */
const RECOUNT_MS = 10 * MINUTE_MS;
/** Before every id of an owner: no life has this incarnation. */
const FIRST_INCARNATION = incarnationOf(new Uint8Array(16));

/**
 * A holder's part in quotas. It sees some of an owner's segments, and of each what all of its shards together take: the
 * descriptor says how many there are. Segments that it has seen cannot take more than the owner may store; so nobody who
 * keeps to the quota is ever refused, and nobody gets more than it out of one holder.
 */
export class QuotaLedger {
  readonly #c: LedgerComponents;
  /** Of owners that have a quota and came with a shard: no more than there are members. */
  readonly #accounts = new Map<OwnerId, Promise<Account>>();

  constructor(components: LedgerComponents) {
    this.#c = components;
  }

  /** Stores a shard, if what its descriptor is of fits. Throws `QUOTA_EXCEEDED`. */
  async charge(id: ShardId, descriptor: Uint8Array, store: () => Promise<void>): Promise<void> {
    const quotaBytes = this.#c.quotaOf(id.owner);
    if (quotaBytes === undefined) return store();
    const { shards, bytes } = takenBy(descriptor);
    const cost = this.#isPaid(id, shards, descriptor) ? 0 : bytes;
    const account = await this.#accountFor(id.owner, quotaBytes - cost);
    if (account.usedBytes + cost > quotaBytes)
      throw new Fault({ code: "QUOTA_EXCEEDED", owner: id.owner, quotaBytes });
    account.usedBytes += cost;
    try {
      await store();
    } catch (error) {
      account.usedBytes -= cost;
      throw error;
    }
  }

  /** Counted anew before anybody is refused, now and then: shards may have gone since. */
  async #accountFor(owner: OwnerId, fitsUpTo: number): Promise<Account> {
    const known = this.#accounts.get(owner) ?? this.#count(owner);
    const account = await known;
    const isFresh = this.#c.clock.monotonicMs() - account.countedMs < RECOUNT_MS;
    return account.usedBytes <= fitsUpTo || isFresh ? account : this.#count(owner);
  }

  #count(owner: OwnerId): Promise<Account> {
    const counting = this.#read(owner);
    this.#accounts.set(owner, counting);
    counting.catch(() => this.#accounts.delete(owner));
    return counting;
  }

  async #read(owner: OwnerId): Promise<Account> {
    const account = { usedBytes: 0, countedMs: this.#c.clock.monotonicMs() };
    let after: ShardId = { owner, incarnation: FIRST_INCARNATION, number: 0, index: 0 };
    let paid: { readonly segment: string; readonly descriptor: Uint8Array } | undefined;
    for (;;) {
      const page = await this.#c.shards.list(after, PAGE);
      for (const { id, note } of page) {
        if (id.owner !== owner) return account;
        const { descriptor } = shardNote.decode(note);
        // Shards of one segment follow each other.
        const isPaid = paid?.segment === segmentKey(id) && equalBytes(paid.descriptor, descriptor);
        if (!isPaid) account.usedBytes += takenBy(descriptor).bytes;
        paid = { segment: segmentKey(id), descriptor };
        after = id;
      }
      if (page.length < PAGE) return account;
    }
  }

  /** By another shard under the same descriptor: one under another, of the same segment, is a story of its own. */
  #isPaid(id: ShardId, shards: number, descriptor: Uint8Array): boolean {
    for (let index = 0; index < shards; index++) {
      const held = this.#c.shards.stat({ ...id, index });
      if (held !== undefined && equalBytes(shardNote.decode(held.note).descriptor, descriptor)) return true;
    }
    return false;
  }
}

/** All shards of the segment together. The signature was checked when the shard came in. */
function takenBy(descriptor: Uint8Array): { shards: number; bytes: number } {
  const { roots, shardBytes } = descriptorCodec.decode(decodeSigned(descriptor).body);
  return { shards: roots.length, bytes: roots.length * shardBytes };
}
