import { isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type ShardId, type SwarmId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { DAY_MS } from "../base/units.ts";
import type { Holder, KeptMaps } from "../exchange/index.ts";
import type { KnownLost } from "../losses/index.ts";
import type { Slot } from "../placement/index.ts";
import type { Clock, ShardStore, StoredShard } from "../ports/index.ts";
import {
  type KeepReason,
  keptAnyway,
  type Holder as PresentHolder,
  type SurplusFacts,
  type SurplusRules,
  surplusVerdict,
  type Weather,
} from "../upkeep/index.ts";
import { shardNote } from "../wire/data.ts";
import { descriptorCodec, readDescriptor } from "../wire/descriptor.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { Promises } from "./promises.ts";
import { agesOf, type Seen, type SurplusCopy, type Witnesses } from "./witnesses.ts";

export interface SweeperComponents {
  readonly self: PeerId;
  readonly shards: Pick<ShardStore, "list" | "stat" | "delete">;
  readonly holder: Pick<Holder, "guarded" | "unaskedForMs">;
  readonly kept: Pick<KeptMaps, "slots" | "partitionsOf">;
  readonly presence: {
    holders(): ReadonlyMap<PeerId, PresentHolder>;
    weather(): Weather;
  };
  readonly lost: Pick<KnownLost, "of">;
  readonly promises: Pick<Promises, "isPromised" | "tidy">;
  readonly witnesses: Pick<Witnesses, "ask">;
  readonly locks: {
    /** Whether what is locked here is locked at this holder, too, by its own word; true where nothing is. */
    isLockedAt(
      segment: ShardId,
      at: { readonly classId: number; readonly partitions: number; readonly peer: PeerId },
      signal: AbortSignal,
    ): Promise<boolean>;
  };
  /** Whether this node may act for the swarm at all: not one that was replaced, and not one that leaves. */
  readonly mayAct: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

export interface SweepStatus {
  /** Copies that the map looks for elsewhere, as far as they are followed. */
  readonly surplus: number;
  /** Since the start. */
  readonly dropped: number;
  readonly droppedBytes: number;
  /** Why those that were due in the last round stayed. */
  readonly kept: ReadonlyMap<KeepReason, number>;
}

/** Shards looked at in one round, from where the last one ended. */
const LOOKED_MAX = 50_000;
const PAGE = 500;
const FOLLOWED_MIN = 4096;
/** Copies that others are asked about in a round at least: each of them may be asked for a leaf of every one. */
const ASKED_MIN = 32;

interface Followed {
  readonly id: ShardId;
  /** Of the writing that was found. */
  readonly version: string;
  /** Whom the map names in its place. */
  readonly named: PeerId;
  readonly sinceMs: number;
}

export interface SweeperInit {
  readonly swarm: SwarmId;
  readonly everyMs: number;
  readonly rules: SurplusRules;
  readonly copiesADay: number;
}

export function askedMax({ copiesADay, everyMs }: Pick<SweeperInit, "copiesADay" | "everyMs">): number {
  return Math.max(ASKED_MIN, Math.ceil((copiesADay * everyMs) / DAY_MS));
}

/** One is followed for as long as it has to have been too many, until the round after: fewer would be what bounds the rate. */
export function followedMax({
  copiesADay,
  everyMs,
  rules,
}: Pick<SweeperInit, "copiesADay" | "everyMs" | "rules">): number {
  return Math.max(FOLLOWED_MIN, Math.ceil((1.1 * copiesADay * (rules.settledMs + everyMs)) / DAY_MS));
}

/** Finds copies on this node's disk that the map looks for elsewhere, and drops those that may go. */
export class Sweeper {
  readonly #c: SweeperComponents;
  readonly #swarm: SwarmId;
  readonly #everyMs: number;
  readonly #rules: SurplusRules;
  /** Copies that are followed until they may go; further ones come when there is room. */
  readonly #followedMax: number;
  readonly #askedMax: number;
  readonly #stopping = new AbortController();
  readonly #followed = new Map<string, Followed>();
  readonly #counts = { dropped: 0, droppedBytes: 0 };
  #kept = new Map<KeepReason, number>();
  #after: ShardId | undefined;
  #loop: Promise<void> | undefined;

  constructor(components: SweeperComponents, init: SweeperInit) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#everyMs = init.everyMs;
    this.#rules = init.rules;
    this.#followedMax = followedMax(init);
    this.#askedMax = askedMax(init);
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  status(): SweepStatus {
    return { surplus: this.#followed.size, ...this.#counts, kept: this.#kept };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#c.clock.sleep(this.#everyMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.round(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!isFault(error)) throw error;
        this.#c.log.warn("sweep-failed", { why: messageOf(error) });
      }
    }
  }

  async round(signal: AbortSignal): Promise<void> {
    await this.#c.promises.tidy();
    if (!this.#c.mayAct()) return;
    await this.#recheck();
    await this.#look(signal);
    const kept = new Map<KeepReason, number>();
    const due = await this.#due(kept);
    const seen = due.length === 0 ? [] : await this.#c.witnesses.ask(due, signal);
    for (const [at, copy] of due.entries()) {
      signal.throwIfAborted();
      const why = await this.#dropIfLocked(copy, seen[at], signal);
      if (why !== undefined) count(kept, why);
    }
    this.#kept = kept;
  }

  /** What only proofs and promises are missing for, as much as others are asked about at a time. */
  async #due(kept: Map<KeepReason, number>): Promise<SurplusCopy[]> {
    const around = this.#around();
    const due: SurplusCopy[] = [];
    for (const followed of this.#followed.values()) {
      if (due.length >= this.#askedMax) break;
      const isOld = this.#c.clock.monotonicMs() - followed.sinceMs >= this.#rules.settledMs;
      const copy = isOld ? await this.#copyOf(followed) : undefined;
      const verdict =
        copy === undefined ? undefined : keptAnyway(this.#facts(copy, copy.slots, around), this.#rules);
      if (copy !== undefined && verdict === undefined) due.push(copy);
      else count(kept, verdict?.kind === "keep" ? verdict.why : "fresh");
    }
    return due;
  }

  /** Those that are followed, by the map as it is now. */
  async #recheck(): Promise<void> {
    for (const [key, { id, version, named }] of [...this.#followed]) {
      const held = this.#c.shards.stat(id);
      const now = held?.version === version ? await this.#namedFor(held) : undefined;
      if (now !== named) this.#followed.delete(key);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    for (let looked = 0; looked < LOOKED_MAX && this.#followed.size < this.#followedMax; looked += PAGE) {
      signal.throwIfAborted();
      const page = await this.#c.shards.list(this.#after, PAGE);
      for (const held of page) await this.#follow(held);
      this.#after = page.length < PAGE ? undefined : page.at(-1)?.id;
      if (this.#after === undefined) return;
    }
  }

  async #follow(held: StoredShard): Promise<void> {
    const key = shardKey(held.id);
    if (this.#followed.has(key) || this.#followed.size >= this.#followedMax) return;
    const named = await this.#namedFor(held);
    if (named === undefined) return;
    const sinceMs = this.#c.clock.monotonicMs();
    this.#followed.set(key, { id: held.id, version: held.version, named, sinceMs });
    this.#c.log.debug("surplus-found", { shard: key, named });
  }

  /** Who else is to hold it; `undefined` where that is nobody, this node, or not known. */
  async #namedFor({ id, note }: StoredShard): Promise<Slot> {
    // Signatures are checked when something is about to be done.
    const classId = readable(
      () => descriptorCodec.decode(decodeSigned(shardNote.decode(note).descriptor).body).class,
    );
    if (classId === undefined) return undefined;
    const named = (await this.#c.kept.slots(id, classId))[id.index];
    return named === this.#c.self ? undefined : named;
  }

  async #copyOf({ id }: Followed): Promise<SurplusCopy | undefined> {
    const held = this.#c.shards.stat(id);
    const envelope = held === undefined ? undefined : readable(() => shardNote.decode(held.note).descriptor);
    const descriptor =
      envelope === undefined ? undefined : readable(() => readDescriptor(envelope, this.#swarm));
    if (envelope === undefined || descriptor === undefined) return undefined;
    return { id, envelope, descriptor, slots: await this.#c.kept.slots(id, descriptor.class) };
  }

  /** A lock binds whoever is named for the shard: it is in force there before this copy goes. */
  async #dropIfLocked(
    copy: SurplusCopy,
    seen: Seen | undefined,
    signal: AbortSignal,
  ): Promise<KeepReason | undefined> {
    const { id, descriptor, slots } = copy;
    const peer = slots[id.index];
    if (seen?.promise === undefined || peer === undefined) return this.#dropIfDue(copy, seen);
    const partitions = await this.#c.kept.partitionsOf(id, descriptor.class);
    const isLocked = await this.#c.locks.isLockedAt(
      id,
      { classId: descriptor.class, partitions, peer },
      signal,
    );
    return isLocked ? this.#dropIfDue(copy, seen) : "not-locked";
  }

  /** Decides and drops under the lock of the shard: whoever is given a receipt meanwhile keeps it. Else why it stays. */
  async #dropIfDue(copy: SurplusCopy, seen: Seen | undefined): Promise<KeepReason | undefined> {
    const { holder, kept, shards, clock, log } = this.#c;
    const { id, descriptor } = copy;
    const key = shardKey(id);
    return holder.guarded(id, async () => {
      const slots = await kept.slots(id, descriptor.class);
      const followed = this.#followed.get(key);
      const held = shards.stat(id);
      if (held === undefined || held.version !== followed?.version) return "fresh";
      const facts = this.#facts(copy, slots, this.#around());
      const seenNow = seen === undefined ? {} : agesOf(seen, clock.monotonicMs());
      const verdict = surplusVerdict({ ...facts, ...seenNow }, this.#rules);
      if (verdict.kind === "keep") {
        log.debug("surplus-kept", { shard: key, why: verdict.why, index: verdict.index });
        // To the end of the line: those that somebody does not answer for must not keep the others from being asked about.
        this.#followed.delete(key);
        this.#followed.set(key, followed);
        return verdict.why;
      }
      await shards.delete(id);
      this.#followed.delete(key);
      this.#counts.dropped++;
      this.#counts.droppedBytes += held.bytes;
      log.info("surplus-dropped", { shard: key, bytes: held.bytes, holder: slots[id.index] });
      return undefined;
    });
  }

  #around(): Around {
    const { presence } = this.#c;
    return { holders: presence.holders(), weather: presence.weather() };
  }

  #facts({ id, descriptor }: SurplusCopy, slots: readonly Slot[], around: Around): SurplusFacts {
    const { self, clock, holder, promises, lost } = this.#c;
    const followed = this.#followed.get(shardKey(id));
    const isSame = followed !== undefined && followed.named === slots[id.index];
    return {
      ...{ self, index: id.index, n: descriptor.roots.length },
      slots: slots.length === 0 ? undefined : slots,
      surplusForMs: isSame ? clock.monotonicMs() - followed.sinceMs : 0,
      unaskedForMs: holder.unaskedForMs(id),
      isPromised: promises.isPromised(id),
      proofs: new Map(),
      promise: undefined,
      isKnownLost: (index, peer) => lost.of({ ...id, index }, peer) !== undefined,
      ...around,
    };
  }
}

type Around = Pick<SurplusFacts, "holders" | "weather">;

/** What nobody here can read stays. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isFault(error)) throw error;
    return undefined;
  }
}

function count(kept: Map<KeepReason, number>, why: KeepReason): void {
  kept.set(why, (kept.get(why) ?? 0) + 1);
}
