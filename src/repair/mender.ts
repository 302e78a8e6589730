import { Fault, isFault, messageOf } from "../base/fault.ts";
import { type PeerId, type ShardId, type SwarmId, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import type { Signer } from "../crypto/sign.ts";
import type { Holder } from "../exchange/index.ts";
import { type GenerationAt, generationOf, partitionOf } from "../placement/index.ts";
import type { Clock, QuarantinedShard, ShardStore } from "../ports/index.ts";
import { isHeard, isPresent } from "../upkeep/index.ts";
import { dataAnswer, shardNote } from "../wire/data.ts";
import { readDescriptor } from "../wire/descriptor.ts";
import { readReceipt } from "../wire/receipt.ts";
import type { RepairBook } from "./book.ts";
import type { Introductions } from "./introductions.ts";
import { RowStrays, STRAYS_MAX } from "./inventory.ts";
import type { RepairedMap, RepairJudge, Whereabouts } from "./judge.ts";
import type { RepairLink, RepairPeers } from "./peers.ts";
import type { Rebuilder, Rebuilt, ShardSource } from "./rebuild.ts";
import { signClaim } from "./records.ts";
import { bodyOfSlot, slotsOfGeneration, versionOf } from "./row-repair.ts";

export interface MenderComponents {
  readonly self: PeerId;
  readonly shards: Pick<ShardStore, "quarantined" | "stat">;
  readonly holder: Pick<Holder, "storeFor">;
  readonly book: RepairBook;
  readonly judge: Pick<RepairJudge, "isOwnerAway">;
  readonly presence: Pick<Whereabouts, "holders" | "weather">;
  readonly peers: Pick<RepairPeers, "under" | "silent">;
  readonly introductions: Pick<Introductions, "tell">;
  readonly rebuilder: Pick<Rebuilder, "rebuild">;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
}

/** Shards looked at in one go, and in one round. */
const PAGE = 32;
const ROUND_MAX = 1024;
/** Shards that could not be mended are remembered with when to try again. */
const FAILED_MAX = 4096;
const DOUBLINGS_MAX = 8;

/**
 * Shards of owners that are away which went bad on this node's own disk: made anew from the others of the row and put where
 * they were, under a claim that admits the loss. Whose owner is there waits for it.
 */
export class Mender {
  readonly #c: MenderComponents;
  readonly #swarm: SwarmId;
  readonly #retryMs: number;
  readonly #failed = new Map<string, { readonly times: number; readonly untilMs: number }>();
  #mended = 0;
  #after: ShardId | undefined;

  constructor(components: MenderComponents, init: { swarm: SwarmId; retryMs: number }) {
    this.#c = components;
    this.#swarm = init.swarm;
    this.#retryMs = init.retryMs;
  }

  /** Since the start. */
  get mended(): number {
    return this.#mended;
  }

  /** Goes through what is set aside, on from where the last round ended. */
  async round(signal: AbortSignal): Promise<void> {
    if (this.#c.presence.weather().kind === "cut-off") return;
    for (let looked = 0; looked < ROUND_MAX; ) {
      const page = await this.#c.shards.quarantined(this.#after, PAGE);
      for (const aside of page) {
        signal.throwIfAborted();
        this.#after = aside.id;
        if (this.#isDue(aside.id)) await this.#tryToMend(aside, signal);
      }
      looked += page.length;
      if (page.length < PAGE) {
        this.#after = undefined;
        return;
      }
    }
  }

  #isDue(id: ShardId): boolean {
    if (this.#c.shards.stat(id) !== undefined || !this.#c.judge.isOwnerAway(id.owner)) return false;
    return (this.#failed.get(shardKey(id))?.untilMs ?? 0) <= this.#c.clock.monotonicMs();
  }

  async #tryToMend(aside: QuarantinedShard, signal: AbortSignal): Promise<void> {
    const key = shardKey(aside.id);
    try {
      if (!(await this.#mend(aside, signal))) return;
      this.#mended++;
      this.#failed.delete(key);
      this.#c.log.info("shard-mended", { shard: key, was: aside.reason });
    } catch (error) {
      signal.throwIfAborted();
      if (!isFault(error)) throw error;
      const times = (this.#failed.get(key)?.times ?? 0) + 1;
      const waitMs = this.#retryMs * 2 ** Math.min(times, DOUBLINGS_MAX);
      if (this.#failed.size < FAILED_MAX)
        this.#failed.set(key, { times, untilMs: this.#c.clock.monotonicMs() + waitMs });
      this.#c.log.warn("shard-not-mended", { shard: key, why: messageOf(error) });
    }
  }

  /** False where it is not looked for here any more. */
  #mend({ id, note }: QuarantinedShard, signal: AbortSignal): Promise<boolean> {
    return this.mend(id, shardNote.decode(note).descriptor, signal);
  }

  /** Makes a shard of this node's own slot anew. False where it is not looked for here any more; throws why it cannot be made. */
  async mend(id: ShardId, envelope: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const { self, book, presence, rebuilder } = this.#c;
    const descriptor = readDescriptor(envelope, this.#swarm);
    const map = (await book.maps(id.owner)).find(({ incarnation }) => incarnation === id.incarnation);
    const rows = map?.now.classes.get(descriptor.class);
    const generation = map === undefined ? undefined : generationOf(map.now, descriptor.class, id.number);
    if (map === undefined || rows === undefined || generation === undefined) return false;
    const { fromSegment } = generation;
    const at = {
      classId: descriptor.class,
      partition: partitionOf(id.number, rows.partitions),
      fromSegment,
    };
    const slots = slotsOfGeneration(map, at);
    if (slots[id.index] !== self) return false;
    const link = this.linkFor(map, at, id.index);
    const holders = presence.holders();
    const sources = slots.flatMap((peer, index) =>
      peer === undefined || peer === self || !isPresent(holders.get(peer)) ? [] : [{ index, peer }],
    );
    const rebuild = (from: readonly ShardSource[]): Promise<Rebuilt> =>
      rebuilder.rebuild({
        ...{ descriptor, envelope, sources: from, targets: [{ index: id.index, peer: self }] },
        link: { ...link, put: (...given) => this.#store(...given) },
        signal,
      });
    const outcome = await rebuild(sources).catch(async (error: unknown) => {
      if (!isFault(error, "TOO_FEW_SHARDS")) throw error;
      const others = [...holders.values()].filter((one) => isHeard(one) && !slots.includes(one.peer));
      const outside = others.map(({ peer }) => peer).slice(0, STRAYS_MAX);
      const strays = new RowStrays({ map, at, link: () => link, signal, log: this.#c.log }, outside);
      const found = await strays.sourcesOf(id.number);
      if (found.length === 0) throw error;
      return rebuild([...sources, ...found]);
    });
    const [failed] = outcome.failed;
    if (failed !== undefined) throw failed.fault;
    return true;
  }

  /** Under the claim that a shard of this node's own slot is not here. */
  linkFor(map: RepairedMap, at: GenerationAt, slot: number): RepairLink {
    const { self, clock, signer, peers, introductions } = this.#c;
    const { ownerVersion, repairs } = versionOf(map, at, slot);
    const body = bodyOfSlot(map, at, slot, ownerVersion, self);
    const claim = { ...body, repairs, cause: { t: "mend" as const }, timeMs: clock.wallMs() };
    return peers.under(signClaim(claim, this.#swarm, signer), (peer, signal) =>
      introductions.tell(peer, map, at, signal),
    );
  }

  #store: RepairLink["put"] = async (peer, shard, envelope, bytes) => {
    const answered = await this.#c.holder.storeFor(shard.owner, shard.index, envelope, bytes);
    const answer = dataAnswer.decode(answered.head);
    const root = readDescriptor(envelope, this.#swarm).roots[shard.index] ?? new Uint8Array(0);
    const receipt =
      answer.t === "receipt" ? readReceipt(answer.receipt, this.#swarm, peer, shard, root) : undefined;
    if (receipt === undefined) throw new Fault({ code: "NOT_ALLOWED", reason: "the own store refused it" });
    return { peer, ...receipt };
  };
}
