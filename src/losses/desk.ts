import { Fault } from "../base/fault.ts";
import type { OwnerId, PeerId, ShardId, SwarmId } from "../base/ids.ts";
import { publicKeyOfPeer, shardKey } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { HOUR_MS, MINUTE_MS } from "../base/units.ts";
import type { Catalog } from "../catalog/index.ts";
import { checkSigned } from "../crypto/signed.ts";
import type { KeptMaps, OwnerMaps } from "../exchange/index.ts";
import type { Clock } from "../ports/index.ts";
import type { LostRequest } from "../wire/data.ts";
import { lostBody } from "../wire/losses.ts";
import { decodeSigned } from "../wire/signed.ts";
import type { KnownLost, Loss } from "./known-lost.ts";

/** Notices taken of one peer in an hour: 60,000 shards. */
const NOTICES_AN_HOUR = 60;
const CLOCK_SKEW_MS = 10 * MINUTE_MS;

export interface LossDeskComponents {
  readonly known: KnownLost;
  readonly kept: KeptMaps;
  /** Of this node's own owner. */
  readonly catalog: Catalog;
  readonly maps: Pick<OwnerMaps, "slots">;
  readonly clock: Clock;
  readonly log: Log;
}

type Notice = ReturnType<(typeof lostBody)["decode"]>;

/**
 * Where holders tell that they have lost shards: of this node's own owner, or of rows that it is part of. A holder's word
 * against itself is believed at once; it is nobody else's.
 */
export class LossDesk {
  readonly #c: LossDeskComponents;
  readonly #self: PeerId;
  readonly #swarm: SwarmId;
  readonly #owner: OwnerId;
  #hourMs = 0;
  readonly #taken = new Map<PeerId, number>();

  constructor(components: LossDeskComponents, init: { swarm: SwarmId; self: PeerId }) {
    this.#c = components;
    this.#self = init.self;
    this.#swarm = init.swarm;
    this.#owner = components.catalog.owner;
  }

  /** Returns of how many of the shards note was taken. Throws what makes it a refusal. */
  async take(from: PeerId, { notice }: LostRequest): Promise<number> {
    this.#limit(from);
    const signed = decodeSigned(notice);
    checkSigned(signed, { type: "lost", swarm: this.#swarm, signer: publicKeyOfPeer(from) });
    const said = lostBody.decode(signed.body);
    if (said.timeMs !== signed.epoch) throw invalid("its time is not its epoch");
    if (said.timeMs > this.#c.clock.wallMs() + CLOCK_SKEW_MS) throw invalid("its time is to come yet");
    const shards = await (said.owner === this.#owner ? this.#ofOwn(from, said) : this.#ofRows(from, said));
    const losses = shards.map((shard): Loss => ({ shard, atMs: said.timeMs, cause: "told" }));
    const news = await this.#c.known.note(from, losses);
    const { owner } = said;
    if (news > 0)
      this.#c.log.warn("holder-lost-shards", { peer: from, owner, told: said.shards.length, news });
    return shards.length;
  }

  /** Those that the map or a receipt says the sender has; the receipts count no more. */
  async #ofOwn(from: PeerId, said: Notice): Promise<ShardId[]> {
    const { catalog, maps } = this.#c;
    const incarnation = catalog.state.incarnations.indexOf(said.incarnation);
    if (incarnation < 0) return [];
    const own: ShardId[] = [];
    for (const shard of shardsOf(said)) {
      const ref = { incarnation, number: shard.number };
      const record = catalog.segments.get(ref);
      if (record === undefined) continue;
      const slot = record.slots[shard.index];
      const isReceipted = slot?.peer === from;
      if (!isReceipted && maps.slots(ref, record.class)[shard.index] !== from) continue;
      own.push(shard);
      // Acknowledged anew since: that is another writing.
      if (!isReceipted || slot.timeMs > said.timeMs) continue;
      await catalog.segments.forget(ref, shard.index, from);
      this.#c.log.error("shard-lost-by-holder", { peer: from, shard: shardKey(shard) });
    }
    return own;
  }

  /** Those of rows that have both: nobody can fill this node with losses that it has nothing to do with. */
  async #ofRows(from: PeerId, said: Notice): Promise<ShardId[]> {
    const shared: ShardId[] = [];
    for (const shard of shardsOf(said)) {
      const rows = await this.#c.kept.slotsOfAnyClass(shard);
      if (rows.some((slots) => slots[shard.index] === from && slots.includes(this.#self))) shared.push(shard);
    }
    return shared;
  }

  #limit(from: PeerId): void {
    const nowMs = this.#c.clock.monotonicMs();
    if (nowMs - this.#hourMs >= HOUR_MS) {
      this.#hourMs = nowMs;
      this.#taken.clear();
    }
    const taken = (this.#taken.get(from) ?? 0) + 1;
    if (taken > NOTICES_AN_HOUR)
      throw new Fault({ code: "NOT_ALLOWED", reason: "too many notices of loss within an hour" });
    this.#taken.set(from, taken);
  }
}

function shardsOf({ owner, incarnation, shards }: Notice): ShardId[] {
  return shards.map(([number, index]) => ({ owner, incarnation, number, index }));
}

function invalid(reason: string): Fault {
  return new Fault({ code: "FORMAT_INVALID", what: "notice of loss", reason });
}
